"""`mode: Job`: goose in a pod of its own, under a Kubernetes Job that outlives this worker."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from goosejobs.clients.errors import ClientError, Conflict, Unavailable
from goosejobs.clients.kube import Kube, Object
from goosejobs.clients.renderer import Renderer
from goosejobs.model import names
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptRequest, AttemptResult
from goosejobs.model.spec import ConcurrencyPolicy
from goosejobs.recipe import PreparedRecipe, RecipeError
from goosejobs_worker.executors import Detached
from goosejobs_worker.executors.kubernetes.ending import end
from goosejobs_worker.executors.kubernetes.following import Following, Interrupted, facts, failed, job_name
from goosejobs_worker.executors.kubernetes.jobs import Jobs, goose_state, is_finished, is_of, label
from goosejobs_worker.executors.kubernetes.manifest import Refused, job_manifest
from goosejobs_worker.executors.kubernetes.progress import Progress
from goosejobs_worker.executors.kubernetes.reflector import key_of
from goosejobs_worker.executors.kubernetes.template import PoolTemplate
from goosejobs_worker.executors.kubernetes.watch import Sight, Watch
from goosejobs_worker.lifeline import Lifeline, Stop
from goosejobs_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FRESH: Final = 2.0
"""Seconds: a Job is created only if Temporal has confirmed the attempt so lately."""
_MAX_TRIES: Final = 8
"""After so many, an attempt at which the worker fails in a way that nobody thought of is given up."""
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 10.0


class KubernetesExecutor:
    """Runs attempts as Kubernetes Jobs.

    Args:
        settings: The worker's.
        renderer: Prepares recipes, apart from this process.
        kube: Where Jobs are made.
        watch: The pool's Jobs and pods, kept up to date.
        template: What the pool's owner says about pods.
        is_open: Whether a workflow has not ended, by its id.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        renderer: Renderer,
        kube: Kube,
        watch: Watch,
        template: PoolTemplate,
        *,
        is_open: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._renderer = renderer
        self._kube = kube
        self._jobs = Jobs(kube)
        self._watch = watch
        self._template = template
        self._is_open = is_open

    async def execute(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Create the attempt's Job, or find it again, and follow it to its end."""
        progress = Progress.of(lifeline.details)
        namespace = attempt.run.goosejob.namespace
        with self._watch.follow(namespace, job_name(attempt), progress.job_uid) as sight:
            try:
                return await _until_stopped(self._run(attempt, lifeline, progress, sight), lifeline)
            except RecipeError as error:
                source = attempt.request.recipe.source
                return failed(attempt, Reason.INVALID_RECIPE, error.describe(source))
            except Refused as error:
                return failed(attempt, error.reason, error.message)
            except Interrupted:
                return await self._stop(attempt, lifeline, sight)
            except Exception as error:
                if lifeline.tries < _MAX_TRIES:
                    raise
                logger.exception("gave the attempt up", extra=facts(attempt))
                return await self._give_up(attempt, sight, type(error).__name__)

    async def _run(
        self, attempt: AttemptRequest, lifeline: Lifeline, progress: Progress, sight: Sight
    ) -> AttemptResult:
        if progress.job_uid is None:
            progress = await self._start(attempt, lifeline, sight)
        else:
            await self._watch.listed(attempt.run.goosejob.namespace)
            logger.info("found the Job again", extra=facts(attempt))
        following = Following(
            attempt,
            self._kube,
            self._jobs,
            self._watch,
            self._template,
            sight,
            lifeline=lifeline,
            progress=progress,
        )
        return await following.to_its_end()

    async def _start(self, attempt: AttemptRequest, lifeline: Lifeline, sight: Sight) -> Progress:
        prepared = await self._prepare(attempt)
        manifest = job_manifest(attempt, prepared.text, self._template, self._settings.pool)
        await self._fence(attempt)
        # A worker that was frozen since it got the task must not start what another one has ended.
        await lifeline.ask(_FRESH)
        if lifeline.stopped.done():
            raise Interrupted
        job = await self._create(attempt, manifest)
        sight.attach(job)
        progress = Progress(job_uid=job["metadata"]["uid"], needs_output=prepared.needs_output)
        await lifeline.tell(progress)
        logger.info("the Job is there", extra=facts(attempt))
        return progress

    async def _prepare(self, attempt: AttemptRequest) -> PreparedRecipe:
        # Without folders: the files of this machine are not the pod's.
        try:
            return await self._renderer.prepare(
                attempt.request.recipe.text,
                {parameter.name: parameter.value for parameter in attempt.request.parameters},
            )
        except Unavailable as error:
            raise Refused(Reason.START_FAILED, f"goose cannot be started: {error}") from error

    async def _fence(self, attempt: AttemptRequest) -> None:
        """End what other runs of the GooseJob, or other attempts of this one, have left alive.

        A terminated workflow is not a dead pod.
        """
        goosejob = attempt.run.goosejob
        await self._up_to_date(goosejob.namespace)
        allowed = attempt.request.concurrency_policy is ConcurrencyPolicy.ALLOW
        for job in self._watch.jobs_of(goosejob.namespace, goosejob.uid):
            mine = label(job, names.RUN_LABEL) == attempt.run.id
            if is_of(job, attempt) or is_finished(job) or (allowed and not mine):
                continue
            if "terminated" in goose_state(self._watch.pod_of(job)):
                continue  # Kubernetes has not said so yet, but it has ended
            logger.warning("ending Job %s/%s, which an earlier run left alive", *key_of(job))
            with self._watch.follow(*key_of(job), job["metadata"]["uid"]) as sight:
                sight.attach(job)
                if left := await end(self._jobs, sight):
                    raise Refused(Reason.START_FAILED, f"an earlier run of the GooseJob is not over: {left}")

    async def _up_to_date(self, namespace: str) -> None:
        """Wait until the watches of a namespace work, but not for ever."""
        until = time.monotonic() + self._template.start_timeout_seconds
        while trouble := self._watch.trouble_in(namespace):
            if time.monotonic() > until:
                raise Refused(Reason.START_FAILED, f"the Kubernetes Job cannot be followed: {trouble}")
            await asyncio.sleep(_FIRST_DELAY)

    async def _create(self, attempt: AttemptRequest, manifest: Object) -> Object:
        """Create the Job, or find the one that an earlier try has created.

        Raises:
            Refused: The API server refuses it, for good or for longer than the pool waits for a start.
        """
        until = time.monotonic() + self._template.start_timeout_seconds
        delay = _FIRST_DELAY
        while True:
            # A request that was sent is waited for also when the attempt is to stop: what it made must go.
            creating = asyncio.create_task(self._create_or_adopt(attempt, manifest))
            try:
                return await asyncio.shield(creating)
            except asyncio.CancelledError:
                await asyncio.wait({creating})
                raise
            except Unavailable as error:
                if time.monotonic() > until:
                    raise Refused(Reason.START_FAILED, str(error)) from error
                logger.warning("%s; trying again", error)
                await asyncio.sleep(max(delay, error.retry_after or 0))
            except ClientError as error:
                raise Refused(Reason.START_FAILED, str(error)) from error
            delay = min(delay * 2, _MAX_DELAY)

    async def _create_or_adopt(self, attempt: AttemptRequest, manifest: Object) -> Object:
        try:
            return await self._jobs.create(manifest)
        except Conflict:
            found = await self._jobs.get(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        if found is None:
            raise Unavailable("Kubernetes API: a Job of this attempt's name was there, and went away")
        if is_of(found, attempt):
            return found
        namespace, name = key_of(found)
        raise Refused(
            Reason.START_FAILED,
            f"there is another Job {name} in namespace {namespace}, which is not this run's: delete it",
        )

    async def _stop(self, attempt: AttemptRequest, lifeline: Lifeline, sight: Sight) -> AttemptResult:
        """End the attempt's Job, unless somebody else goes on with it.

        Raises:
            Detached: The Job is left running.
        """
        why = lifeline.stopped.result()
        if why is Stop.SHUTDOWN:
            raise Detached("the worker stops; the Job is left to run")
        if why is Stop.GONE and await _answer(lambda: self._is_open(attempt.run.workflow_id)):
            logger.info("left the Job to another worker, as Temporal did", extra=facts(attempt))
            raise Detached("Temporal has given the attempt to another worker")
        existed = await self._find(attempt, sight)
        left = await end(self._jobs, sight)
        message = (
            "the run was cancelled" if why is Stop.CANCELLED else "Temporal no longer knows this attempt"
        )
        return AttemptResult(
            attempt=attempt.attempt,
            outcome=Outcome.KILLED,
            reason=Reason.CANCELLED,
            message=f"{message}; {left}" if left else message,
            job_name=job_name(attempt) if existed else None,
            left=left,
        )

    async def _give_up(self, attempt: AttemptRequest, sight: Sight, why: str) -> AttemptResult:
        """End what others may fail at as well: tried for ever, it would hold up all later runs."""
        existed = await self._find(attempt, sight)
        left = await end(self._jobs, sight)
        message = f"the worker failed at it {_MAX_TRIES} times or more, at last with {why}: see its log"
        name = job_name(attempt) if existed else None
        return failed(attempt, Reason.START_FAILED, f"{message}; {left}" if left else message, name)

    async def _find(self, attempt: AttemptRequest, sight: Sight) -> bool:
        """Bring the attempt's Job into sight, if there is or was one."""
        if sight.uid is not None and sight.job is not None:
            return True
        found = await _answer(lambda: self._jobs.get(attempt.run.goosejob.namespace, job_name(attempt)))
        if found is None or not is_of(found, attempt):
            sight.forget()
            return False
        sight.attach(found)
        return True


async def _until_stopped(work: Coroutine[Any, Any, T], lifeline: Lifeline) -> T:
    """Work until it is done, or until the attempt has to end.

    Raises:
        Interrupted: It has to end; the work was given up.
    """
    task = asyncio.create_task(work)
    try:
        either: list[asyncio.Future[Any]] = [task, lifeline.stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Interrupted
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _answer(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until an outside system answers."""
    delay = _FIRST_DELAY
    while True:
        try:
            return await ask()
        except Unavailable as error:
            logger.info("%s; trying again", error)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAX_DELAY)
