"""What must hold in every state of a GooseJob, and from each to the next. Pure.

`violations` is given what `support.lifecycle_watch` has seen, or any list of states that a test made up. The
rules are written down here a second time, on purpose: they share no code with those who write the status.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from support.lifecycle_states import (
    Object,
    computed,
    condition_of,
    due_of,
    is_success,
    last_of,
    limits_of,
    status_of,
    wrong_in,
)

Event = Mapping[str, Any]

LEAVES_CURRENT: Final = {
    "TemporalUnavailable": "Temporal did not answer, so nobody knows whether the schedule still stands",
    "Progressing": "something went wrong twice in a row, and is tried again",
    "WaitingForWorker": "the recipe lies with the workers, and none could be asked",
    "RecipeNotFound": "the ConfigMap or file with the recipe was taken away",
    "InvalidRecipe": "the ConfigMap or file with the recipe was changed for the worse",
    "InvalidParameters": "the recipe in its ConfigMap or file now wants other parameters",
    "RecipeTooLarge": "the recipe in its ConfigMap or file has grown",
    "PoolRefused": "the workers of its pool have changed, and do not serve it any more",
    "ScheduleNeverFires": "what was left of its times has passed",
}
"""The reasons of `Ready` for which a GooseJob may stop being Current though its spec is the same."""

MAY_FALL: Final = {
    "consecutiveFailures": "a run succeeded, so that it counts from 0 again",
    "queued": "it tells how many runs wait now, and they start",
}
"""The fields of `counts` that may become smaller. All others count since the object was created."""

_STICKY: Final = ("completionTime",)
_GROWING: Final = ("lastScheduleTime", "lastSuccessfulTime", "lastFailureTime")
_RAN: Final = ("succeeded", "failed", "killed")
_MAX_RECENT: Final = 50
_UNCHANGING: Final = ("trigger", "scheduledTime", "startTime")
_ANSWERED: Final = {"Noted": None, "Queued": {"Started"}, "Skipped": {"Started"}}
"""Answers that are not the last word, and which ones may follow; None: any."""


def violations(events: Iterable[Event], *, leaves: Collection[str] = tuple(LEAVES_CURRENT)) -> list[str]:
    """Which rules were broken, each with the state in which it was seen; empty when all is well.

    Args:
        events: Watch events of one name, in order, of one object or of several after another.
        leaves: The reasons out of `LEAVES_CURRENT` that may occur in what was done to it.
    """
    lives: dict[str, list[tuple[int, Event]]] = {}
    for number, event in enumerate(events):
        lives.setdefault(event["object"]["metadata"]["uid"], []).append((number, event))
    found: list[str] = []
    for life in lives.values():
        for number, event in life:
            found += [_shown(number, event, text) for text in wrong_in(event["object"])]
        for (_, before), (number, after) in pairwise(life):
            found += _in_change(number, before, after, leaves)
    return found


def _in_change(number: int, before: Event, after: Event, leaves: Collection[str]) -> Iterator[str]:
    old, new = before["object"], after["object"]
    if after["type"] == "DELETED":
        return
    found = [*_falls(old, new), *_leaves(old, new, leaves), *_transitions(old, new), *_answers(old, new)]
    found += [*_times(old, new), *_counts(old, new), *_last(old, new), *_forgets(old, new)]
    if not after.get("gap"):
        found += [*_one_at_a_time(old, new), *_says_something(old, new)]
    for text in found:
        yield _shown(number, after, text, before)


def _falls(old: Object, new: Object) -> Iterator[str]:
    was, now = (status_of(obj).get("observedGeneration", -1) for obj in (old, new))
    if now < was:
        yield f"status.observedGeneration fell from {was} to {now}"


def _leaves(old: Object, new: Object, leaves: Collection[str]) -> Iterator[str]:
    same = old["metadata"]["generation"] == new["metadata"]["generation"]
    if not same or computed(old) != "Current" or computed(new) in {"Current", "Terminating"}:
        return
    reason = (condition_of(new, "Ready") or {}).get("reason")
    if reason not in leaves:
        yield f"it was Current and is {computed(new)} for the same generation ({reason})"


def _transitions(old: Object, new: Object) -> Iterator[str]:
    """lastTransitionTime is when `status` changed last, not when something was written last."""
    for condition in status_of(new).get("conditions") or ():
        was = condition_of(old, condition["type"])
        if was is None:
            continue
        then, now = (datetime.fromisoformat(c["lastTransitionTime"]) for c in (was, condition))
        if was["status"] == condition["status"] and then != now:
            yield f"condition {condition['type']} changed lastTransitionTime, and not its status"
        if now < then:
            yield f"lastTransitionTime of condition {condition['type']} fell"
        if condition["observedGeneration"] < was["observedGeneration"]:
            yield f"observedGeneration of condition {condition['type']} fell"


def _answers(old: Object, new: Object) -> Iterator[str]:
    was, now = (status_of(obj).get("handledRequests") or {} for obj in (old, new))
    for kind, given in was.items():
        answer = now.get(kind)
        if answer is None:
            yield f"the answer to {kind}-requested is gone"
        elif answer["token"] == given["token"] and answer["answer"] != given["answer"]:
            follow = _ANSWERED.get(given["answer"], set())
            if follow is not None and answer["answer"] not in follow:
                yield f"the answer to {kind}-requested was {given['answer']}, and is {answer['answer']}"


def _times(old: Object, new: Object) -> Iterator[str]:
    was, now = status_of(old), status_of(new)
    for field in (*_GROWING, *_STICKY):
        if field in was and field not in now:
            yield f"status.{field} is gone"
        elif field in was and datetime.fromisoformat(now[field]) < datetime.fromisoformat(was[field]):
            yield f"status.{field} fell from {was[field]} to {now[field]}"
    for field in _STICKY:
        if field in was and now.get(field, was[field]) != was[field]:
            yield f"status.{field} changed"
    then, due = was.get("nextScheduleTime"), now.get("nextScheduleTime")
    # What was said before the new spec was looked at, was said of the old one.
    same = old["metadata"]["generation"] == new["metadata"]["generation"] == was.get("observedGeneration")
    if same and then and due and datetime.fromisoformat(due) < datetime.fromisoformat(then):
        yield f"status.nextScheduleTime fell from {then} to {due} for the same spec"


def _counts(old: Object, new: Object) -> Iterator[str]:
    was, now = (status_of(obj).get("counts") or {} for obj in (old, new))
    retold = {run["id"] for run in _recorded(new).values() if _is_retold(run, _recorded(old))}
    for field, number in was.items():
        if now.get(field, 0) >= number or field == "queued":
            continue
        if field in _RAN and retold:
            continue  # a run whose workflow was reset has ended otherwise; the sum is held below
        if field == "consecutiveFailures" and now.get(field, 0) == 0 and _succeeded(old, new):
            continue
        yield f"counts.{field} fell from {number} to {now.get(field, 0)}"
    if ran(new) < ran(old):
        yield f"the runs that were counted fell from {ran(old)} to {ran(new)}"


def _succeeded(old: Object, new: Object) -> bool:
    was, now = (status_of(obj).get("counts") or {} for obj in (old, new))
    return bool(now.get("succeeded", 0) > was.get("succeeded", 0))


def ran(obj: Object) -> int:
    """How many runs have been counted."""
    counts = status_of(obj).get("counts") or {}
    return sum(int(counts.get(field, 0)) for field in _RAN)


def _recorded(obj: Object) -> dict[str, Mapping[str, Any]]:
    return {run["id"]: run for run in [*(status_of(obj).get("recentRuns") or ()), *last_of(obj)]}


def _is_retold(run: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> bool:
    return run["id"] in known and known[run["id"]]["outcome"] != run["outcome"]


def _last(old: Object, new: Object) -> Iterator[str]:
    """lastRun is the newest by the time it was due, and what was told of a run is not taken back."""
    was, now = last_of(old), last_of(new)
    if was and not now:
        yield "status.lastRun is gone"
    elif was and due_of(now[0]) < due_of(was[0]):
        yield f"status.lastRun went back from run {was[0]['id']} to run {now[0]['id']}"
    known = _recorded(old)
    for run in _recorded(new).values():
        before = known.get(run["id"])
        if before is None:
            continue
        if datetime.fromisoformat(run["finishTime"]) < datetime.fromisoformat(before["finishTime"]):
            yield f"run {run['id']} ended at {before['finishTime']}, and now earlier, at {run['finishTime']}"
        if run["attempt"] < before["attempt"]:
            yield f"run {run['id']} went back to attempt {run['attempt']}"
        yield from _alters(run, before)
    active = {run["id"]: run for run in status_of(old).get("active") or ()}
    for run in status_of(new).get("active") or ():
        before = active.get(run["id"])
        if before is not None and run["attempt"] < before["attempt"]:
            yield f"active run {run['id']} went back to attempt {run['attempt']}"
        if before is not None:
            yield from _alters(run, before)


def _alters(run: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    same_end = run.get("finishTime") == before.get("finishTime")
    fields = (*_UNCHANGING, "outcome", "reason", "workflowId") if same_end else _UNCHANGING
    for field in fields:
        if run.get(field) != before.get(field):
            yield f"run {run['id']} changed its {field} from {before.get(field)} to {run.get(field)}"


def _forgets(old: Object, new: Object) -> Iterator[str]:
    """recentRuns lets a run go only for newer ones of its kind, or because the limit is smaller."""
    recent = status_of(new).get("recentRuns") or []
    kept = {run["id"] for run in recent}
    for run in status_of(old).get("recentRuns") or ():
        if run["id"] in kept or len(recent) >= _MAX_RECENT:
            continue
        newer = [one for one in recent if is_success(one) == is_success(run) and due_of(one) >= due_of(run)]
        limit = limits_of(new)[is_success(run)]
        if len(newer) < limit:
            yield f"recentRuns lost run {run['id']}, with {len(newer)} newer ones and a limit of {limit}"


def _one_at_a_time(old: Object, new: Object) -> Iterator[str]:
    """Each run is counted when its record is written, once."""
    more = ran(new) - ran(old)
    if more > 1:
        yield f"{more} runs were counted in one write"
    known, told = _recorded(old), _recorded(new)
    active = {run["id"] for run in status_of(old).get("active") or ()}
    left = active - {run["id"] for run in status_of(new).get("active") or ()}
    fresh = [id_ for id_ in told if id_ not in known]
    for id_ in left:
        if more != 1 and id_ not in known:
            yield f"run {id_} is not active any more, and was not counted"
    if len(fresh) > max(more, 0):
        yield f"{fresh} were recorded, and {more} counted"
    if more == 1 and len(left) > 1:
        yield f"{sorted(left)} are not active any more, and one was counted"


def _says_something(old: Object, new: Object) -> Iterator[str]:
    if _content(old) == _content(new):
        yield "a write changed nothing"


def _content(obj: Object) -> Object:
    meta = {key: value for key, value in obj["metadata"].items() if key not in _BOOKKEEPING}
    return {**obj, "metadata": meta}


_BOOKKEEPING: Final = ("resourceVersion", "managedFields")


# -- what is shown of it --


def _shown(number: int, event: Event, text: str, before: Event | None = None) -> str:
    line = f"event {number} ({event['type']}): {text}\n    is:  {_summary(event['object'])}"
    return line + (f"\n    was: {_summary(before['object'])}" if before else "")


def _summary(obj: Object) -> str:
    meta, status = obj["metadata"], status_of(obj)
    conditions = " ".join(
        f"{c['type']}={c['status']}({c['reason']})@{c.get('observedGeneration')}"
        for c in status.get("conditions") or ()
    )
    return (
        f"{meta['name']} v{meta['resourceVersion']} generation={meta['generation']} "
        f"observed={status.get('observedGeneration')} kstatus={computed(obj)} phase={status.get('phase')} "
        f"{conditions} active={[run['id'] for run in status.get('active') or ()]} "
        f"last={[run['id'] for run in last_of(obj)]} counts={status.get('counts')} "
        f"recent={[run['id'] for run in status.get('recentRuns') or ()]} "
        f"deletion={meta.get('deletionTimestamp')}"
    )
