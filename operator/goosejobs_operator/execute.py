"""Carries out the steps of a plan. Each can be repeated: after a crash between two the next look goes on."""

import logging
from datetime import UTC, datetime
from typing import Any

from goosejobs import events, record
from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import GooseJobRef, RecordRequest, RunInfo, RunOutcome
from goosejobs.model.status import ActiveRun
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.observe import GoneRun, Observation, has_run
from goosejobs_operator.plan import (
    ATTRIBUTES,
    AddFinalizer,
    CancelRun,
    CloseRecord,
    CreateSchedule,
    DeleteSchedule,
    LookAgain,
    RemoveFinalizer,
    StartOnce,
    Step,
    TerminateRun,
    TriggerRun,
    TrimHistory,
    UpdateSchedule,
)
from goosejobs_operator.temporal import RunState, Temporal

log = logging.getLogger(__name__)

_LOST = (
    "The schedule was gone from Temporal and was made anew. What was due meanwhile did not start; a "
    "pause that it had is kept."
)


class Executor:
    """Acts on Kubernetes and Temporal for one GooseJob at a time."""

    def __init__(self, kube: OperatorKube, temporal: Temporal, recorder: Recorder) -> None:
        self._kube = kube
        self._temporal = temporal
        self._recorder = recorder

    async def execute(self, steps: list[Step], seen: Observation) -> Object:
        """Carry out the steps in order.

        Returns:
            The object as the last write of its metadata left it.

        Raises:
            Conflict: Something changed since it was looked at.
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        obj = seen.obj
        for step in steps:
            obj = await self._step(step, seen, obj)
        return obj

    async def _step(self, step: Step, seen: Observation, obj: Object) -> Object:  # noqa: C901, PLR0912 - each step
        ref = seen.ref
        name = f"{ref.namespace}/{ref.name}"
        match step:
            case AddFinalizer():
                return await self._kube.add_finalizer(obj)
            case RemoveFinalizer():
                if seen.unreachable:
                    log.warning("GooseJob %s goes while Temporal is away; a later resync sweeps it", name)
                return await self._kube.remove_finalizer(obj)
            case CreateSchedule(wanted, lost):
                await self._temporal.create(wanted)
                log.info("GooseJob %s: created its schedule for generation %d", name, seen.generation)
                self._tell_drift(seen, _LOST if lost else "")
            case UpdateSchedule(id_, to, token, parts, drift):
                await self._temporal.update(id_, to, token, ref if ATTRIBUTES in parts else None)
                log.info("GooseJob %s: updated %s of its schedule", name, ", ".join(parts))
                self._tell_drift(seen, drift)
            case DeleteSchedule(id_):
                await self._temporal.delete(id_)
                log.info("GooseJob %s: deleted its schedule", name)
            case StartOnce(request):
                await self._temporal.start_once(request)
                log.info("GooseJob %s: started its run", name)
            case TriggerRun(id_, at, token):
                await self._temporal.trigger(id_, at, f"run {token}")
                log.info("GooseJob %s: asked for a run, by request %s", name, token)
            case CancelRun(workflow_id):
                await self._temporal.cancel(workflow_id)
            case TerminateRun(workflow_id, why):
                await self._temporal.terminate(workflow_id, why)
                log.warning("GooseJob %s: terminated %s: %s", name, workflow_id, why)
            case CloseRecord(gone):
                await self._close(gone, seen)
            case TrimHistory():
                await self._kube.write_runs(ref, lambda fresh: record.trimmed(fresh, datetime.now(UTC)))
            case LookAgain():
                pass
        return obj

    def _tell_drift(self, seen: Observation, drift: str) -> None:
        if drift:
            log.warning("GooseJob %s/%s: %s", seen.ref.namespace, seen.ref.name, drift)
            self._recorder.tell(seen.ref, events.schedule_restored(drift))

    async def _close(self, gone: GoneRun, seen: Observation) -> None:
        wrote = told = False

        def fold(fresh: Object) -> dict[str, Any] | None:
            nonlocal wrote, told
            told = _is_recorded(fresh, gone)
            status = closed(fresh, gone, seen, datetime.now(UTC))
            wrote = status is not None
            return status

        if await self._kube.write_runs(seen.ref, fold) and wrote:
            ref = seen.ref
            log.warning("GooseJob %s/%s: closed the record of run %s", ref.namespace, ref.name, gone.run.id)
            if not told:
                self._recorder.tell(ref, events.closed(news_of(ref, gone, seen.now)))


def closed(fresh: Object, gone: GoneRun, seen: Observation, now: datetime) -> dict[str, Any] | None:
    """The worker's part of the status with the run's record closed; None when the worker did so meanwhile.

    Args:
        fresh: The GooseJob as it is.
        gone: The run.
        seen: The look that found it gone.
        now: The time at which this is written, for `nextScheduleTime`: `fresh` may be newer than the look.
    """
    status = read_status(fresh)
    active = any(run.id == gone.run.id for run in status.active)
    if not active and (gone.announced or has_run(status)):
        return None
    if _is_recorded(fresh, gone):
        return record.dropped(fresh, gone.run.id, now)
    return record.recorded(fresh, news_of(seen.ref, gone, seen.now), now)


def _is_recorded(fresh: Object, gone: GoneRun) -> bool:
    started = gone.state.start_time if gone.state else gone.run.start_time
    return record.is_recorded(fresh, gone.run.id, max(started, gone.run.start_time))


def news_of(ref: GooseJobRef, gone: GoneRun, now: datetime) -> RecordRequest:
    """What to record of a run whose workflow did not record its end."""
    run, state = gone.run, gone.state
    return RecordRequest(
        run=RunInfo(goosejob=ref, **run.model_dump(include=set(RunInfo.model_fields))),
        outcome=(state.outcome if state else None) or _fate(run, state, now),
        job_name=run.job_name,
    )


def _fate(run: ActiveRun, state: RunState | None, now: datetime) -> RunOutcome:
    """How a run ended that did not tell."""
    outcome, reason, words = Outcome.UNKNOWN, Reason.TERMINATED, "ended without a record"
    if state is None:
        reason, words = Reason.WORKFLOW_LOST, "is not known to Temporal any more"
    elif state.terminated:
        outcome, words = Outcome.KILLED, "was terminated"
    elif state.cancelled:
        outcome, reason, words = Outcome.KILLED, Reason.CANCELLED, "was cancelled"
    return RunOutcome(
        outcome=outcome,
        reason=reason,
        message=f"The run's workflow {words}; the operator closed the record.",
        attempt=run.attempt,
        start_time=run.start_time,
        finish_time=(state.close_time if state else None) or now,
    )
