"""When Temporal is asked although nothing but the status changed: seldom, and soon enough."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goosejobs_operator.due import NEXT_GRACE_SECONDS, SOON_SECONDS
from goosejobs_operator.known import Known
from support.observations import goosejob

KEY = ("team-a", "report")
FIRST, SECOND, THIRD = (datetime(2026, 11, 21, 12, minute, tzinfo=UTC) for minute in (1, 2, 3))
BEFORE = FIRST - timedelta(seconds=30)
RUN = {"id": "20261121-120000", "workflowId": "w", "trigger": "Schedule", "startTime": "2026-11-21T12:00:00Z"}


def job(due: datetime | None, *, last: datetime | None = None, busy: bool = False, **more: Any) -> Any:
    """A GooseJob that is due next then, whose latest run was due at `last`."""
    status: dict[str, Any] = {"active": [RUN] if busy else [], **more.pop("status", {})}
    status |= {"nextScheduleTime": due.isoformat()} if due else {}
    status |= {"lastScheduleTime": last.isoformat()} if last else {}
    return goosejob(status=status, **more)


def after(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)


def settled(obj: Any, since: datetime = BEFORE, **more: bool) -> Known:
    known = Known()
    known.settle(KEY, obj, since, **more)
    return known


@pytest.mark.parametrize(
    ("status", "left"),
    [
        (None, None),
        ({}, None),
        ({"nextScheduleTime": ""}, None),
        ({"nextScheduleTime": FIRST.isoformat()}, 30 + NEXT_GRACE_SECONDS),
        ({"nextScheduleTime": after(BEFORE, -30).isoformat()}, -30 + NEXT_GRACE_SECONDS),
        ({"nextScheduleTime": "tomorrow"}, 0.0),
        ({"nextScheduleTime": "2026-11-21"}, 0.0),
    ],
)
def test_a_next_time_that_passed_is_noticed(status: Any, left: float | None) -> None:
    obj = {**goosejob(), "status": status}
    assert Known().until_look(KEY, obj, BEFORE) == left


def ready(status: str, reason: str) -> dict[str, Any]:
    moment = BEFORE.isoformat()
    condition = {"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": moment}
    return {"conditions": [condition], "nextScheduleTime": ""}


@pytest.mark.parametrize(
    ("status", "left"),
    [
        (ready("True", "Suspended"), 31),
        (ready("True", "Scheduled"), 31),
        (ready("True", "Completed"), None),
        (ready("False", "InvalidRecipe"), None),
        ({}, None),
    ],
)
def test_the_end_is_waited_for_while_nothing_is_due(status: Any, left: float | None) -> None:
    obj = goosejob(spec={"endTime": FIRST.isoformat()}, status=status)
    assert Known().until_look(KEY, obj, BEFORE) == left


def test_a_run_that_starts_when_it_is_due_costs_no_look() -> None:
    known = settled(job(FIRST))
    started = job(SECOND, last=FIRST, busy=True)
    ended = job(SECOND, last=FIRST)
    assert known.until_look(KEY, started, after(FIRST, 1)) == 59 + SOON_SECONDS
    assert known.until_look(KEY, ended, after(FIRST, 2)) == 58 + NEXT_GRACE_SECONDS


@pytest.mark.parametrize(
    ("policy", "soon"), [(None, 1), ("Forbid", 1), ("Queue", 1), ("Allow", 0), ("Replace", 0)]
)
def test_a_due_time_that_finds_a_run_active_is_looked_into_soon(policy: str | None, soon: int) -> None:
    obj = job(FIRST, busy=True, spec={"concurrencyPolicy": policy} if policy else {})
    known = settled(obj)
    assert known.until_look(KEY, obj, FIRST) == (SOON_SECONDS if soon else NEXT_GRACE_SECONDS)


def test_so_is_one_at_which_temporal_has_a_run_that_no_worker_has_told_of() -> None:
    known = settled(job(FIRST), runs=True)
    assert known.until_look(KEY, job(FIRST), FIRST) == SOON_SECONDS


def test_a_due_time_that_passed_without_a_run_is_looked_into_though_the_status_has_gone_on() -> None:
    known = settled(job(FIRST, busy=True))
    ended = job(SECOND)  # its worker wrote the next due time, and knows of no skipped one
    assert known.until_look(KEY, ended, after(FIRST, 1)) == SOON_SECONDS - 1
    next_run = job(THIRD, last=SECOND, busy=True)
    assert (known.until_look(KEY, next_run, after(SECOND, 1)) or 1) < 0  # it is still to be looked into
    known.settle(KEY, next_run, after(SECOND, 1))
    assert known.until_look(KEY, next_run, after(SECOND, 1)) == 59 + SOON_SECONDS


def test_a_look_that_came_before_it_was_decided_does_not_count() -> None:
    known = settled(job(FIRST, busy=True))
    obj = job(SECOND)
    known.settle(KEY, obj, after(FIRST, 0.5))
    assert known.until_look(KEY, obj, after(FIRST, 0.5)) == SOON_SECONDS - 0.5
    known.settle(KEY, obj, after(FIRST, SOON_SECONDS))
    assert known.until_look(KEY, obj, after(FIRST, SOON_SECONDS)) == 60 - SOON_SECONDS + NEXT_GRACE_SECONDS


def test_a_look_that_found_nothing_is_not_repeated_before_the_next_time_is_due_to_be_written() -> None:
    obj = job(FIRST, busy=True)
    known = settled(obj)
    known.settle(KEY, obj, after(FIRST, SOON_SECONDS))
    assert known.until_look(KEY, obj, after(FIRST, SOON_SECONDS)) == NEXT_GRACE_SECONDS - SOON_SECONDS
    moved = job(SECOND, busy=True)
    assert known.until_look(KEY, moved, after(FIRST, 5)) == 55 + SOON_SECONDS


def test_a_temporal_that_is_behind_is_asked_again_ever_less_often_and_then_no_more() -> None:
    obj, since, waits = job(None), BEFORE, []
    known = settled(obj, since, behind=True)
    while (left := known.until_look(KEY, obj, since)) is not None:
        waits.append(left)
        since = after(since, left)
        known.settle(KEY, obj, since, behind=True)
    assert waits == [SOON_SECONDS * 2**times for times in range(5)]


def test_when_a_run_ended_that_others_wait_for_the_queue_is_looked_at_once_more() -> None:
    queue: Any = {"spec": {"concurrencyPolicy": "Queue"}, "status": {"counts": {"queued": 2}}}
    known = settled(job(None, busy=True, **queue))
    ended = job(None, **queue)
    known.settle(KEY, ended, BEFORE)
    assert known.until_look(KEY, ended, BEFORE) == SOON_SECONDS
    known.settle(KEY, ended, after(BEFORE, SOON_SECONDS))
    assert known.until_look(KEY, ended, after(BEFORE, SOON_SECONDS)) is None
