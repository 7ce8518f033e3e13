"""The activities: what a run does to the world, each a few lines over the code that does it."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from goosejobs.clients.errors import Rejected, Unavailable
from goosejobs.clients.kube import Kube, Object
from goosejobs.lifecycle import read_status
from goosejobs.model.execution import Mode
from goosejobs.model.reasons import Outcome, Reason, StalledReason
from goosejobs.model.run import AttemptRequest, AttemptResult, RecipeFile, RecordRequest, RunInfo
from goosejobs.record import announced, recorded
from goosejobs_worker import metrics
from goosejobs_worker.executors import Executor
from goosejobs_worker.executors.local.supervisor import boot_time
from goosejobs_worker.fence import wait_before_start
from goosejobs_worker.lifeline import Lifeline, Stop
from goosejobs_worker.recipes import UnreadableRecipe, read_recipe_file
from goosejobs_worker.settings import WorkerSettings
from goosejobs_worker.workflow import (
    ANNOUNCE,
    EXECUTE_ATTEMPT,
    LOCAL_TIMEOUT,
    READ_RECIPE,
    RECORD,
    Announcement,
)

logger = logging.getLogger(__name__)

Fold = Callable[[Object], dict[str, Any] | None]


class Activities:
    """The activities of one worker.

    Args:
        settings: The worker's.
        kube: Where GooseJobs are.
        executor: Of the pool's mode.
    """

    def __init__(self, settings: WorkerSettings, kube: Kube, executor: Executor) -> None:
        self._settings = settings
        self._kube = kube
        self._executor = executor

    @activity.defn(name=ANNOUNCE)
    async def announce(self, run: RunInfo, attempt: int) -> Announcement:
        """Enter the run into `status.active`."""
        wait = timedelta(0)

        def fold(obj: Object) -> dict[str, Any] | None:
            nonlocal wait
            now = datetime.now(UTC)
            wait = wait_before_start(read_status(obj), run.id, now)
            return announced(obj, run, attempt, self._settings.identity, now)

        await self._kube.write_runs(run.goosejob, in_time(fold))
        return Announcement(wait=wait)

    @activity.defn(name=EXECUTE_ATTEMPT)
    async def execute_attempt(self, attempt: AttemptRequest) -> AttemptResult:
        """Run goose once. Returns how that ended, also when it failed or was cancelled."""
        refusal = self._refusal(attempt)
        if refusal is not None:
            return refusal
        began = time.monotonic()
        with metrics.RUNNING.track_inprogress():
            async with Lifeline(activity.client(), activity.info()) as lifeline:
                ended = await self._execute(attempt, lifeline)
        metrics.count(ended, time.monotonic() - began)
        return ended

    @activity.defn(name=RECORD)
    async def record(self, news: RecordRequest) -> None:
        """Fold the run's end into the status; nothing to do when the GooseJob is gone."""
        try:
            await self._write_record(news)
        except Rejected as error:
            logger.error("the record was refused; writing a minimal one", extra={"error": str(error)})
            message = f"the full record was refused: {error}"
            outcome = news.outcome.model_copy(update={"message": message})
            await self._write_record(RecordRequest(run=news.run, outcome=outcome))

    @activity.defn(name=READ_RECIPE)
    async def read_recipe(self, path: str) -> RecipeFile:
        """Read a recipe from the pool's folder."""
        try:
            return await asyncio.to_thread(read_recipe_file, self._settings.recipe_dir, path)
        except UnreadableRecipe as error:
            raise ApplicationError(
                str(error), type=StalledReason.RECIPE_NOT_FOUND.value, non_retryable=True
            ) from None

    async def _write_record(self, news: RecordRequest) -> None:
        fold = in_time(lambda obj: recorded(obj, news, datetime.now(UTC)))
        await self._kube.write_runs(news.run.goosejob, fold)

    async def _execute(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Run the executor to its end: what the SDK calls a cancellation is an order to stop, passed on."""
        executing = asyncio.create_task(self._executor.execute(attempt, lifeline))
        while True:
            try:
                return await asyncio.shield(executing)
            except asyncio.CancelledError:
                if executing.cancelled():
                    raise
                why = stop_of(activity.cancellation_details())
                if why is not None:
                    lifeline.stop(why)

    def _refusal(self, attempt: AttemptRequest) -> AttemptResult | None:
        namespace, request = attempt.run.goosejob.namespace, attempt.request
        pool, mode = self._settings.pool, self._settings.mode
        if not self._settings.serves(namespace):
            message = (
                f"pool {pool} does not serve namespace {namespace}: name another one in spec.execution.pool"
            )
        elif request.mode not in {None, mode}:
            message = (
                f"pool {pool} runs in mode {mode}, not {request.mode}: change spec.execution.mode, or name "
                "another pool in spec.execution.pool"
            )
        elif mode is Mode.PROCESS and request.job is not None:
            message = f"pool {pool} runs processes, which spec.execution.job says nothing about: remove it"
        else:
            return None
        return AttemptResult(
            attempt=attempt.attempt, outcome=Outcome.FAILED, reason=Reason.POOL_REFUSED, message=message
        )


def stop_of(details: activity.ActivityCancellationDetails | None) -> Stop | None:
    """What the SDK's cancellation of an activity means; None: nothing that ends goose."""
    if details is None or details.worker_shutdown:
        return Stop.SHUTDOWN
    if details.not_found or details.timed_out:
        return Stop.GONE
    if details.cancel_requested or details.reset:
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
