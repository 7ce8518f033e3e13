"""The record of runs on a GooseJob's status: a pure fold of one run's news into what stands there.

Called by the worker that runs it, and by the operator to close the record of a run whose workflow is gone.
Folding the same news twice changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from goosejobs.lifecycle import GooseJobObject, Share, next_schedule_time, phase, read_spec, read_status
from goosejobs.model.reasons import Outcome
from goosejobs.model.run import EndedAttempt, RecordRequest, RunInfo, Trigger
from goosejobs.model.status import (
    MAX_ACTIVE,
    MAX_ATTEMPT_MESSAGE,
    MAX_ATTEMPTS,
    MAX_MESSAGE,
    MAX_RECENT,
    MAX_RECENT_RESULT,
    MAX_RESULT,
    ActiveRun,
    AttemptRecord,
    Condition,
    Counts,
    GooseJobStatus,
    LastRun,
    RunRecord,
)

_CUT = "… (cut)"
_COUNTER = {Outcome.SUCCEEDED: "succeeded", Outcome.KILLED: "killed"}
_CONDITION = {Outcome.SUCCEEDED: "True", Outcome.FAILED: "False", Outcome.KILLED: "False"}
_DEFAULT_HISTORY = 3
_OWNED_CONDITION = "LastRunSucceeded"
_SHARE = Share(
    fields=frozenset(
        {
            "phase",
            "nextScheduleTime",
            "lastScheduleTime",
            "lastSuccessfulTime",
            "lastFailureTime",
            "completionTime",
            "active",
            "lastRun",
            "recentRuns",
        }
    ),
    counts=frozenset({"succeeded", "failed", "killed", "consecutiveFailures"}),
    conditions=frozenset({_OWNED_CONDITION}),
)


def announced(
    obj: GooseJobObject,
    run: RunInfo,
    attempt: int,
    worker: str,
    now: datetime,
    *,
    job_name: str | None = None,
    ended: Sequence[EndedAttempt] = (),
) -> dict[str, Any] | None:
    """Enter a run that starts, or starts its next attempt, into `status.active`.

    Args:
        obj: The GooseJob as it is.
        run: The run.
        attempt: Number of the attempt that starts, from 1.
        worker: Who executes it.
        now: For `nextScheduleTime`.
        job_name: The attempt's Kubernetes Job; None for a process.
        ended: Its attempts before this one, oldest first.

    Returns:
        All status fields of the worker's manager; None when they stand there already.
    """
    status = read_status(obj)
    start = run.start_time.replace(microsecond=0)
    if known := next((other for other in status.active if other.id == run.id), None):
        start = min(start, known.start_time)  # Temporal's moves when a worker dies in a run's first moments
    entry = ActiveRun(
        id=run.id,
        workflow_id=run.workflow_id,
        trigger=run.trigger,
        scheduled_time=run.scheduled_time,
        start_time=start,
        attempt=attempt,
        worker=worker[:253],
        job_name=job_name,
        attempts=_attempts(ended),
    )
    others = [other for other in status.active if other.id != run.id]
    status.active = sorted([*others, entry], key=_started)[:MAX_ACTIVE]
    if run.trigger is not Trigger.MANUAL:
        due = (run.scheduled_time or start).replace(microsecond=0)
        status.last_schedule_time = max(filter(None, (status.last_schedule_time, due)))
    return _owned(obj, status, now)


def recorded(obj: GooseJobObject, news: RecordRequest, now: datetime) -> dict[str, Any] | None:
    """Fold a run's end into the status; never over a newer run's.

    Args:
        obj: The GooseJob as it is.
        news: How the run ended.
        now: For `nextScheduleTime`.

    Returns:
        All status fields of the worker's manager; None when they stand there already.
    """
    status = read_status(obj)
    entry = next((run for run in status.active if run.id == news.run.id), None)
    told = entry.attempts if entry else None
    status.active = [run for run in status.active if run.id != news.run.id]
    record = _record(news)
    before = next((run for run in status.records if run.id == record.id), None)
    newest = (
        status.last_run is None or status.last_run.id == record.id or _due(record) > _due(status.last_run)
    )
    status.recent_runs = _history(obj, [record, *(r for r in status.recent_runs if r.id != record.id)])
    # Its record is written again when the answer to the first time was lost; the history may have let it go.
    forgotten = before is None and all(run.id != record.id for run in status.recent_runs)
    if not (forgotten and news.entered and entry is None):
        status.counts = _counted(status.counts, record, before, newest=newest)
    if newest:
        # Whoever closes the record of a run that is gone knows of no attempts but those that stood there.
        told = _attempts(news.attempts) or told or _same(status.last_run, record)
        status.last_run = LastRun(**dict(record), attempts=told)
        others = [c for c in status.conditions if c.type != _OWNED_CONDITION]
        status.conditions = [*others, _last_run_condition(status, record, news.run.generation)]
    _note_times(status, record)
    return _owned(obj, status, now)


def is_recorded(obj: GooseJobObject, run_id: str, since: datetime) -> bool:
    """Whether the end of a run is on record: then its entry in `status.active` is stale.

    Args:
        obj: The GooseJob as it is.
        run_id: The run's id.
        since: When it started. One whose workflow was reset has started anew, and is to be recorded again.
    """
    start = since.replace(microsecond=0)
    return any(each.id == run_id and each.finish_time >= start for each in read_status(obj).records)


def dropped(obj: GooseJobObject, run_id: str, now: datetime) -> dict[str, Any] | None:
    """Take a stale entry out of `status.active`, and keep the record that there is.

    Args:
        obj: The GooseJob as it is.
        run_id: The entry's id.
        now: For `nextScheduleTime`.

    Returns:
        All status fields of the worker's manager; None when they stand there already.
    """
    status = read_status(obj)
    status.active = [run for run in status.active if run.id != run_id]
    return _owned(obj, status, now)


def trimmed(obj: GooseJobObject, now: datetime) -> dict[str, Any] | None:
    """Let go of the records that are beyond the spec's history limits, which somebody has lowered.

    Args:
        obj: The GooseJob as it is; with a spec that makes no sense nothing goes.
        now: For `nextScheduleTime`.

    Returns:
        All status fields of the worker's manager; None when there is nothing to let go of.
    """
    status = read_status(obj)
    kept = _history(obj, status.recent_runs)
    if read_spec(obj) is None or len(kept) == len(status.recent_runs):
        return None
    status.recent_runs = kept
    return _owned(obj, status, now)


def _record(news: RecordRequest) -> RunRecord:
    return RunRecord(
        id=news.run.id,
        trigger=news.run.trigger,
        scheduled_time=news.run.scheduled_time,
        start_time=news.outcome.start_time.replace(microsecond=0),
        finish_time=news.outcome.finish_time.replace(microsecond=0),
        attempt=news.outcome.attempt,
        outcome=news.outcome.outcome,
        reason=news.outcome.reason,
        message=_clamp(news.outcome.message, MAX_MESSAGE),
        result=_clamp(news.result, MAX_RESULT),
        tokens=news.tokens,
        session=news.session[:253] if news.session else None,
        job_name=news.job_name,
    )


def _attempts(ended: Sequence[EndedAttempt]) -> list[AttemptRecord] | None:
    return [
        AttemptRecord(
            attempt=one.attempt,
            start_time=one.start_time.replace(microsecond=0),
            finish_time=one.finish_time.replace(microsecond=0),
            outcome=one.outcome,
            reason=one.reason,
            message=_clamp(one.message, MAX_ATTEMPT_MESSAGE),
            job_name=one.job_name,
        )
        for one in ended[-MAX_ATTEMPTS:]
    ] or None


def _same(last: LastRun | None, record: RunRecord) -> list[AttemptRecord] | None:
    return last.attempts if last and last.id == record.id else None


def _clamp(text: str, limit: int) -> str:
    sound = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be sent
    return sound if len(sound) <= limit else sound[: limit - len(_CUT)] + _CUT


def _started(run: ActiveRun) -> datetime:
    return run.start_time


def _due(record: RunRecord) -> datetime:
    return record.scheduled_time or record.start_time


def _counter(record: RunRecord) -> str:
    return _COUNTER.get(record.outcome, "failed")


def _counted(counts: Counts, record: RunRecord, before: RunRecord | None, *, newest: bool) -> Counts:
    """Count a run once; one that is told of anew (its workflow was reset) moves to its new counter."""
    numbers = counts.model_dump()
    if before is not None:
        numbers[_counter(before)] = max(0, numbers[_counter(before)] - 1)
    numbers[_counter(record)] += 1
    if newest and record.outcome is Outcome.SUCCEEDED:
        numbers["consecutive_failures"] = 0
    elif newest and _counter(record) == "failed" and (before is None or _counter(before) != "failed"):
        numbers["consecutive_failures"] += 1
    return Counts(**numbers)


def _history(obj: GooseJobObject, runs: list[RunRecord]) -> list[RunRecord]:
    """The newest runs, as many of each kind as the spec's history limits say."""
    spec = read_spec(obj)
    limits = {
        True: spec.successful_runs_history_limit if spec else _DEFAULT_HISTORY,
        False: spec.failed_runs_history_limit if spec else _DEFAULT_HISTORY,
    }
    kept: list[RunRecord] = []
    for run in sorted(runs, key=_due, reverse=True):
        succeeded = run.outcome is Outcome.SUCCEEDED
        if limits[succeeded] > 0 and len(kept) < MAX_RECENT:
            limits[succeeded] -= 1
            kept.append(run.model_copy(update={"result": _clamp(run.result, MAX_RECENT_RESULT)}))
    return kept


def _note_times(status: GooseJobStatus, record: RunRecord) -> None:
    if record.outcome is Outcome.SUCCEEDED:
        status.last_successful_time = max(filter(None, (status.last_successful_time, record.finish_time)))
    elif record.outcome is not Outcome.KILLED:
        status.last_failure_time = max(filter(None, (status.last_failure_time, record.finish_time)))
    if record.trigger is Trigger.ONCE:
        status.completion_time = status.completion_time or record.finish_time


def _last_run_condition(status: GooseJobStatus, record: RunRecord, generation: int) -> Condition:
    """It speaks of the spec that the run had, so that `kubectl wait` after an edit waits for the next run.

    Of a run that the operator closes this is not known: then of no later one than the run before it.
    """
    value = _CONDITION.get(record.outcome, "Unknown")
    old = status.condition(_OWNED_CONDITION)
    unchanged = old is not None and old.status == value
    return Condition.model_validate(
        {
            "type": _OWNED_CONDITION,
            "status": value,
            "reason": record.reason,
            "message": record.message,
            "lastTransitionTime": old.last_transition_time if old and unchanged else record.finish_time,
            "observedGeneration": generation
            or (old.observed_generation if old else max(status.observed_generation, 1)),
        }
    )


def _owned(obj: GooseJobObject, status: GooseJobStatus, now: datetime) -> dict[str, Any] | None:
    """Everything that the worker's manager owns, as JSON; None when it is what the object has."""
    status.phase = phase(obj, status)
    status.next_schedule_time = next_schedule_time(obj, status, now)
    return _SHARE.to_write(obj, status)
