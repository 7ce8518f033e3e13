"""How an attempt ended that goose did not end itself, and what the SDK's cancellations mean."""

from datetime import UTC, datetime

import pytest
from temporalio.activity import ActivityCancellationDetails

from goosejobs.clients.errors import Unavailable
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptRequest, GooseJobRef, RecipeSnapshot, RunInfo, RunRequest, Trigger
from goosejobs_worker import activities
from goosejobs_worker.activities import in_time, stop_of
from goosejobs_worker.executors.local.executor import ended_by_us, session_name
from goosejobs_worker.executors.local.process import Cause, Report
from goosejobs_worker.lifeline import Stop
from goosejobs_worker.workflow import LOCAL_TIMEOUT

REF = GooseJobRef(namespace="team-a", name="report", uid="u")
ATTEMPT = AttemptRequest(
    run=RunInfo(
        goosejob=REF,
        id="20261121-114000",
        workflow_id="w",
        trigger=Trigger.SCHEDULE,
        start_time=datetime(2026, 11, 21, 11, 40, tzinfo=UTC),
    ),
    request=RunRequest(
        goosejob=REF,
        generation=1,
        recipe=RecipeSnapshot(text="t", digest="d", source="spec.recipe.text"),
        active_deadline_seconds=90,
    ),
    attempt=2,
)


@pytest.mark.parametrize(
    ("report", "why", "outcome", "reason", "says"),
    [
        (Report(Cause.STOPPED, signal=15), Stop.CANCELLED, Outcome.KILLED, Reason.CANCELLED, "cancelled"),
        (Report(Cause.STOPPED, signal=15), Stop.GONE, Outcome.KILLED, Reason.CANCELLED, "no longer knows"),
        (
            Report(Cause.STOPPED, signal=15),
            Stop.SHUTDOWN,
            Outcome.FAILED,
            Reason.WORKER_SHUTDOWN,
            "worker was stopped",
        ),
        # A signal that somebody sent to the supervisor itself.
        (
            Report(Cause.STOPPED, signal=15),
            None,
            Outcome.FAILED,
            Reason.WORKER_SHUTDOWN,
            "worker was stopped",
        ),
        (Report(Cause.DEADLINE, signal=15), None, Outcome.FAILED, Reason.DEADLINE_EXCEEDED, "after 90 s"),
        (Report(Cause.LEASE, signal=9), None, Outcome.FAILED, Reason.WORKER_LOST, "nothing from Temporal"),
        # The lease ended because the attempt had been given to another worker: nobody hears this any more.
        (
            Report(Cause.LEASE, signal=9),
            Stop.GONE,
            Outcome.FAILED,
            Reason.WORKER_LOST,
            "nothing from Temporal",
        ),
        (
            Report(Cause.START_FAILED, error="No such file: /x"),
            None,
            Outcome.FAILED,
            Reason.START_FAILED,
            "goose cannot be started: No such file: /x",
        ),
        (Report(Cause.SUPERVISOR_LOST), None, Outcome.FAILED, Reason.GOOSE_CRASHED, "supervisor was killed"),
    ],
)
def test_what_we_ended_is_named_by_why(
    report: Report, why: Stop | None, outcome: Outcome, reason: Reason, says: str
) -> None:
    result = ended_by_us(ATTEMPT, why, report)
    assert result is not None
    assert (result.outcome, result.reason, result.attempt) == (outcome, reason, 2)
    assert says in result.message


@pytest.mark.parametrize(
    "report",
    [
        Report(Cause.EXITED, exit_code=0),
        Report(Cause.EXITED, exit_code=1),
        Report(Cause.EXITED, signal=11),
        Report(Cause.STOPPED, exit_code=0),  # it was done before the order reached it
        Report(Cause.DEADLINE, exit_code=0),
    ],
)
def test_what_goose_ended_itself_is_for_its_output_to_tell(report: Report) -> None:
    assert ended_by_us(ATTEMPT, Stop.CANCELLED, report) is None


def test_a_session_is_named_after_its_run_and_attempt() -> None:
    assert session_name(ATTEMPT) == "team-a-report-20261121-114000-2"


@pytest.mark.parametrize(
    ("details", "stop"),
    [
        (None, Stop.SHUTDOWN),
        (ActivityCancellationDetails(worker_shutdown=True), Stop.SHUTDOWN),
        (ActivityCancellationDetails(not_found=True), Stop.GONE),
        (ActivityCancellationDetails(timed_out=True), Stop.GONE),
        (ActivityCancellationDetails(cancel_requested=True), Stop.CANCELLED),
        (ActivityCancellationDetails(reset=True), Stop.GONE),
        (ActivityCancellationDetails(paused=True), None),
    ],
)
def test_the_sdk_calls_many_things_a_cancellation(
    details: ActivityCancellationDetails | None, stop: Stop | None
) -> None:
    assert stop_of(details) is stop


def test_a_write_that_comes_too_late_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(activities, "boot_time", lambda: now)
    fold = in_time(lambda _: {"active": []})
    now += LOCAL_TIMEOUT.total_seconds()
    assert fold({}) == {"active": []}
    now += 0.1
    with pytest.raises(Unavailable, match="too late"):
        fold({})
