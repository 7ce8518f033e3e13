"""No more runs than `spec.maxRuns` says."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.schedule.v1 import ScheduleState

from goosejobs.lifecycle import next_schedule_time, read_status
from goosejobs_operator.known import mark_of
from goosejobs_operator.plan import LookAgain, TriggerRun, plan
from goosejobs_operator.schedule import build, is_spent, limited_state
from goosejobs_operator.status import derive
from support.observations import NOW, described, goosejob, seen, wanted

ACTIVE = {"id": "r", "workflowId": "w", "trigger": "Schedule", "startTime": "2026-11-21T08:00:00Z"}


def limited(left: int) -> ScheduleState:
    return ScheduleState(limited_actions=True, remaining_actions=left)


@pytest.mark.parametrize(
    ("old", "max_runs", "started", "is_new", "new"),
    [
        (ScheduleState(), 3, 0, True, limited(3)),
        (ScheduleState(), 3, 2, True, limited(1)),  # the schedule is made anew, or had no limit
        (limited(0), 5, 3, True, limited(2)),
        (limited(2), 1, 3, True, limited(0)),
        (limited(2), 0, 3, True, ScheduleState()),
        (limited(2), 3, 1, False, limited(2)),
        (limited(2), 3, 2, False, limited(1)),  # one of them was asked for: Temporal does not count it
        (limited(1), 3, 0, False, limited(1)),  # one has started, and is not known here yet
        (limited(7), 0, 3, False, ScheduleState()),  # somebody else's limit
        (ScheduleState(), 3, 1, False, limited(2)),  # somebody lifted ours
        (ScheduleState(), 0, 3, False, ScheduleState()),
    ],
)
def test_the_number_is_set_for_a_new_limit_and_only_lowered_otherwise(
    old: ScheduleState, max_runs: int, started: int, is_new: bool, new: ScheduleState
) -> None:
    assert limited_state(old, max_runs, started, is_new=is_new) == new


def test_a_pause_and_the_number_are_changed_in_one_step() -> None:
    want = replace(wanted(max_runs=3), suspend=True, started=2)
    argument = [Payload(data=b"x")]
    found = build(want, argument, SearchAttributes(), Memo(), limited(2), max_runs=3)
    assert (found.state.paused, found.state.remaining_actions) == (True, 1)


def test_it_is_spent_when_none_is_left() -> None:
    assert is_spent(build(replace(wanted(max_runs=2), started=2), [], SearchAttributes(), Memo()))
    assert not is_spent(build(replace(wanted(max_runs=2), started=1), [], SearchAttributes(), Memo()))
    assert not is_spent(build(wanted(), [], SearchAttributes(), Memo()))


def job(**status: Any) -> dict[str, Any]:
    return goosejob(spec={"maxRuns": 3}, status={"observedGeneration": 3, **status})


def test_the_record_or_the_start_of_the_last_run_is_a_cause_to_look() -> None:
    before = mark_of(job(counts={"succeeded": 1, "killed": 1}))
    assert before == mark_of(job())
    assert before != mark_of(job(counts={"succeeded": 1, "killed": 1}, active=[ACTIVE]))
    assert before != mark_of(job(counts={"succeeded": 1, "failed": 1, "killed": 1}))


def test_nothing_is_due_any_more_whoever_writes_that() -> None:
    status = read_status(job(counts={"succeeded": 3}))
    assert next_schedule_time(job(), status, NOW) == ""
    assert next_schedule_time(job(), read_status(job(counts={"succeeded": 2})), NOW)


def test_it_is_completed_and_its_schedule_never_comes_back() -> None:
    want = wanted(max_runs=3)
    for have in (None, described(want, limited(0))):
        one = seen(job(), request=want.request, wanted=want, schedule=have, over=True)
        assert plan(one) == []
        status = derive(one)
        assert status is not None
        (ready,) = (each for each in status["conditions"] if each["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "Completed")
        assert "spec.maxRuns" in ready["message"]
        assert (status["phase"], status["nextScheduleTime"]) == ("Completed", "")


def test_after_a_run_that_was_asked_for_the_number_is_looked_at() -> None:
    run = {
        "token": "t",
        "answer": "Noted",
        "workflowId": "goosejob/team-a/report/11111111-2222-3333-4444-555555555555-2026-11-21T12:00:30Z",
    }
    want = wanted(max_runs=3, odd_intervals=[])
    have = described(want, limited(3))
    obj = job(handledRequests={"run": run})
    steps = plan(seen(obj, request=want.request, wanted=want, schedule=have, target=have.schedule))
    assert [type(step) for step in steps] == [TriggerRun, LookAgain]
