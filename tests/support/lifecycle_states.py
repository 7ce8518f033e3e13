"""What must hold in every state of a GooseJob. Pure. From one to the next, see `support.lifecycle_rules`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

Object = Mapping[str, Any]

OPERATORS: Final = frozenset({"Ready", "Reconciling", "Stalled", "Suspended", "WorkersAvailable"})
"""Conditions that are written in one look at the object, and speak of the generation that was looked at."""
_WRITERS: Final = ("goosejobs-operator", "goosejobs-worker")
_ONLY_WHILE_TRUE: Final = ("Reconciling", "Stalled")


def wrong_in(obj: Object) -> Iterator[str]:
    """The rules that this state breaks."""
    for rule in (_generations, _current, _conditions, _phase, _next, _runs, _writers):
        yield from rule(obj)


def _generations(obj: Object) -> Iterator[str]:
    status, generation = status_of(obj), obj["metadata"]["generation"]
    observed = status.get("observedGeneration")
    if observed is None:
        yield "status.observedGeneration is missing: kstatus would take it for Current"
    elif observed > generation:
        yield f"status.observedGeneration {observed} is beyond generation {generation}"
    for condition in status.get("conditions") or ():
        of = condition.get("observedGeneration")
        if of is None or not 1 <= of <= generation:
            yield f"condition {condition['type']} has observedGeneration {of}"
        elif condition["type"] in OPERATORS and of != observed:
            yield f"condition {condition['type']} is of generation {of}, observedGeneration is {observed}"


def _current(obj: Object) -> Iterator[str]:
    """Current means: this very generation is served."""
    if computed(obj) != "Current":
        return
    spec, status = obj["spec"], status_of(obj)
    if not said(obj, "Ready", "True"):
        yield "it is Current, and not Ready"
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        yield "it is Current, and nobody has looked at its generation"
    due = "once" if spec.get("runOnce") else "; ".join(spec.get("schedules") or [spec.get("schedule") or ""])
    if due and status.get("displaySchedule") != due[:512]:
        yield f"it is Current, and displaySchedule is {status.get('displaySchedule')!r} instead of {due!r}"
    if spec.get("suspend") and not said(obj, "Suspended", "True"):
        yield "it is Current and spec.suspend is true, and it is not Suspended"
    if not spec.get("suspend") and (condition_of(obj, "Suspended") or {}).get("reason") == "Suspended":
        yield "it is Current and spec.suspend is not true, and it is Suspended by it"
    if not is_completed(obj) and not (status.get("scheduleId") and status.get("recipeDigest")):
        yield "it is Current, and has no scheduleId or no recipeDigest"


def is_completed(obj: Object) -> bool:
    """Whether nothing is due any more."""
    ready = condition_of(obj, "Ready")
    ended = ready is not None and ready["status"] == "True" and ready["reason"] == "Completed"
    return ended or "completionTime" in status_of(obj)


def _conditions(obj: Object) -> Iterator[str]:
    for condition in status_of(obj).get("conditions") or ():
        if condition["type"] in _ONLY_WHILE_TRUE and condition["status"] != "True":
            yield f"condition {condition['type']} is there, and {condition['status']}"
    if said(obj, "Reconciling", "True") and said(obj, "Stalled", "True"):
        yield "it is both Reconciling and Stalled"
    for kind in _ONLY_WHILE_TRUE:
        if said(obj, kind, "True") and not said(obj, "Ready", "False"):
            yield f"it is {kind}, and Ready is not False"
    if said(obj, "Ready", "False") and not any(said(obj, kind, "True") for kind in _ONLY_WHILE_TRUE):
        yield "Ready is False, and nothing says whether somebody has to do something about it"


def _phase(obj: Object) -> Iterator[str]:
    """The deletion itself is not a write of the status: the phase is told of it by the next one."""
    phase, status = status_of(obj).get("phase"), status_of(obj)
    if phase == "Terminating":
        if "deletionTimestamp" not in obj["metadata"]:
            yield "phase is Terminating, and nobody has deleted it"
        return
    candidates = (
        ("Invalid", said(obj, "Stalled", "True")),
        ("Running", bool(status.get("active"))),
        ("Completed", is_completed(obj)),
        ("Paused", said(obj, "Suspended", "True")),
        ("Active", said(obj, "Ready", "True")),
    )
    wanted = next((name for name, holds in candidates if holds), "Pending")
    if phase != wanted:
        yield f"phase is {phase}, and all that is said makes it {wanted}"


def _next(obj: Object) -> Iterator[str]:
    due = status_of(obj).get("nextScheduleTime")
    if due and (said(obj, "Suspended", "True") or is_completed(obj)) and computed(obj) == "Current":
        yield f"nextScheduleTime is {due}, and no run will start"


def _runs(obj: Object) -> Iterator[str]:
    status = status_of(obj)
    recent, active = status.get("recentRuns") or [], status.get("active") or []
    for what, runs in (("recentRuns", recent), ("active", active)):
        ids = [run["id"] for run in runs]
        if len(set(ids)) != len(ids):
            yield f"{what} has a run twice: {ids}"
    due = [due_of(run) for run in recent]
    if due != sorted(due, reverse=True):
        yield "recentRuns is not newest first"
    recorded = {run["id"]: run for run in [*recent, *last_of(obj)]}
    for run in active:
        if run["id"] in recorded:
            yield f"run {run['id']} is active, and has ended"
    if obj["metadata"]["generation"] == status.get("observedGeneration"):
        for succeeded, limit in limits_of(obj).items():
            kept = len([run for run in recent if is_success(run) == succeeded])
            if kept > limit:
                kind = "succeeded" if succeeded else "did not succeed"
                yield f"recentRuns has {kept} runs that {kind}, and the limit is {limit}"


def _writers(obj: Object) -> Iterator[str]:
    """We write the status and our finalizer, and nothing else: the rest is people's, and GitOps'."""
    for entry in obj["metadata"].get("managedFields") or ():
        written = entry.get("fieldsV1") or {}
        if entry["manager"] in _WRITERS and not (
            written.keys() <= {"f:status", "f:metadata"}
            and written.get("f:metadata", {}).keys() <= {".", "f:finalizers"}
        ):
            yield f"{entry['manager']} has written {sorted(written)}"


def limits_of(obj: Object) -> dict[bool, int]:
    """How many runs are kept that succeeded (True), and that did not."""
    spec = obj["spec"]
    return {
        True: int(spec.get("successfulRunsHistoryLimit", 3)),
        False: int(spec.get("failedRunsHistoryLimit", 3)),
    }


def last_of(obj: Object) -> list[Mapping[str, Any]]:
    """The last run, if there was one."""
    found = status_of(obj).get("lastRun")
    return [found] if found else []


def due_of(run: Mapping[str, Any]) -> datetime:
    """What runs are ordered by."""
    return datetime.fromisoformat(run.get("scheduledTime") or run["startTime"])


def is_success(run: Mapping[str, Any]) -> bool:
    """Whether it has succeeded."""
    return bool(run["outcome"] == "Succeeded")


# -- what a state says --


def computed(obj: Object) -> str:
    """What kstatus makes of it, by its own rules; `support.kstatus` asks the library itself."""
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    observed = status_of(obj).get("observedGeneration")
    if observed is not None and observed != obj["metadata"]["generation"]:
        return "InProgress"
    for kind, word in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if said(obj, kind, "True"):
            return word
    ready = condition_of(obj, "Ready")
    return "Current" if ready is None or ready["status"] == "True" else "InProgress"


def status_of(obj: Object) -> Mapping[str, Any]:
    """The status."""
    found: Mapping[str, Any] = obj.get("status") or {}
    return found


def condition_of(obj: Object, kind: str) -> Mapping[str, Any] | None:
    """The condition of a type."""
    return next((c for c in status_of(obj).get("conditions") or () if c["type"] == kind), None)


def said(obj: Object, kind: str, status: str) -> bool:
    """Whether the condition is there and has this status."""
    found = condition_of(obj, kind)
    return found is not None and found["status"] == status
