"""The record of a run whose workflow could not write it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import RunOutcome, Trigger
from goosejobs.model.status import ActiveRun
from goosejobs_operator.execute import closed
from goosejobs_operator.observe import GoneRun
from goosejobs_operator.temporal import RunState
from support.observations import NOW, goosejob, seen

DUE = "2026-11-21T11:40:00Z"
ACTIVE = {
    "id": "20261121-114000",
    "workflowId": "w",
    "trigger": "Schedule",
    "scheduledTime": DUE,
    "startTime": DUE,
    "attempt": 2,
}
RECORD = {
    "id": "20261121-114000",
    "trigger": "Schedule",
    "startTime": DUE,
    "finishTime": DUE,
    "attempt": 1,
    "outcome": "Succeeded",
    "reason": "Completed",
}
RUN = ActiveRun.model_validate(ACTIVE)
ENDED = NOW - timedelta(minutes=5)
TERMINATED = RunState(open=False, terminated=True, start_time=NOW, close_time=ENDED)
COMPLETED = RunState(open=False, terminated=False, start_time=NOW, close_time=ENDED)


@pytest.mark.parametrize(
    ("state", "outcome", "reason", "finish"),
    [
        (TERMINATED, "Killed", "Terminated", "2026-11-21T11:55:30Z"),
        (COMPLETED, "Unknown", "Terminated", "2026-11-21T11:55:30Z"),
        (replace(COMPLETED, cancelled=True), "Killed", "Cancelled", "2026-11-21T11:55:30Z"),
        (None, "Unknown", "WorkflowLost", "2026-11-21T12:00:30Z"),
    ],
)
def test_a_run_whose_workflow_is_gone_is_recorded_in_its_place(
    state: RunState | None, outcome: str, reason: str, finish: str
) -> None:
    obj = goosejob(status={"active": [ACTIVE]})
    status = closed(obj, GoneRun(run=RUN, state=state), seen(obj), NOW)
    assert status is not None
    assert status["active"] == []
    record = status["lastRun"]
    assert (record["id"], record["outcome"], record["reason"]) == (RUN.id, outcome, reason)
    assert (record["finishTime"], record["attempt"], record["scheduledTime"]) == (finish, 2, DUE)
    assert "workflow" in record["message"]


def test_how_a_run_ended_is_recorded_as_it_told_temporal() -> None:
    said = RunOutcome(
        outcome=Outcome.FAILED,
        reason=Reason.PROVIDER_AUTH,
        message="401",
        attempt=1,
        start_time=NOW,
        finish_time=ENDED,
    )
    obj = goosejob(status={"active": [ACTIVE]})
    status = closed(obj, GoneRun(run=RUN, state=replace(COMPLETED, outcome=said)), seen(obj), NOW)
    assert status is not None
    record = status["lastRun"]
    assert (record["outcome"], record["reason"], record["message"]) == ("Failed", "ProviderAuth", "401")
    assert record["finishTime"] == "2026-11-21T11:55:30Z"


def test_an_entry_of_a_run_on_record_goes_and_the_record_stays() -> None:
    obj = goosejob(status={"active": [ACTIVE], "recentRuns": [RECORD], "counts": {"succeeded": 1}})
    status = closed(obj, GoneRun(run=RUN, state=None), seen(obj), NOW)
    assert status is not None
    assert (status["active"], status["recentRuns"][0]["outcome"]) == ([], "Succeeded")
    assert (status["counts"]["succeeded"], status["counts"]["failed"]) == (1, 0)


def test_a_run_that_was_reset_after_its_record_and_then_terminated_is_recorded_anew() -> None:
    again = {**ACTIVE, "startTime": "2026-11-21T11:50:00Z"}
    obj = goosejob(status={"active": [again], "recentRuns": [RECORD], "counts": {"succeeded": 1}})
    gone = GoneRun(run=ActiveRun.model_validate(again), state=TERMINATED)
    status = closed(obj, gone, seen(obj), NOW)
    assert status is not None
    assert [run["outcome"] for run in status["recentRuns"]] == ["Killed"]
    assert (status["counts"]["succeeded"], status["counts"]["killed"]) == (0, 1)


def test_what_the_worker_recorded_meanwhile_stands() -> None:
    looked_at = goosejob(status={"active": [ACTIVE]})
    fresh = goosejob(status={"active": [], "lastRun": RECORD, "recentRuns": [RECORD]})
    assert closed(fresh, GoneRun(run=RUN, state=COMPLETED), seen(looked_at), NOW) is None


def test_a_run_once_that_nobody_announced_is_recorded_and_complete() -> None:
    run = ActiveRun(id="once", workflow_id="w/once", trigger=Trigger.ONCE, start_time=NOW)
    gone = GoneRun(run=run, state=TERMINATED, announced=False)
    obj = goosejob(spec={"runOnce": True})
    status = closed(obj, gone, seen(obj), NOW)
    assert status is not None
    assert (status["lastRun"]["outcome"], status["completionTime"]) == ("Killed", "2026-11-21T11:55:30Z")
    again = {**obj, "status": {**obj["status"], **status}}
    assert closed(again, gone, seen(obj), NOW) is None
