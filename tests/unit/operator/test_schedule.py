"""A schedule as wanted, and how one that exists differs from it."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, TaskQueueKind
from temporalio.api.schedule.v1 import Schedule, ScheduleState

from goosejobs import cron
from goosejobs.model.spec import ConcurrencyPolicy
from goosejobs_operator.schedule import (
    NOTE_SUSPEND,
    LeftOut,
    differences,
    foreign_pause,
    forgiven,
    is_behind,
    merged_state,
)
from support.observations import NOW, described, schedule, wanted

OURS = ScheduleState(paused=True, notes=NOTE_SUSPEND)
THEIRS = ScheduleState(paused=True, notes="maintenance")


def as_server_tells(sent: Schedule) -> Schedule:
    """What Temporal adds to what it was sent (seen with server 1.29.1)."""
    told = Schedule()
    told.CopyFrom(sent)
    told.action.start_workflow.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    told.action.start_workflow.priority.SetInParent()
    for interval in told.spec.interval:
        interval.ClearField("phase")
    return told


@pytest.mark.parametrize("expression", ["0 8 * * *", "*/15 8-17 13 * 5", "@every 7m", "@hourly", "5 * * * *"])
def test_what_the_server_fills_in_is_no_difference(expression: str) -> None:
    sent = schedule(wanted(expression))
    told = as_server_tells(sent)
    if sent.spec.interval and sent.spec.interval[0].phase.seconds:
        told.spec.interval[0].phase.CopyFrom(sent.spec.interval[0].phase)
    assert differences(told, sent) == []


@pytest.mark.invariant("I22")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("expressions", [["30 2 * * *"], ["0 8 13 * 5", "@every 7m"], ["*/15 * * * *"]])
def test_all_of_a_timetable_is_sent_as_the_sdk_would_send_it(expressions: list[str], zone: str) -> None:
    times = cron.parse(expressions, zone).schedule_spec()
    times.start_at, times.end_at = datetime(2026, 11, 21, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    times.jitter = timedelta(seconds=30)
    sent = schedule(dataclasses.replace(wanted(), times=times))
    theirs = Schedule()
    theirs.CopyFrom(sent)
    theirs.spec.CopyFrom(times._to_proto())
    assert differences(theirs, sent) == []
    assert bool(sent.spec.exclude_structured_calendar) == bool(times.skip)


def later(told: Schedule) -> None:
    told.spec.structured_calendar[0].hour[0].start = 9
    told.spec.structured_calendar[0].hour[0].end = 9


def add_cron(told: Schedule) -> None:
    told.spec.cron_string.append("* * * * *")


def jitter(told: Schedule) -> None:
    told.spec.jitter.seconds = 5


def other_zone(told: Schedule) -> None:
    told.spec.timezone_name = "Europe/Paris"


def other_queue(told: Schedule) -> None:
    told.action.start_workflow.task_queue.name = "elsewhere"


def other_argument(told: Schedule) -> None:
    told.action.start_workflow.input.payloads[0].data = b"{}"


def add_timeout(told: Schedule) -> None:
    told.action.start_workflow.workflow_run_timeout.seconds = 1


def allow_overlap(told: Schedule) -> None:
    told.policies.overlap_policy = ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL


def catch_up(told: Schedule) -> None:
    told.policies.catchup_window.seconds = 1


@pytest.mark.invariant("I17")
@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (later, "spec"),
        (add_cron, "spec"),
        (jitter, "spec"),
        (other_zone, "spec"),
        (other_queue, "action"),
        (other_argument, "action"),
        (add_timeout, "action"),
        (allow_overlap, "policies"),
        (catch_up, "policies"),
    ],
)
def test_whatever_somebody_edits_is_a_difference(edit: Callable[[Schedule], None], part: str) -> None:
    sent = schedule(wanted())
    told = as_server_tells(sent)
    edit(told)
    assert differences(told, sent) == [part]


@pytest.mark.parametrize(
    ("policy", "overlap"),
    [
        (ConcurrencyPolicy.FORBID, "SKIP"),
        (ConcurrencyPolicy.ALLOW, "ALLOW_ALL"),
        (ConcurrencyPolicy.REPLACE, "CANCEL_OTHER"),
        (ConcurrencyPolicy.QUEUE, "BUFFER_ALL"),
    ],
)
def test_concurrency_and_deadline_are_temporals_own_policies(policy: ConcurrencyPolicy, overlap: str) -> None:
    sent = schedule(wanted(concurrency_policy=policy))
    assert ScheduleOverlapPolicy.Name(sent.policies.overlap_policy).endswith(f"POLICY_{overlap}")
    assert sent.policies.catchup_window.seconds == 300


def test_the_schedule_runs_our_workflow_on_the_pools_queue_with_the_request() -> None:
    action = schedule(wanted(pool="gpu")).action.start_workflow
    assert (action.workflow_type.name, action.task_queue.name) == ("GooseJobRun", "goosejobs-gpu")
    assert action.workflow_id == "goosejob/team-a/report/11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("old", "suspend", "new"),
    [
        (ScheduleState(), False, ScheduleState()),
        (ScheduleState(), True, OURS),
        (OURS, True, OURS),
        (OURS, False, ScheduleState()),
        (THEIRS, True, THEIRS),
        (THEIRS, False, THEIRS),
        (ScheduleState(notes="keep me"), False, ScheduleState(notes="keep me")),
        (
            ScheduleState(limited_actions=True, remaining_actions=3),
            True,
            ScheduleState(limited_actions=True, remaining_actions=3, paused=True, notes=NOTE_SUSPEND),
        ),
    ],
)
def test_only_our_own_pause_is_lifted(old: ScheduleState, suspend: bool, new: ScheduleState) -> None:
    assert merged_state(old, suspend=suspend) == new


def test_a_pause_of_somebody_else_is_told_with_its_note() -> None:
    assert foreign_pause(described(wanted(), THEIRS)) == "maintenance"
    assert foreign_pause(described(wanted(), ScheduleState(paused=True))) == "without a note"
    assert foreign_pause(described(wanted(suspend=True))) is None
    assert foreign_pause(described(wanted())) is None


@pytest.mark.parametrize(
    ("ago", "counted", "paused", "most"),
    [(400, 3, False, 2 + 3), (200, 3, False, 2), (400, 0, False, 2), (400, 3, True, 2)],
    ids=["they still stand there", "Temporal is to come to them", "they are counted already", "paused"],
)
def test_what_temporal_counted_before_it_counts_it_for_good_is_forgiven(
    ago: int, counted: int, paused: bool, most: int
) -> None:
    have = described(
        wanted(),  # with a catch-up window of 300 s
        ScheduleState(paused=paused),
        counted=LeftOut(missed=7 + counted),
        next_due=NOW - timedelta(seconds=ago),
        forgiven=2,
    )
    assert forgiven(have, LeftOut(missed=7), NOW) == most


def test_a_schedule_is_behind_while_a_due_time_has_passed_and_it_is_not_paused() -> None:
    for seconds, paused, behind in ((5, False, True), (1, False, False), (5, True, False)):
        state, due = ScheduleState(paused=paused), NOW - timedelta(seconds=seconds)
        assert is_behind(described(wanted(), state, next_due=due), NOW) == behind
    assert not is_behind(described(wanted()), NOW)
