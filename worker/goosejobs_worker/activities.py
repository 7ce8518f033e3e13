"""The activities: what a run does to the world, each a few lines over the code that does it."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from goosejobs import events
from goosejobs.clients.errors import ClientError, Forbidden, Rejected, Unavailable
from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Kube, Object
from goosejobs.lifecycle import read_status
from goosejobs.model import names
from goosejobs.model.execution import Mode
from goosejobs.model.reasons import Outcome, Reason, StalledReason
from goosejobs.model.run import (
    AttemptRequest,
    AttemptResult,
    EndedAttempt,
    RecipeFile,
    RecordRequest,
    RunInfo,
)
from goosejobs.record import announced, recorded
from goosejobs_worker import metrics
from goosejobs_worker.executors import Detached, Executor
from goosejobs_worker.executors.local.supervisor import boot_time
from goosejobs_worker.fence import FENCE, HEARTBEAT_TIMEOUT, started_before, wait_before_start
from goosejobs_worker.lifeline import BEATS, Lifeline, Stop
from goosejobs_worker.recipes import UnreadableRecipe, read_recipe_file
from goosejobs_worker.settings import WorkerSettings
from goosejobs_worker.workflow import (
    ANNOUNCE,
    ANNOUNCE_PATIENCE,
    ANNOUNCE_TRIES,
    EXECUTE_ATTEMPT,
    LOCAL_TIMEOUT,
    READ_RECIPE,
    RECORD,
    STILL_OPEN,
    Announcement,
)

logger = logging.getLogger(__name__)

Fold = Callable[[Object], dict[str, Any] | None]
Recorded = Callable[[RunInfo, frozenset[str]], None]

JOB_BEATS = 4
"""Heartbeats per heartbeat timeout where no lease hangs on them, and each may be billed."""
RECORD_REFUSED_PATIENCE = timedelta(hours=1)
"""How long after a run's end its record is tried to be written though the API server refuses it."""
AT_ONCE = timedelta(milliseconds=1)
"""Zero would mean: as the retry policy says."""


class Activities:
    """The activities of one worker.

    Args:
        settings: The worker's.
        kube: Where GooseJobs are.
        executor: Of the pool's mode.
        recorder: Tells Events.
        start_timeout: How long goose may take to start in a pod.
        on_recorded: Told of each run whose record stands, with the ids of the runs that the status keeps.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        kube: Kube,
        executor: Executor,
        recorder: Recorder,
        *,
        start_timeout: timedelta = timedelta(0),
        on_recorded: Recorded = lambda _run, _kept: None,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._executor = executor
        self._recorder = recorder
        self._on_recorded = on_recorded
        jobs = settings.mode is Mode.JOB
        self._beats = JOB_BEATS if jobs else BEATS
        self._announcement = Announcement(
            wait=FENCE,
            mode=settings.mode,
            heartbeat_timeout=timedelta(seconds=settings.job_heartbeat_seconds)
            if jobs
            else HEARTBEAT_TIMEOUT,
            start_timeout=start_timeout,
        )

    @activity.defn(name=ANNOUNCE)
    async def announce(self, run: RunInfo, attempt: int, ended: list[EndedAttempt]) -> Announcement:
        """Enter the run into `status.active`. When nobody takes that, the last try tells the rest.

        Args:
            run: The run.
            attempt: Number of the attempt that starts.
            ended: Its attempts before that one.
        """
        last = activity.info().attempt >= ANNOUNCE_TRIES
        try:
            async with asyncio.timeout(ANNOUNCE_PATIENCE.total_seconds()):
                told = await self._announce(run, attempt, ended)
        except (ClientError, TimeoutError) as error:
            if not last:
                raise
            logger.warning("a run begins unannounced", extra={"run": run.workflow_id, "error": str(error)})
            told = {"wait": FENCE if self._settings.mode is Mode.PROCESS else timedelta(0)}
        return self._announcement.model_copy(update=told)

    async def _announce(self, run: RunInfo, attempt: int, ended: list[EndedAttempt]) -> dict[str, Any]:
        """What the status tells the run: parts of an `Announcement`."""
        jobs = self._settings.mode is Mode.JOB
        ref, told = run.goosejob, dict[str, Any]()
        job = names.job_name(ref.name, ref.uid, run.id, attempt) if jobs else None

        def fold(obj: Object) -> dict[str, Any] | None:
            now, status = datetime.now(UTC), read_status(obj)
            told["wait"] = wait_before_start(status, run.id, now, jobs_are_ended=jobs)
            told["earlier"] = started_before(status, run)
            entry = announced(obj, run, attempt, self._settings.identity, now, job_name=job, ended=ended)
            told["entered"] = entry is None or any(each["id"] == run.id for each in entry["active"])
            return entry

        known = await self._kube.write_runs(ref, in_time(fold))
        if known and attempt == 1:
            where = f"Job {job}" if job else f"worker {self._settings.identity}"
            self._recorder.tell(ref, events.started(run, where))
        return {"wait": timedelta(0), **told, "entered": known and told["entered"], "unknown": not known}

    @activity.defn(name=STILL_OPEN)
    async def still_open(self, workflow_ids: list[str], end: bool) -> list[str]:
        """Which of these runs have not ended.

        Args:
            workflow_ids: Of the same GooseJob.
            end: Ask them to.
        """
        found = []
        for handle in map(activity.client().get_workflow_handle, workflow_ids):
            try:
                is_open = (await handle.describe()).close_time is None
                if is_open and end:
                    await handle.cancel()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                is_open = False
            if is_open:
                found.append(handle.id)
        return found

    @activity.defn(name=EXECUTE_ATTEMPT)
    async def execute_attempt(self, attempt: AttemptRequest) -> AttemptResult:
        """Run goose once. Returns how that ended, also when it failed or was cancelled.

        Raises:
            ApplicationError: It goes on without this worker; the next one is to find it again at once.
        """
        refusal = self._refusal(attempt)
        if refusal is not None:
            return refusal
        began = time.monotonic()
        with metrics.RUNNING.track_inprogress():
            async with Lifeline(activity.client(), activity.info(), self._beats) as lifeline:
                try:
                    ended = await self._execute(attempt, lifeline)
                except Detached as error:
                    raise ApplicationError(str(error), type="Detached", next_retry_delay=AT_ONCE) from None
        metrics.count(ended, time.monotonic() - began)
        if event := events.attempt_failed(attempt, ended):
            self._recorder.tell(attempt.run.goosejob, event)
        return ended

    @activity.defn(name=RECORD)
    async def record(self, news: RecordRequest) -> None:
        """Fold the run's end into the status; nothing to do when the GooseJob is gone.

        Raises:
            ClientError: It cannot be written now.
            ApplicationError: It was refused for so long that the operator is to close the record.
        """
        try:
            await self._write_some_record(news)
        except ClientError as error:
            kind = type(error).__name__
            metrics.RECORDS_REFUSED.labels(error=kind).inc()
            where = {"run": news.run.workflow_id, "error": str(error)}
            age = datetime.now(UTC) - news.outcome.finish_time
            if not isinstance(error, Forbidden | Rejected) or age < RECORD_REFUSED_PATIENCE:
                logger.warning("a run's record was not taken", extra=where)
                raise
            logger.error("gave a run's record up: the operator closes it, if it may", extra=where)
            raise ApplicationError(f"gave the record up: {error}", type=kind, non_retryable=True) from error

    @activity.defn(name=READ_RECIPE)
    async def read_recipe(self, path: str, namespace: str) -> RecipeFile:
        """Read a recipe from the pool's folder, for a GooseJob of a namespace that the pool serves."""
        try:
            if not self._settings.serves(namespace):
                raise UnreadableRecipe(self._not_served(namespace))
            return await asyncio.to_thread(read_recipe_file, self._settings.recipe_dir, path)
        except UnreadableRecipe as error:
            raise ApplicationError(
                str(error), type=StalledReason.RECIPE_NOT_FOUND.value, non_retryable=True
            ) from None

    async def _write_some_record(self, news: RecordRequest) -> None:
        """Write the record; where the API server refuses what is in it, only how the run ended."""
        try:
            await self._write_record(news)
        except Rejected as error:
            logger.error("the record was refused; writing a minimal one", extra={"error": str(error)})
            message = f"the full record was refused: {error}"
            outcome = news.outcome.model_copy(update={"message": message})
            await self._write_record(RecordRequest(run=news.run, outcome=outcome))

    async def _write_record(self, news: RecordRequest) -> None:
        kept: frozenset[str] = frozenset()

        def fold(obj: Object) -> dict[str, Any] | None:
            nonlocal kept
            status = recorded(obj, news, datetime.now(UTC))
            kept = frozenset(run["id"] for run in (status or obj["status"]).get("recentRuns", ()))
            return status

        if await self._kube.write_runs(news.run.goosejob, in_time(fold)):
            self._recorder.tell(news.run.goosejob, events.ended(news))
            self._on_recorded(news.run, kept)

    async def _execute(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Run the executor to its end: what the SDK calls a cancellation is an order to stop, passed on."""
        executing = asyncio.create_task(self._execute_alone(attempt, lifeline))
        leaving = asyncio.create_task(self._leave(lifeline))
        try:
            while True:
                try:
                    return await asyncio.shield(executing)
                except asyncio.CancelledError:
                    if executing.cancelled():
                        raise
                    why = stop_of(activity.cancellation_details())
                    if why is not None:
                        lifeline.stop(why)
        finally:
            leaving.cancel()

    async def _execute_alone(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Outwait the process of a run that was reset: it may be alive on any worker.

        A Kubernetes Job is found by its name.
        """
        first = attempt.run.first_run_id
        was_reset = first not in {"", activity.info().workflow_run_id}
        if was_reset and self._settings.mode is Mode.PROCESS:
            await asyncio.wait({lifeline.stopped}, timeout=FENCE.total_seconds())
        return await self._executor.execute(attempt, lifeline)

    async def _leave(self, lifeline: Lifeline) -> None:
        """A Kubernetes Job does not need this worker: when it is to stop, nothing is waited for."""
        if self._settings.mode is Mode.JOB:
            await activity.wait_for_worker_shutdown()
            lifeline.stop(Stop.SHUTDOWN)

    def _not_served(self, namespace: str) -> str:
        return (
            f"pool {self._settings.pool} does not serve namespace {namespace}: name another pool in "
            "spec.execution.pool, or ask its owner to add the namespace to GOOSEJOBS_NAMESPACES"
        )

    def _refusal(self, attempt: AttemptRequest) -> AttemptResult | None:
        """Why this pool does not run it, if it does not."""
        namespace, request = attempt.run.goosejob.namespace, attempt.request
        pool, mode = self._settings.pool, self._settings.mode
        reason = Reason.POOL_REFUSED
        if not self._settings.serves(namespace):
            message = self._not_served(namespace)
        elif request.mode not in {None, mode}:
            message = (
                f"pool {pool} runs in mode {mode}, not {request.mode}: change spec.execution.mode, or name "
                "another pool in spec.execution.pool"
            )
        elif mode is Mode.PROCESS and request.job is not None:
            message = (
                f"pool {pool} runs processes, which spec.execution.job says nothing about: remove it, or "
                "name a pool that runs Jobs in spec.execution.pool"
            )
        elif mode is Mode.PROCESS and activity.info().attempt > 1:
            # The workflow took the pool for one of Jobs, which can be found again. A process is never
            # started twice under one number.
            reason, message = Reason.WORKER_LOST, "the worker was lost: no heartbeat any more"
        else:
            return None
        return AttemptResult(attempt=attempt.attempt, outcome=Outcome.FAILED, reason=reason, message=message)


def stop_of(details: activity.ActivityCancellationDetails | None) -> Stop | None:
    """What the SDK's cancellation of an activity means; None: nothing that ends goose."""
    if details is None or details.worker_shutdown:
        return Stop.SHUTDOWN
    if details.not_found or details.timed_out or details.reset:
        return Stop.GONE
    if details.cancel_requested:
        return Stop.CANCELLED
    return None  # paused: goose cannot pause, and is not to be lost for it


def in_time(fold: Fold) -> Fold:
    """Let a fold decide only while its local activity has not timed out.

    A worker that was frozen in the middle of a write may wake when another one has long done it: its own
    write then fails on the resourceVersion, and must not be tried on the new state.
    """
    expires = boot_time() + LOCAL_TIMEOUT.total_seconds()

    def guarded(obj: Object) -> dict[str, Any] | None:
        if boot_time() > expires:
            raise Unavailable("too late to write to the status: another worker may have done it")
        return fold(obj)

    return guarded
