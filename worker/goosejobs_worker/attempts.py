"""When a run tries again: a pure decision, made inside the workflow."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from goosejobs.model.reasons import INFRASTRUCTURE, RETRYABLE, Outcome
from goosejobs.model.run import AttemptResult, EndedAttempt
from goosejobs.model.spec import Retry
from goosejobs.model.status import MAX_ATTEMPTS

MAX_LOST: Final = 20
"""How many attempts of one run may end for reasons that are not the recipe's."""


@dataclass
class Attempts:
    """The attempts of one run so far.

    Attributes:
        retry: The GooseJob's `spec.retry`.
        made: How many attempts were started; the number of the latest one.
        failed: How many of them count against `retry.maxAttempts`.
        lost: How many ended because a worker stopped or was lost.
        latest: How the last one ended that has ended.
        ended: What is told of those that have ended: the newest, oldest first.
    """

    retry: Retry
    made: int = 0
    failed: int = 0
    lost: int = 0
    latest: AttemptResult | None = None
    ended: list[EndedAttempt] = field(default_factory=list)

    def note(self, ended: AttemptResult, since: datetime, now: datetime) -> None:
        """An attempt has ended.

        Args:
            ended: How.
            since: When it was handed to the pool's workers.
            now: When it ended.
        """
        self.latest = ended
        told = ended.model_dump(include=set(EndedAttempt.model_fields))
        self.ended.append(EndedAttempt(start_time=since, finish_time=now, **told))
        del self.ended[:-MAX_ATTEMPTS]

    def next_delay(self, ended: AttemptResult) -> timedelta | None:
        """Count an attempt's end; how long to wait before the next one, or None: that was the last."""
        if ended.outcome is not Outcome.FAILED or ended.reason not in RETRYABLE:
            return None
        if ended.reason in INFRASTRUCTURE:
            self.lost += 1
            return self._delay(self.lost) if self.lost <= MAX_LOST else None
        self.failed += 1
        return self._delay(self.failed) if self.failed < self.retry.max_attempts else None

    def _delay(self, count: int) -> timedelta:
        # The exponent is bounded because the interval is: 10 ** 20 seconds are no timedelta.
        seconds = self.retry.initial_interval_seconds * self.retry.backoff_coefficient ** min(count - 1, 17)
        return timedelta(seconds=min(seconds, self.retry.max_interval_seconds))
