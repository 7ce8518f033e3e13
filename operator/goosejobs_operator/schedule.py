"""A Temporal schedule as the spec wants it, and how one that exists differs from that. Pure.

The schedule is a projection of the GooseJob. It is compared as a whole with what is wanted, because a stored
hash would not see what somebody edited in Temporal. One thing in it belongs to others: a pause of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from temporalio.api.common.v1 import Memo, Payload, Payloads, SearchAttributes, WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, TaskQueueKind
from temporalio.api.schedule.v1 import (
    IntervalSpec,
    Range,
    Schedule,
    ScheduleAction,
    SchedulePolicies,
    ScheduleState,
    StructuredCalendarSpec,
)
from temporalio.api.schedule.v1 import ScheduleSpec as ScheduleSpecProto
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from goosejobs.model import names
from goosejobs.model.run import GooseJobRef, RunRequest
from goosejobs.model.spec import ConcurrencyPolicy

NOTE_SUSPEND = "goosejobs: suspend"
NOTE_FAILURES = "goosejobs: failures"
"""The notes of our own pauses, for `spec.suspend` and `spec.pauseAfterFailures`: only such are lifted."""

NOTE_HELD = "paused before the schedule was lost"
"""The note of somebody's pause on a schedule that had to be made anew; theirs to lift."""

PAUSED_IN_TEMPORAL = "PausedInTemporal"
"""The reason of the condition Suspended for a pause that somebody made in Temporal."""

_DECADE: Final = 10 * 366 * 86_400
"""Seconds. A longer interval is meant for the one moment at which it ends first, counted from 1970."""

OVERLAP = {
    ConcurrencyPolicy.FORBID: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_SKIP,
    ConcurrencyPolicy.ALLOW: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
    ConcurrencyPolicy.REPLACE: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER,
    ConcurrencyPolicy.QUEUE: ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
}


_BEHIND: Final = timedelta(seconds=2)
_MARGIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """How many due times did not take place.

    Attributes:
        skipped: Because a run was active, or because as many waited as Temporal keeps.
        missed: They passed beyond the catch-up window.
    """

    skipped: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSchedule:
    """What the spec asks for.

    Attributes:
        times: When it fires.
        request: The argument of each run.
        suspend: `spec.suspend`.
        started: How many of its runs are known to have started.
        failing: It is to be paused because of failures.
        held: The note of somebody's pause that is to stay, though the schedule it was on is gone.
        counted: What is counted so far of due times that did not take place: Temporal counts from nought.
        catch_up: `spec.startingDeadlineSeconds`: how late a due time is still acted on.
    """

    times: ScheduleSpec
    request: RunRequest
    suspend: bool
    failing: bool = False
    held: str = ""
    started: int = 0
    counted: LeftOut = LeftOut()
    catch_up: timedelta

    @property
    def id(self) -> str:
        """The schedule's id, also the stem of its runs' workflow ids."""
        return schedule_id(self.request.goosejob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A schedule that exists in Temporal.

    Attributes:
        schedule: The whole of it, as the server gave it.
        token: Makes an update fail if somebody changed the schedule after this description.
        request: Its argument; None when it is not one of ours any more, or cannot be read.
        unreadable: Why its argument cannot be read, though it may be as wanted; empty when that is not so.
        current: Whether its argument stands there as it would be written today: with the newest key.
        attributed: Whether it has our search attribute, by which it is found when its GooseJob is gone.
        counted: The due times that did not take place, those before this schedule was made among them.
        buffered: Runs that wait for the ones before them.
        started: How many runs it has started, those among them that somebody asked for.
        next_due: The due time that Temporal comes to next; one that was missed may still stand there.
        forgiven: By how much Temporal has counted missed due times too often; `counted` is without it.
        running: Its running runs.
        workflow_ids: Its running and its latest runs.
    """

    schedule: Schedule
    token: bytes = b""
    request: RunRequest | None = None
    unreadable: str = ""
    current: bool = True
    attributed: bool = True
    counted: LeftOut = LeftOut()
    buffered: int = 0
    started: int = 0
    next_due: datetime | None = None
    forgiven: int = 0
    running: tuple[str, ...] = ()
    workflow_ids: tuple[str, ...] = field(default=())


def schedule_id(ref: GooseJobRef) -> str:
    """The id of a GooseJob's schedule."""
    return names.schedule_id(ref.namespace, ref.name, ref.uid)


def build(
    wanted: WantedSchedule,
    argument: Sequence[Payload],
    attributes: SearchAttributes,
    memo: Memo,
    old: ScheduleState | None = None,
    max_runs: int | None = None,
) -> Schedule:
    """The whole schedule as it should be.

    Args:
        wanted: What the spec asks for.
        argument: `wanted.request`, encoded.
        attributes: The search attributes of its runs.
        memo: The memo of its runs.
        old: The state of the schedule that exists, of which other people's part is kept.
        max_runs: The limit that it was given, when it was.
    """
    policies = SchedulePolicies(overlap_policy=OVERLAP[wanted.request.concurrency_policy])
    policies.catchup_window.FromTimedelta(wanted.catch_up)
    action = NewWorkflowExecutionInfo(
        workflow_id=wanted.id,
        workflow_type=WorkflowType(name=names.WORKFLOW_TYPE),
        task_queue=TaskQueue(name=names.task_queue(wanted.request.pool)),
        input=Payloads(payloads=argument),
        search_attributes=attributes,
        memo=memo,
    )
    return Schedule(
        spec=_times(wanted.times),
        action=ScheduleAction(start_workflow=action),
        policies=policies,
        state=limited_state(
            merged_state(
                old or ScheduleState(paused=bool(wanted.held), notes=wanted.held),
                suspend=wanted.suspend,
                failing=wanted.failing,
            ),
            wanted.request.max_runs,
            wanted.started,
            is_new=(max_runs or 0) != wanted.request.max_runs,
        ),
    )


def _times(spec: ScheduleSpec) -> ScheduleSpecProto:
    """The SDK's spec as the message it sends. The SDK sends no conflict token, so we speak in messages."""
    message = ScheduleSpecProto(
        structured_calendar=[_calendar(calendar) for calendar in spec.calendars],
        exclude_structured_calendar=[_calendar(calendar) for calendar in spec.skip],
        interval=[_interval(each) for each in spec.intervals],
        timezone_name=spec.time_zone_name or "",
    )
    if spec.start_at is not None:
        message.start_time.FromDatetime(spec.start_at)
    if spec.end_at is not None:
        message.end_time.FromDatetime(spec.end_at)
    if spec.jitter is not None:
        message.jitter.FromTimedelta(spec.jitter)
    return message


def _calendar(calendar: ScheduleCalendarSpec) -> StructuredCalendarSpec:
    fields = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")
    ranges = {name: _ranges(getattr(calendar, name)) for name in fields}
    return StructuredCalendarSpec(comment=calendar.comment or "", **ranges)


def _ranges(ranges: Sequence[ScheduleRange]) -> list[Range]:
    return [Range(start=each.start, end=each.end, step=each.step) for each in ranges]


def _interval(interval: ScheduleIntervalSpec) -> IntervalSpec:
    message = IntervalSpec()
    message.interval.FromTimedelta(interval.every)
    message.phase.FromTimedelta(interval.offset or timedelta(0))
    return message


def merged_state(old: ScheduleState, *, suspend: bool, failing: bool = False) -> ScheduleState:
    """Pause or resume for our own reasons; another's pause and notes are left alone."""
    state = ScheduleState()
    state.CopyFrom(old)
    note = NOTE_FAILURES if failing else NOTE_SUSPEND if suspend else ""
    ours = old.paused and old.notes in {NOTE_SUSPEND, NOTE_FAILURES}
    if ours or (note and not old.paused):
        state.paused, state.notes = bool(note), note
    return state


def limited_state(old: ScheduleState, max_runs: int, started: int, *, is_new: bool) -> ScheduleState:
    """Let no more runs start than `spec.maxRuns` says.

    Temporal counts down at each due run it starts. In between, the number is only ever lowered: by runs that
    somebody asked for, which Temporal does not count. A run that started may not be known here yet.

    Args:
        old: The state otherwise.
        max_runs: `spec.maxRuns`.
        started: How many runs are known to have started.
        is_new: The schedule was made for another limit, or is yet to be made.
    """
    state = ScheduleState()
    state.CopyFrom(old)
    left = max(0, max_runs - started)
    if is_new or state.limited_actions != (max_runs > 0):
        state.limited_actions, state.remaining_actions = max_runs > 0, left
    elif max_runs:
        state.remaining_actions = min(state.remaining_actions, left)
    return state


def is_spent(schedule: Schedule) -> bool:
    """Whether its limit of runs has been reached."""
    return schedule.state.limited_actions and schedule.state.remaining_actions == 0


def paused(schedule: Schedule, *, failing: bool = False) -> Schedule:
    """The same schedule, paused for `spec.suspend`, or because of failures."""
    same = Schedule()
    same.CopyFrom(schedule)
    same.state.CopyFrom(merged_state(schedule.state, suspend=True, failing=failing))
    return same


def foreign_pause(described: Described) -> str | None:
    """The note of a pause that somebody made in Temporal; None when it is not paused, or by us."""
    state = described.schedule.state
    ours = state.notes in {NOTE_SUSPEND, NOTE_FAILURES}
    return None if not state.paused or ours else state.notes or "without a note"


def waiting(described: Described) -> int:
    """How many runs wait for the ones before them, as `concurrencyPolicy: Queue` has it."""
    queues = described.schedule.policies.overlap_policy == OVERLAP[ConcurrencyPolicy.QUEUE]
    return described.buffered if queues else 0


def without_queue(schedule: Schedule) -> Schedule:
    """The same schedule with a policy by which Temporal leaves out what waits while a run is active."""
    same = Schedule()
    same.CopyFrom(schedule)
    same.policies.overlap_policy = OVERLAP[ConcurrencyPolicy.FORBID]
    return same


def has_missed(described: Described, now: datetime) -> bool:
    """Whether due times that were missed still stand there.

    Temporal counts those anew whenever it does anything for the schedule: until its next run starts, it is
    updated or paused.
    """
    window = described.schedule.policies.catchup_window.ToTimedelta()
    next_due = described.next_due
    return next_due is not None and not described.schedule.state.paused and next_due < now - window - _MARGIN


def forgiven(described: Described, counted: LeftOut, now: datetime) -> int:
    """By how much Temporal will have counted missed due times too often once it has been updated.

    All that it has counted of those that still stand there is forgiven: with the update it counts them once
    more, and then never again.

    Args:
        described: The schedule that exists.
        counted: What is counted so far.
        now: The time.
    """
    again = described.counted.missed - counted.missed
    return described.forgiven + (again if again > 0 and has_missed(described, now) else 0)


def is_behind(described: Described, now: datetime) -> bool:
    """Whether Temporal has not come to a due time that has passed, though it should: after an outage, say."""
    next_due = described.next_due
    return next_due is not None and not described.schedule.state.paused and next_due < now - _BEHIND


def paused_by_failures(described: Described | None) -> bool:
    """Whether it is paused because of failures."""
    return described is not None and (
        described.schedule.state.paused and described.schedule.state.notes == NOTE_FAILURES
    )


def differences(described: Schedule, wanted: Schedule) -> list[str]:
    """Which parts of a schedule that exists are not as wanted: `spec`, `action`, `policies`, `state`."""
    left, right = _canonical(described), _canonical(wanted)
    return [
        part
        for part in ("spec", "action", "policies", "state")
        if getattr(left, part) != getattr(right, part)
    ]


def lasting(schedule: Schedule) -> Schedule:
    """The same schedule without single moments, which differ each year (see goosejobs.cron.changes)."""
    same = Schedule()
    same.CopyFrom(schedule)
    intervals = [each for each in schedule.spec.interval if each.interval.seconds < _DECADE]
    del same.spec.interval[:]
    same.spec.interval.extend(intervals)
    return same


def _canonical(schedule: Schedule) -> Schedule:
    """The same schedule with what the server fills in filled in."""
    same = Schedule()
    same.CopyFrom(schedule)
    for calendar in (*same.spec.structured_calendar, *same.spec.exclude_structured_calendar):
        fields = (
            calendar.second,
            calendar.minute,
            calendar.hour,
            calendar.day_of_month,
            calendar.month,
            calendar.year,
            calendar.day_of_week,
        )
        for ranges in fields:
            for each in ranges:
                each.end, each.step = max(each.start, each.end), each.step or 1
    for interval in same.spec.interval:
        if not interval.HasField("phase"):
            interval.phase.SetInParent()
    if same.spec.timezone_name == "UTC":
        same.spec.timezone_name = ""
    action = same.action.start_workflow
    action.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    if not action.priority.ByteSize():
        action.ClearField("priority")
    if not same.policies.HasField("catchup_window"):
        same.policies.catchup_window.SetInParent()
    return same
