"""The operator's part of a GooseJob's status, from one look at it. Pure.

It follows kstatus: Reconciling and Stalled stand there only while they are true, and every condition carries
the generation it speaks of. A suspended, running or lately failed GooseJob is Ready: it is served as its spec
says.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import Share, next_schedule_time, phase, read_status
from goosejobs.model import names
from goosejobs.model.reasons import ReadyReason
from goosejobs.model.spec import GooseJobSpec
from goosejobs.model.status import Condition, GooseJobStatus
from goosejobs_operator import desired, failures, requests
from goosejobs_operator.desired import Refused
from goosejobs_operator.due import NEXT_GRACE_SECONDS, next_due
from goosejobs_operator.observe import Observation
from goosejobs_operator.schedule import (
    PAUSED_IN_TEMPORAL,
    foreign_pause,
    has_missed,
    paused_by_failures,
    schedule_id,
    waiting,
)

OWNED_CONDITIONS = frozenset({"Ready", "Reconciling", "Stalled", "Suspended", "WorkersAvailable"})
_SHARE = Share(
    fields=frozenset(
        {
            "observedGeneration",
            "phase",
            "displaySchedule",
            "scheduleId",
            "recipeDigest",
            "nextScheduleTime",
            "handledRequests",
        }
    ),
    counts=frozenset({"skipped", "missed", "queued"}),
    conditions=OWNED_CONDITIONS,
)
_MAX_DISPLAY = 512
_MAX_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """A condition without its bookkeeping."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def derive(seen: Observation) -> dict[str, Any] | None:
    """All status fields that the operator's manager owns, after the steps of the plan were carried out.

    Returns:
        JSON; None when it is what the object has, so that nothing is to be written.
    """
    status = read_status(seen.obj)
    status.handled_requests = requests.answered(seen)
    _note_facts(status, seen)
    suspended = _suspended(seen)
    said = [*_readiness(seen, suspended), suspended]
    if not (seen.runs_once and seen.completed):
        said.append(_workers(seen))
    status.conditions = _conditions(seen.obj, status, said, seen.now)
    wanted = _owned(seen.obj, status, seen.now)
    return None if wanted and _is_told_soon(seen.obj, wanted, seen.now) else wanted


def _is_told_soon(obj: Object, wanted: dict[str, Any], now: datetime) -> bool:
    """Whether only the next due time differs, and passed so lately that a worker is about to say so."""
    passed = now.timestamp() - next_due(obj)
    before = _SHARE.of(read_status(obj))
    before["nextScheduleTime"] = wanted.get("nextScheduleTime")
    return 0 <= passed < NEXT_GRACE_SECONDS and wanted == before


def derive_failing(obj: Object, reason: ReadyReason, why: str, now: datetime) -> dict[str, Any] | None:
    """The same while it cannot be looked at: what was known stays, but need not be so any more.

    Args:
        obj: The object as it was read.
        reason: What went wrong, in one word.
        why: The same in a sentence.
        now: The time of the look.
    """
    status = read_status(obj)
    said = _in_progress(reason, why)
    if "deletionTimestamp" in obj["metadata"]:
        said = _in_progress(ReadyReason.DELETING, f"Waiting to remove it from Temporal: {why}")
    said += [
        Said(c.type, c.status, c.reason, c.message)
        for c in status.conditions
        if c.type in {"Suspended", "WorkersAvailable"}
    ]
    status.handled_requests = requests.first_seen(obj)
    status.observed_generation = int(obj["metadata"].get("generation", 0))
    status.conditions = _conditions(obj, status, said, now)
    return _owned(obj, status, now)


def _readiness(seen: Observation, suspended: Said) -> list[Said]:
    if seen.deleting:
        return _in_progress(ReadyReason.DELETING, _still_there(seen))
    if seen.refused:
        reason, message = seen.refused.reason, _refusal(seen, seen.refused)
        return [Said("Ready", "False", reason, message), Said("Stalled", "True", reason, message)]
    if seen.waiting:
        return _in_progress(ReadyReason.WAITING_FOR_WORKER, seen.waiting)
    if seen.runs_once and seen.completed:
        return [Said("Ready", "True", ReadyReason.COMPLETED, "Its one run has ended.")]
    if seen.spec and seen.runs_once and (seen.once or not seen.spec.suspend):
        return [
            Said(
                "Ready",
                "True",
                ReadyReason.STARTED,
                "Its one run has started; changes of the spec do not reach it.",
            )
        ]
    if seen.over:
        ended = seen.spec is not None and desired.is_over(seen.spec, seen.now)
        what = "spec.endTime has passed" if ended else "All runs of spec.maxRuns have started"
        message = f"{what}: nothing is due any more."
        return [Said("Ready", "True", ReadyReason.COMPLETED, message)]
    if suspended.status == "True":
        return [Said("Ready", "True", ReadyReason.SUSPENDED, suspended.message)]
    return [Said("Ready", "True", ReadyReason.SCHEDULED, "Temporal starts its runs when they are due.")]


def _in_progress(reason: ReadyReason, message: str) -> list[Said]:
    return [Said("Ready", "False", reason, message), Said("Reconciling", "True", reason, message)]


def _still_there(seen: Observation) -> str:
    if seen.open_runs:
        return f"Waiting for {len(seen.open_runs)} run(s) to end: {', '.join(seen.open_runs[:3])}"
    return "Removing it from Temporal."


def _refusal(seen: Observation, refused: Refused) -> str:
    message = refused.message
    if seen.schedule is None:
        return message
    if seen.schedule.schedule.state.paused:
        return f"{message}. Until this is mended, its schedule stays paused."
    applied = seen.schedule.request.generation if seen.schedule.request else "an earlier one"
    return (
        f"{message}. Until this is mended, its schedule goes on as generation {applied} of the spec had it."
    )


def _suspended(seen: Observation) -> Said:
    if (seen.obj.get("spec") or {}).get("suspend") is True:
        return Said("Suspended", "True", ReadyReason.SUSPENDED, "spec.suspend is true: no new run starts.")
    if paused_by_failures(seen.schedule) and not seen.deleting:
        return Said("Suspended", "True", ReadyReason.PAUSED_AFTER_FAILURES, _after_failures(seen))
    note = foreign_pause(seen.schedule) if seen.schedule and not seen.deleting else None
    if note is not None:
        message = (
            f"The schedule was paused in Temporal ({note}): no new run starts until it is unpaused there."
        )
        return Said("Suspended", "True", PAUSED_IN_TEMPORAL, message)
    return Said("Suspended", "False", "NotSuspended")


def _after_failures(seen: Observation) -> str:
    return (
        f"spec.pauseAfterFailures ({failures.limit(seen.obj)}) is reached: no new run starts. Mend what is "
        f"wrong (status.lastRun has it), then: kubectl annotate goosejob {seen.ref.name} "
        f"-n {seen.ref.namespace} --overwrite {names.RESUME_REQUESTED}=$(date +%s)"
    )


def _workers(seen: Observation) -> Said:
    pool = seen.spec.execution.pool if seen.spec else "default"
    if seen.workers is None:
        return Said("WorkersAvailable", "Unknown", "NotChecked", f"The workers of pool {pool} are not known.")
    if seen.workers:
        return Said("WorkersAvailable", "True", "Polling", f"Pool {pool} has workers.")
    message = f"No worker polls {names.task_queue(pool)}: its runs wait until one of pool {pool} does."
    return Said("WorkersAvailable", "False", "NoWorkers", message)


def _note_facts(status: GooseJobStatus, seen: Observation) -> None:
    status.observed_generation = seen.generation
    if seen.spec:
        status.display_schedule = _display(seen, seen.spec)
        missing = seen.schedule is None and (seen.refused or seen.waiting or seen.over)
        status.schedule_id = None if missing else _temporal_id(seen, seen.spec)
    applied = seen.schedule.request if seen.schedule else None
    runs = seen.request or applied
    if runs:
        status.recipe_digest = runs.recipe.digest
    counts = status.counts
    counts.queued = waiting(seen.schedule) if seen.schedule else 0
    if seen.schedule:
        counts.skipped = max(counts.skipped, seen.schedule.counted.skipped)
        if not has_missed(seen.schedule, seen.now):  # else they are about to be counted anew
            counts.missed = max(counts.missed, seen.schedule.counted.missed)


def _display(seen: Observation, spec: GooseJobSpec) -> str | None:
    """With `spec.scheduleFrom`, what was found there, or what goes on although that is no good now."""
    if spec.run_once:
        return "once"
    applied = seen.schedule.request if seen.schedule else None
    found = spec.scheduled(applied.recipe.schedule if applied else None).cron_expressions
    return "; ".join(spec.cron_expressions or found)[:_MAX_DISPLAY] or None


def _temporal_id(seen: Observation, spec: GooseJobSpec) -> str:
    ref = seen.ref
    return names.once_workflow_id(ref.namespace, ref.name, ref.uid) if spec.run_once else schedule_id(ref)


def _conditions(obj: Object, status: GooseJobStatus, said: list[Said], now: datetime) -> list[Condition]:
    """Ours as said, each with the time at which it last changed, and everybody else's as they are."""
    before = {c.type: c for c in status.conditions}
    ours = []
    for each in said:
        old = before.get(each.type)
        unchanged = old is not None and old.status == each.status
        ours.append(
            Condition(
                type=each.type,
                status=each.status,
                reason=str(each.reason),
                message=each.message[:_MAX_MESSAGE],
                last_transition_time=old.last_transition_time
                if old and unchanged
                else now.replace(microsecond=0),
                observed_generation=int(obj["metadata"].get("generation", 0)),
            )
        )
    return ours + [c for c in status.conditions if c.type not in OWNED_CONDITIONS]


def _owned(obj: Object, status: GooseJobStatus, now: datetime) -> dict[str, Any] | None:
    status.phase = phase(obj, status)
    fires = status.schedule_id is not None
    status.next_schedule_time = next_schedule_time(obj, status, now) if fires else ""
    return _SHARE.to_write(obj, status)
