"""When a run tries again."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.model.reasons import INFRASTRUCTURE, RETRYABLE, Outcome, Reason
from goosejobs.model.run import AttemptResult
from goosejobs.model.spec import Retry
from goosejobs_worker.attempts import MAX_LOST, Attempts


def ended(reason: Reason, outcome: Outcome = Outcome.FAILED) -> AttemptResult:
    return AttemptResult(attempt=1, outcome=outcome, reason=reason)


def delays(attempts: Attempts, *reasons: Reason) -> list[float | None]:
    found = (attempts.next_delay(ended(reason)) for reason in reasons)
    return [delay if delay is None else delay.total_seconds() for delay in found]


def test_a_failure_that_may_pass_is_tried_again_with_growing_delays() -> None:
    attempts = Attempts(Retry(max_attempts=5, initial_interval_seconds=2, backoff_coefficient=3))
    assert delays(attempts, *[Reason.RATE_LIMITED] * 5) == [2, 6, 18, 30, None]


@pytest.mark.parametrize("reason", sorted(RETRYABLE - INFRASTRUCTURE))
def test_each_failure_that_may_pass_is_tried_again_by_the_default_policy(reason: Reason) -> None:
    assert delays(Attempts(Retry()), *[reason] * 3) == [1, 2, None]


def test_the_longest_wait_of_the_default_policy_is_half_a_minute() -> None:
    attempts = Attempts(Retry(max_attempts=20))
    assert delays(attempts, *[Reason.RATE_LIMITED] * 7) == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("reason", sorted(set(Reason) - RETRYABLE))
def test_a_failure_that_would_come_again_is_not_tried_again(reason: Reason) -> None:
    assert delays(Attempts(Retry(max_attempts=20)), reason) == [None]


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.KILLED, Outcome.UNKNOWN])
def test_only_a_failed_attempt_is_tried_again(outcome: Outcome) -> None:
    assert Attempts(Retry()).next_delay(ended(Reason.NETWORK_ERROR, outcome)) is None


@pytest.mark.parametrize("reason", sorted(INFRASTRUCTURE))
def test_a_lost_attempt_does_not_count_but_there_is_an_end_to_it(reason: Reason) -> None:
    attempts = Attempts(Retry(max_attempts=1))
    found = delays(attempts, *[reason] * (MAX_LOST + 1))
    assert None not in found[:-1]
    assert found[-1] is None


def test_lost_attempts_do_not_use_up_the_others() -> None:
    attempts = Attempts(Retry(max_attempts=2))
    found = delays(
        attempts, Reason.WORKER_LOST, Reason.NETWORK_ERROR, Reason.WORKER_LOST, Reason.NETWORK_ERROR
    )
    assert found == [1, 1, 2, None]


@settings(max_examples=60, deadline=None)
@given(
    retry=st.builds(
        Retry,
        max_attempts=st.integers(1, 20),
        initial_interval_seconds=st.integers(1, 3600),
        backoff_coefficient=st.integers(1, 10),
        max_interval_seconds=st.integers(1, 86400),
    ),
    reasons=st.lists(st.sampled_from(sorted(RETRYABLE)), max_size=50),
)
def test_delays_stay_within_bounds_and_attempts_come_to_an_end(retry: Retry, reasons: list[Reason]) -> None:
    attempts = Attempts(retry)
    found = [attempts.next_delay(ended(reason)) for reason in reasons]
    assert all(
        timedelta(0) < delay <= timedelta(seconds=retry.max_interval_seconds) for delay in found if delay
    )
    assert len([delay for delay in found if delay]) <= retry.max_attempts - 1 + MAX_LOST
