"""What to do about a GooseJob, from one look at it: a short list of steps. Pure."""

from dataclasses import dataclass
from datetime import datetime

from temporalio.api.schedule.v1 import Schedule

from goosejobs.lifecycle import read_status
from goosejobs.model.run import RunRequest
from goosejobs.record import trimmed
from goosejobs_operator import requests
from goosejobs_operator.observe import GoneRun, Observation
from goosejobs_operator.schedule import (
    Described,
    WantedSchedule,
    differences,
    has_missed,
    lasting,
    schedule_id,
    without_queue,
)

STILL_LEAVING_SECONDS = 1.0
"""About as long as Temporal's index lags: a run that started during the deletion is seen by the next look."""

ATTRIBUTES = "search attributes"
"""The part of a schedule that tells whose it is."""

EMPTIED_SECONDS = 0.2
"""After the policy was changed: about as long as Temporal takes to leave out what waits."""

VERIFY_SECONDS = 1.0
"""After an update: Temporal drops one whose token is stale (somebody paused the schedule) without a word."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Make the object wait for us when it is deleted."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object go."""


@dataclass(frozen=True, slots=True)
class CreateSchedule:
    """Create the schedule that is missing."""

    wanted: WantedSchedule
    lost: bool = False
    """It was there before: somebody deleted it, or Temporal lost its store."""


@dataclass(frozen=True, slots=True)
class UpdateSchedule:
    """Replace the schedule in one step. Nothing happens if somebody changed it since it was looked at."""

    id: str
    to: Schedule
    token: bytes
    parts: tuple[str, ...]
    """What differs, for the log."""
    drift: str = ""
    """What somebody else changed, as a sentence; empty when the spec did, or what it refers to."""


@dataclass(frozen=True, slots=True)
class DeleteSchedule:
    """Delete the schedule."""

    id: str


@dataclass(frozen=True, slots=True)
class StartOnce:
    """Start the one run of a `runOnce` GooseJob."""

    request: RunRequest


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """Let the schedule start a run that somebody asked for. The same step again does nothing."""

    id: str
    at: datetime
    token: str


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Ask a run to end."""

    workflow_id: str


@dataclass(frozen=True, slots=True)
class TerminateRun:
    """End a run's workflow that no worker ends."""

    workflow_id: str
    why: str


@dataclass(frozen=True, slots=True)
class CloseRecord:
    """Record the end of a run whose workflow cannot do so any more."""

    gone: GoneRun


@dataclass(frozen=True, slots=True)
class TrimHistory:
    """Let go of the records that are beyond the history limits."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Something is under way: look again after so many seconds; after none, say nothing before."""

    seconds: float


Step = (
    AddFinalizer
    | RemoveFinalizer
    | CreateSchedule
    | UpdateSchedule
    | DeleteSchedule
    | StartOnce
    | TriggerRun
    | CancelRun
    | TerminateRun
    | CloseRecord
    | TrimHistory
    | LookAgain
)


def plan(seen: Observation) -> list[Step]:
    """The steps, in order; empty when everything is as it should be."""
    if seen.deleting:
        return _let_go(seen)
    if seen.schedule is not None and requests.empties_queue(seen):
        return _empty_queue(seen, seen.schedule)
    ends: list[Step] = [CancelRun(id_) for id_ in requests.noted_kills(seen)]
    if seen.gone:
        return [*ends, *(CloseRecord(gone) for gone in seen.gone), LookAgain(0)]
    if trimmed(seen.obj, seen.now) is not None:
        return [*ends, TrimHistory(), LookAgain(0)]
    if seen.runs_once:
        return ends + _run_once(seen)
    return ends + (_keep_schedule(seen) or _run_now(seen))


def _run_once(seen: Observation) -> list[Step]:
    if seen.once is not None and seen.once.open:
        return _finalizer(seen)
    due = seen.request is not None and seen.once is None and not seen.completed
    if not due or seen.request is None or (seen.spec and seen.spec.suspend):
        return []
    return [*_finalizer(seen), StartOnce(seen.request)]


def _keep_schedule(seen: Observation) -> list[Step]:
    """Bad input changes nothing and loses nothing: then there is no target but, perhaps, a pause."""
    if seen.schedule is None:
        # Temporal deletes a schedule some days after its last run: that one is not to come back.
        if seen.wanted is None or seen.over:
            return []
        lost = read_status(seen.obj).schedule_id is not None
        # That it is paused has to be seen there before the status says anything else.
        pauses: list[Step] = [LookAgain(0)] if seen.wanted.failing or seen.wanted.held else []
        return [*_finalizer(seen), CreateSchedule(seen.wanted, lost), *pauses]
    if seen.target is None:
        return _finalizer(seen)
    parts = differences(seen.schedule.schedule, seen.target)
    if not seen.schedule.attributed:
        parts.append(ATTRIBUTES)
    if not parts:
        return _finalizer(seen)
    ours = requests.kills_all(seen) or has_missed(seen.schedule, seen.now)
    drift = "" if ours else _drift(seen.schedule, seen.target, seen.wanted, parts)
    update = UpdateSchedule(schedule_id(seen.ref), seen.target, seen.schedule.token, tuple(parts), drift)
    return [*_finalizer(seen), update, LookAgain(VERIFY_SECONDS)]


def _drift(have: Described, to: Schedule, wanted: WantedSchedule | None, parts: list[str]) -> str:
    """What somebody changed in Temporal, told from what the spec, a recipe or a key has changed."""
    if wanted is None or not _made_for(have, wanted.request):
        return ""
    state = have.schedule.state
    if wanted.suspend and not state.paused:
        return "Somebody unpaused the schedule in Temporal, but spec.suspend is true: it is paused again."
    edited = [*differences(lasting(have.schedule), lasting(to)), *(p for p in parts if p == ATTRIBUTES)]
    edited = [part for part in edited if part != "state"]
    if state.limited_actions != to.state.limited_actions:
        edited.append("state")
    if not edited:
        return ""
    return f"Somebody edited the schedule in Temporal ({', '.join(edited)}): it is as the spec says again."


def _made_for(have: Described, wanted: RunRequest) -> bool:
    """Whether a schedule was made, by us and as today, for what is wanted now."""
    applied = have.request
    if applied is None:  # its argument is nothing of ours
        return True
    return have.current and (applied.generation, applied.recipe) == (wanted.generation, wanted.recipe)


def _empty_queue(seen: Observation, schedule: Described) -> list[Step]:
    """Temporal has no call for it. The next look finds another policy than is wanted, and sets it right."""
    to = without_queue(schedule.schedule)
    update = UpdateSchedule(schedule_id(seen.ref), to, schedule.token, ("policies",))
    return [update, LookAgain(EMPTIED_SECONDS)]


def _run_now(seen: Observation) -> list[Step]:
    """Once the schedule is as wanted, so that the run is what the spec says now."""
    noted = requests.noted_run(seen.obj)
    if noted is None or requests.answer_to_run(seen) != noted or seen.triggered:
        return []
    at = requests.run_time(seen, noted)
    if at is None or seen.schedule is None:
        return []
    # Temporal does not count it, so the limit is to be lowered.
    counted = [LookAgain(VERIFY_SECONDS)] if seen.request and seen.request.max_runs else []
    return [TriggerRun(schedule_id(seen.ref), at, noted.token), *counted]


def _finalizer(seen: Observation) -> list[Step]:
    return [] if seen.has_finalizer else [AddFinalizer()]


def _let_go(seen: Observation) -> list[Step]:
    """First the schedule, then the runs until none is left, then the object."""
    if seen.unreachable:
        return [RemoveFinalizer()]
    steps: list[Step] = [DeleteSchedule(schedule_id(seen.ref))] if seen.schedule else []
    steps += [_end(seen, workflow_id) for workflow_id in seen.open_runs]
    if not steps:
        return [RemoveFinalizer()]
    return [*steps, LookAgain(STILL_LEAVING_SECONDS)]


def _end(seen: Observation, workflow_id: str) -> Step:
    if seen.overdue:
        return TerminateRun(workflow_id, "its GooseJob was deleted, and the run did not end in time")
    if seen.workers is False:
        return TerminateRun(workflow_id, "its GooseJob was deleted, and its pool has no worker to end it")
    return CancelRun(workflow_id)
