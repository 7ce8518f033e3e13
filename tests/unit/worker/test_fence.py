"""How long a run waits for what an earlier one may have left alive."""

from datetime import UTC, datetime, timedelta

import pytest

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import GooseJobRef, RunInfo, Trigger
from goosejobs.model.status import ActiveRun, GooseJobStatus, LastRun
from goosejobs_worker.fence import FENCE, HEARTBEAT_TIMEOUT, started_before, wait_before_start
from goosejobs_worker.lifeline import LEASE_SHARE

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def active(run_id: str) -> ActiveRun:
    return ActiveRun(id=run_id, workflow_id=run_id, trigger=Trigger.SCHEDULE, start_time=NOW)


def record(run_id: str, reason: Reason, ago: float) -> LastRun:
    finish = NOW - timedelta(seconds=ago)
    return LastRun(
        id=run_id,
        trigger=Trigger.SCHEDULE,
        start_time=finish,
        finish_time=finish,
        attempt=1,
        outcome=Outcome.KILLED,
        reason=reason,
    )


def test_a_first_run_does_not_wait() -> None:
    assert wait_before_start(GooseJobStatus(), "b", NOW) == timedelta(0)


def test_a_run_does_not_wait_for_its_own_entry() -> None:
    assert wait_before_start(GooseJobStatus(active=[active("b")]), "b", NOW) == timedelta(0)


def test_a_run_that_never_recorded_its_end_is_waited_for() -> None:
    assert wait_before_start(GooseJobStatus(active=[active("a"), active("b")]), "b", NOW) == FENCE


@pytest.mark.parametrize("reason", [Reason.TERMINATED, Reason.WORKFLOW_LOST])
def test_a_terminated_run_is_waited_for_from_when_it_was_terminated(reason: Reason) -> None:
    status = GooseJobStatus(last_run=record("a", reason, ago=4))
    assert wait_before_start(status, "b", NOW) == FENCE - timedelta(seconds=4)


def test_of_several_terminated_runs_the_latest_counts() -> None:
    runs = [record("a", Reason.TERMINATED, ago=2), record("0", Reason.TERMINATED, ago=9)]
    assert wait_before_start(GooseJobStatus(recent_runs=runs), "b", NOW) == FENCE - timedelta(seconds=2)


def test_a_run_terminated_long_ago_is_not_waited_for() -> None:
    status = GooseJobStatus(last_run=record("a", Reason.TERMINATED, ago=FENCE.total_seconds()))
    assert wait_before_start(status, "b", NOW) == timedelta(0)


def test_a_run_that_recorded_its_end_has_no_processes() -> None:
    status = GooseJobStatus(last_run=record("a", Reason.CANCELLED, ago=0))
    assert wait_before_start(status, "b", NOW) == timedelta(0)


def test_the_lease_ends_before_anybody_stops_waiting_for_it() -> None:
    lease = HEARTBEAT_TIMEOUT * LEASE_SHARE
    assert lease + timedelta(seconds=2) <= min(HEARTBEAT_TIMEOUT, FENCE)


def test_a_job_that_the_executor_ends_is_not_waited_for_a_process_is() -> None:
    job = active("a").model_copy(update={"job_name": "a-1a2b3c4-1"})
    ended = record("c", Reason.TERMINATED, 5).model_copy(update={"job_name": "c-1a2b3c4-1"})
    status = GooseJobStatus(active=[job, active("b")], recent_runs=[ended])
    assert wait_before_start(status, "b", NOW) == FENCE
    assert wait_before_start(status, "b", NOW, jobs_are_ended=True) == timedelta(0)
    process = GooseJobStatus(active=[active("a"), active("b")])
    assert wait_before_start(process, "b", NOW, jobs_are_ended=True) == FENCE


def test_a_run_waits_for_those_that_started_before_it_and_never_for_those_after() -> None:
    ref = GooseJobRef(namespace="team-a", name="report", uid="u")
    stem = "goosejob/team-a/report/u-2026-11-21T12:00:0"
    runs = [
        active(str(n)).model_copy(
            update={"workflow_id": f"{stem}{n}Z", "start_time": NOW + timedelta(seconds=n // 2)}
        )
        for n in range(4)
    ]
    foreign = active("x").model_copy(update={"workflow_id": "goosejob/team-b/report/u-2026-11-21T12:00:00Z"})
    status = GooseJobStatus(active=[*runs, foreign])
    waits = {}
    for run in runs:
        start = run.start_time + timedelta(microseconds=7)
        info = RunInfo(
            goosejob=ref, **{**run.model_dump(include=set(RunInfo.model_fields)), "start_time": start}
        )
        waits[run.id] = started_before(status, info)
    assert waits == {str(n): [f"{stem}{before}Z" for before in range(n)] for n in range(4)}


def test_a_run_whose_workflow_was_reset_waits_neither_for_itself_nor_for_those_that_wait_for_it() -> None:
    ref = GooseJobRef(namespace="team-a", name="report", uid="u")
    stem = "goosejob/team-a/report/u-2026-11-21T12:00:0"
    runs = [
        active(str(n)).model_copy(
            update={"workflow_id": f"{stem}{n}Z", "start_time": NOW + timedelta(seconds=n)}
        )
        for n in range(2)
    ]
    first, second = runs
    reset = RunInfo(
        goosejob=ref,
        **{
            **first.model_dump(include=set(RunInfo.model_fields)),
            "start_time": second.start_time + timedelta(seconds=30),
        },
    )
    assert started_before(GooseJobStatus(active=runs), reset) == []
