"""What is told of a GooseJob as Events, for `kubectl describe` and `kubectl get events`. Pure.

A run that goes well has two of them, as CronJob's has: when it starts, and when it has ended.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from goosejobs.lifecycle import GooseJobObject, read_status
from goosejobs.model.reasons import INFRASTRUCTURE, RETRYABLE, Outcome
from goosejobs.model.run import AttemptRequest, AttemptResult, RecordRequest, RunInfo, Trigger
from goosejobs.model.status import Answer, Condition, GooseJobStatus, HandledRequests

MAX_BYTES: Final = 1024
"""Of a message: what the API allows those of the newer kind, and enough for a line in a terminal."""
_CUT: Final = "…"


class Told(StrEnum):
    """The reasons of Events: stable words for machines."""

    RUN_STARTED = "RunStarted"
    RUN_SUCCEEDED = "RunSucceeded"
    RUN_FAILED = "RunFailed"
    RUN_KILLED = "RunKilled"
    RUN_UNKNOWN = "RunUnknown"
    ATTEMPT_FAILED = "AttemptFailed"
    RUN_TERMINATED = "RunTerminated"
    """The run's workflow was terminated from outside; the operator closed the record."""
    RUNS_SKIPPED = "RunsSkipped"
    RUNS_MISSED = "RunsMissed"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    PAUSED_IN_TEMPORAL = "SchedulePausedInTemporal"
    PAUSED_AFTER_FAILURES = "PausedAfterFailures"
    RESUMED = "Resumed"
    SCHEDULE_RESTORED = "ScheduleRestored"
    """Somebody deleted or edited the schedule in Temporal; it is as the spec says again."""
    REQUEST_REFUSED = "RequestRefused"
    """What an annotation asked for is not done."""


_ENDS: Final = {
    Outcome.SUCCEEDED: (Told.RUN_SUCCEEDED, "Run {id} succeeded"),
    Outcome.FAILED: (Told.RUN_FAILED, "Run {id} failed ({reason})"),
    Outcome.KILLED: (Told.RUN_KILLED, "Run {id} was killed ({reason})"),
    Outcome.UNKNOWN: (Told.RUN_UNKNOWN, "Run {id} ended, and nobody knows how ({reason})"),
}
_WARNINGS: Final = frozenset({Outcome.FAILED, Outcome.UNKNOWN})
_SKIPPED: Final = (
    "A run that was due did not start: an earlier one was still active, see spec.concurrencyPolicy. "
    "status.counts.skipped has how many"
)
"""Without a number of its own: all of a night are one line in `kubectl describe`."""
_PAUSES: Final = {"PausedInTemporal": Told.PAUSED_IN_TEMPORAL}
"""Reasons of the condition `Suspended` that would say too little as an Event's."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell.

    Attributes:
        reason: A `Told`.
        message: A sentence or two: one line, bounded.
        warning: Whether somebody may have to do something.
        once: What happens only once in a GooseJob's life is told only once: a run and its attempt. Empty: it
            may happen again.
        minor: What comes after it matters more, so that it may not use up what an object may tell.
    """

    reason: str
    message: str
    warning: bool = False
    once: str = ""
    minor: bool = False


def started(run: RunInfo, where: str) -> Event:
    """A run has started.

    Args:
        run: The run.
        where: Its Kubernetes Job, or its worker.
    """
    how = " by hand" if run.trigger is Trigger.MANUAL else ""
    return Event(Told.RUN_STARTED, _line(f"Run {run.id} started{how}: {where}"), once=run.id, minor=True)


def attempt_failed(attempt: AttemptRequest, ended: AttemptResult) -> Event | None:
    """An attempt has failed, and another one follows; None when that is not so, or not certain.

    The workflow decides, and does not count attempts whose worker was lost: so this says at most too little.
    """
    if ended.outcome is not Outcome.FAILED or ended.reason not in RETRYABLE - INFRASTRUCTURE:
        return None
    if ended.attempt >= attempt.request.retry.max_attempts:
        return None
    message = f"Run {attempt.run.id}: attempt {ended.attempt} failed ({ended.reason}), another one follows"
    return Event(
        Told.ATTEMPT_FAILED,
        _line(_with(message, ended.message)),
        warning=True,
        once=f"{attempt.run.id}/{ended.attempt}",
        minor=True,
    )


def ended(news: RecordRequest) -> Event:
    """A run has ended."""
    outcome = news.outcome
    reason, sentence = _ENDS[outcome.outcome]
    message = sentence.format(id=news.run.id, reason=outcome.reason)
    if outcome.outcome is Outcome.SUCCEEDED:
        took = (outcome.finish_time - outcome.start_time).total_seconds()
        message += f" after {max(took, 0):.0f} s"
    if outcome.attempt > 1:
        message += f", at attempt {outcome.attempt}"
    told = "" if outcome.outcome is Outcome.SUCCEEDED else outcome.message
    return Event(reason, _line(_with(message, told)), warning=outcome.outcome in _WARNINGS, once=news.run.id)


def closed(news: RecordRequest) -> Event:
    """The operator has recorded a run that nobody else could record any more."""
    if news.outcome.outcome is not Outcome.KILLED:
        return ended(news)
    message = _line(f"Run {news.run.id}: {news.outcome.message}")
    return Event(Told.RUN_TERMINATED, message, warning=True, once=news.run.id)


def schedule_restored(why: str) -> Event:
    """The schedule in Temporal was not as the spec says, though nobody of us changed either.

    Args:
        why: What was wrong with it, as a sentence.
    """
    return Event(Told.SCHEDULE_RESTORED, _line(why), warning=True)


def changed(obj: GooseJobObject, wanted: Mapping[str, Any]) -> list[Event]:
    """What a write of the operator's part of a status tells.

    Args:
        obj: The GooseJob before it.
        wanted: The part of the status that is written, as JSON.
    """
    if "deletionTimestamp" in obj["metadata"]:
        return []
    before, after = read_status(obj), read_status({"status": wanted})
    tellers = (_left_out, _stalled, _suspended, _refused)
    return [event for teller in tellers for event in teller(before, after)]


def _left_out(before: GooseJobStatus, after: GooseJobStatus) -> Iterator[Event]:
    if after.counts.skipped > before.counts.skipped:
        yield Event(Told.RUNS_SKIPPED, _SKIPPED, minor=True)
    missed = after.counts.missed - before.counts.missed
    if missed > 0:
        runs = "A run that was due" if missed == 1 else f"{missed} runs that were due"
        message = f"{runs} could not start within spec.startingDeadlineSeconds"
        yield Event(Told.RUNS_MISSED, message, warning=True)


def _stalled(before: GooseJobStatus, after: GooseJobStatus) -> Iterator[Event]:
    was, is_ = _true(before, "Stalled"), _true(after, "Stalled")
    if is_ and (was is None or (was.reason, was.message) != (is_.reason, is_.message)):
        yield Event(Told.STALLED, _line(_with(is_.reason, is_.message)), warning=True)


def _suspended(before: GooseJobStatus, after: GooseJobStatus) -> Iterator[Event]:
    was, is_ = _true(before, "Suspended"), _true(after, "Suspended")
    if is_ and (was is None or was.reason != is_.reason):
        yield Event(
            _PAUSES.get(is_.reason, is_.reason), _line(is_.message), warning=is_.reason != Told.SUSPENDED
        )
    if was and any(c.type == "Suspended" and c.status == "False" for c in after.conditions):
        yield Event(Told.RESUMED, "Runs start again when they are due")


def _refused(before: GooseJobStatus, after: GooseJobStatus) -> Iterator[Event]:
    """What was asked for by annotation, and will not be done."""
    was, is_ = (each.handled_requests or HandledRequests() for each in (before, after))
    for name in HandledRequests.model_fields:
        old, new = getattr(was, name), getattr(is_, name)
        if new and new.answer in {Answer.REFUSED, Answer.SKIPPED} and new != old:
            yield Event(Told.REQUEST_REFUSED, _line(new.message), warning=True)


def _true(status: GooseJobStatus, condition_type: str) -> Condition | None:
    found = status.condition(condition_type)
    return found if found and found.status == "True" else None


def _with(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


def _line(text: str) -> str:
    """One line without control characters: an agent's words may stand in it, and it is shown in terminals."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line.encode()) <= MAX_BYTES:
        return line
    return line.encode()[: MAX_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT
