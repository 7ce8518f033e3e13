"""The record of a run whose workflow could not write it."""

from datetime import timedelta

import pytest

from goosejobs.model.run import Trigger
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
    ("state", "outcome", "finish"),
    [
        (TERMINATED, "Killed", "2026-11-21T11:55:30Z"),
        (COMPLETED, "Unknown", "2026-11-21T11:55:30Z"),
        (None, "Unknown", "2026-11-21T12:00:30Z"),
    ],
)
def test_a_run_whose_workflow_is_gone_is_recorded_in_its_place(
    state: RunState | None, outcome: str, finish: str
) -> None:
    obj = goosejob(status={"active": [ACTIVE]})
    status = closed(obj, GoneRun(run=RUN, state=state), seen(obj))
    assert status is not None
    assert status["active"] == []
    record = status["lastRun"]
    assert (record["id"], record["outcome"], record["reason"]) == (RUN.id, outcome, "Terminated")
    assert (record["finishTime"], record["attempt"], record["scheduledTime"]) == (finish, 2, DUE)
    assert "workflow" in record["message"]


def test_what_the_worker_recorded_meanwhile_stands() -> None:
    looked_at = goosejob(status={"active": [ACTIVE]})
    fresh = goosejob(status={"active": [], "lastRun": RECORD, "recentRuns": [RECORD]})
    assert closed(fresh, GoneRun(run=RUN, state=COMPLETED), seen(looked_at)) is None


def test_a_run_once_that_nobody_announced_is_recorded_and_complete() -> None:
    run = ActiveRun(id="once", workflow_id="w/once", trigger=Trigger.ONCE, start_time=NOW)
    gone = GoneRun(run=run, state=TERMINATED, announced=False)
    obj = goosejob(spec={"runOnce": True})
    status = closed(obj, gone, seen(obj))
    assert status is not None
    assert (status["lastRun"]["outcome"], status["completionTime"]) == ("Killed", "2026-11-21T11:55:30Z")
    again = {**obj, "status": {**obj["status"], **status}}
    assert closed(again, gone, seen(obj)) is None
