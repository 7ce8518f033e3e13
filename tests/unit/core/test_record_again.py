"""A run's record is written again when the answer to the first time was lost: it counts once all the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import GooseJobRef, RecordRequest, RunInfo, RunOutcome, Trigger
from goosejobs.record import announced, recorded

DUE = datetime(2026, 11, 21, 8, tzinfo=UTC)
REF = GooseJobRef(namespace="team-a", name="report", uid="11111111-2222-3333-4444-555555555555")
Object = dict[str, Any]


def run(number: int) -> RunInfo:
    due = DUE + timedelta(seconds=2 * number)
    id_ = f"20261121-0800{2 * number:02d}"
    return RunInfo(
        goosejob=REF,
        id=id_,
        workflow_id=f"w-{id_}",
        trigger=Trigger.SCHEDULE,
        scheduled_time=due,
        start_time=due,
    )


def news(number: int, *, entered: bool = True) -> RecordRequest:
    which = run(number)
    outcome = RunOutcome(
        outcome=Outcome.FAILED,
        reason=Reason.PROVIDER_AUTH,
        message="no",
        attempt=1,
        start_time=which.start_time,
        finish_time=which.start_time + timedelta(seconds=9),
    )
    return RecordRequest(run=which, outcome=outcome, entered=entered)


def goosejob(limit: int, *active: int) -> Object:
    obj: Object = {
        "metadata": {"name": "report", "namespace": "team-a", "uid": REF.uid, "generation": 1},
        "spec": {"schedule": "@every 2s", "recipe": {"text": "prompt: hi"}, "failedRunsHistoryLimit": limit},
    }
    for number in active:
        obj = written(obj, announced(obj, run(number), 1, "w", DUE))
    return obj


def written(obj: Object, status: Object | None) -> Object:
    return {**obj, "status": {**obj.get("status", {}), **(status or {})}}


def failed(obj: Object) -> tuple[int, int]:
    counts = obj["status"]["counts"]
    return counts["failed"], counts["consecutiveFailures"]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_record_that_is_written_again_after_newer_ones_counts_once(limit: int) -> None:
    obj = goosejob(limit, 0, 1, 2)
    for number in (0, 1, 2, 0, 1):
        obj = written(obj, recorded(obj, news(number), DUE))
    assert failed(obj) == (3, 3)
    assert recorded(obj, news(0), DUE) is None


@pytest.mark.parametrize("limit", [0, 3])
def test_a_run_that_nobody_announced_counts(limit: int) -> None:
    obj = goosejob(limit, 0, 2)
    for number, entered in ((0, True), (2, True), (1, False)):
        obj = written(obj, recorded(obj, news(number, entered=entered), DUE))
    assert failed(obj)[0] == 3


def test_an_entry_that_somebody_took_out_of_the_status_costs_no_count_where_the_history_can_tell() -> None:
    obj = goosejob(3, 0)
    obj["status"]["active"] = []
    obj = written(obj, recorded(obj, news(0), DUE))
    assert failed(obj) == (1, 1)


def test_a_run_that_is_announced_again_keeps_the_time_at_which_it_started() -> None:
    obj = goosejob(3, 0)
    later = run(0).model_copy(update={"start_time": DUE + timedelta(seconds=10)})
    assert announced(obj, later, 1, "w", DUE) is None
    entry = written(obj, announced(obj, later, 2, "w", DUE))["status"]["active"][0]
    assert (entry["attempt"], entry["startTime"]) == (2, obj["status"]["active"][0]["startTime"])
    once = run(0).model_copy(update={"id": "once", "trigger": Trigger.ONCE, "scheduled_time": None})
    obj = written(obj, announced(obj, once, 1, "w", DUE))
    assert announced(obj, once.model_copy(update={"start_time": later.start_time}), 1, "w", DUE) is None
