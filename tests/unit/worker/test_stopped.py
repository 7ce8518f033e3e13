"""What is told of a run that did not come to its own end."""

from datetime import UTC, datetime, timedelta

import pytest

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptResult, Tokens
from goosejobs.model.spec import Retry
from goosejobs_worker.attempts import Attempts
from goosejobs_worker.stopped import killed, out_of_time, unknown_here

T0 = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
BEFORE = "the run did not end within 60 s (spec.runDeadlineSeconds): "


def result(attempt: int, reason: Reason, message: str = "", left: str = "") -> AttemptResult:
    outcome = Outcome.KILLED if reason is Reason.CANCELLED else Outcome.FAILED
    return AttemptResult(
        attempt=attempt,
        outcome=outcome,
        reason=reason,
        message=message,
        left=left,
        tokens=Tokens(total=7),
        session="s",
    )


def attempts(made: int, *ended: AttemptResult) -> Attempts:
    found = Attempts(Retry(), made=made)
    for number, one in enumerate(ended):
        since = T0 + timedelta(minutes=number)
        found.note(one, since, since + timedelta(seconds=30))
    return found


LIMITED = result(1, Reason.RATE_LIMITED, "429 from the provider")


@pytest.mark.parametrize(
    ("so_far", "cut", "says"),
    [
        (attempts(0), None, "no attempt was made"),
        (attempts(1), None, "attempt 1 waited for a worker"),
        (attempts(1), result(1, Reason.CANCELLED, "the run was cancelled"), "attempt 1 was ended"),
        (
            attempts(2, LIMITED),
            result(2, Reason.CANCELLED, "", left="pod x was told to end"),
            "attempt 2 was ended; pod x was told to end",
        ),
        (
            attempts(1, LIMITED),
            None,
            "it waited to try again; attempt 1 ended with RateLimited: 429 from the provider",
        ),
        (
            attempts(2, result(1, Reason.WORKER_LOST)),
            None,
            "attempt 2 waited for a worker; attempt 1 ended with WorkerLost",
        ),
    ],
    ids=["nothing", "no worker", "in goose", "in goose again", "between attempts", "no worker again"],
)
def test_a_run_out_of_time_says_at_what_its_deadline_met_it(
    so_far: Attempts, cut: AttemptResult | None, says: str
) -> None:
    ended = out_of_time(so_far, 60, cut=cut)
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, Reason.DEADLINE_EXCEEDED)
    assert ended.message == BEFORE + says


def test_what_goose_used_before_its_run_was_stopped_is_kept() -> None:
    for ended in (killed(attempts(1, LIMITED), "enough"), out_of_time(attempts(1, LIMITED), 60)):
        assert (ended.attempt, ended.tokens, ended.session) == (1, Tokens(total=7), "s")


def test_whoever_kills_a_run_is_quoted() -> None:
    assert killed(attempts(0), "enough").message == "the run was cancelled: enough"
    assert killed(attempts(0), "").message == "the run was cancelled"


def test_of_many_attempts_the_newest_are_told() -> None:
    many = attempts(25, *[result(number, Reason.WORKER_LOST) for number in range(1, 26)])
    assert [one.attempt for one in many.ended] == list(range(16, 26))
    assert many.ended[0].start_time == T0 + timedelta(minutes=15)
    assert many.ended[0].finish_time == T0 + timedelta(minutes=15, seconds=30)


def test_a_run_whose_goosejob_is_not_there_is_refused_and_not_tried_again() -> None:
    ended = unknown_here(attempts(0))
    assert (ended.outcome, ended.reason, ended.attempt) == (Outcome.FAILED, Reason.POOL_REFUSED, 0)
    assert "another cluster" in ended.message
