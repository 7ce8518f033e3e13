"""`mode: Process`: goose as a child of this worker, under a supervisor."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from goosejobs.clients.errors import ClientError
from goosejobs.clients.kube import Kube
from goosejobs.clients.renderer import Renderer
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptRequest, AttemptResult
from goosejobs.recipe import RecipeError
from goosejobs_worker import environment
from goosejobs_worker.environment import ConfigNotFound, Environment
from goosejobs_worker.executors.local.process import Cause, Report, Start, SupervisedProcess
from goosejobs_worker.executors.local.supervisor import boot_time
from goosejobs_worker.executors.local.workspace import Place, Workspace
from goosejobs_worker.goose.classify import classify
from goosejobs_worker.goose.command import goose_command, goose_environment, secret_values
from goosejobs_worker.goose.redact import spellings
from goosejobs_worker.goose.stream import StreamReader, Transcript
from goosejobs_worker.lifeline import Lifeline, Stop
from goosejobs_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
_CHUNK_BYTES: Final = 65536
_STDERR_BYTES: Final = 16384

_STOPPED: Final = {
    Stop.CANCELLED: (Outcome.KILLED, Reason.CANCELLED, "the run was cancelled"),
    Stop.GONE: (Outcome.KILLED, Reason.CANCELLED, "Temporal no longer knows this attempt"),
    Stop.SHUTDOWN: (Outcome.FAILED, Reason.WORKER_SHUTDOWN, "the worker was stopped before goose was done"),
}


class LocalExecutor:
    """Runs attempts as processes of this machine.

    Args:
        settings: The worker's.
        renderer: Prepares recipes, apart from this process.
        workspace: Where goose keeps its files; already prepared.
        kube: Where the Secrets and ConfigMaps of `spec.execution.env` are.
    """

    def __init__(
        self, settings: WorkerSettings, renderer: Renderer, workspace: Workspace, kube: Kube
    ) -> None:
        self._settings = settings
        self._renderer = renderer
        self._workspace = workspace
        self._kube = kube

    async def execute(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Run goose once; nothing of it is alive any more when this returns."""
        recipe = attempt.request.recipe
        root = self._settings.recipe_dir
        try:
            prepared = await self._renderer.prepare(
                recipe.text,
                {parameter.name: parameter.value for parameter in attempt.request.parameters},
                base_dir=recipe.base_dir,
                files_root=None if root is None else str(root),
            )
            own = await _unless_stopped(self._environment(attempt), lifeline)
            report, transcript, stderr = await self._run(attempt, lifeline, prepared.text, own)
        except RecipeError as error:
            return failed(attempt, Reason.INVALID_RECIPE, error.describe(recipe.source))
        except ConfigNotFound as error:
            return failed(attempt, Reason.CONFIG_NOT_FOUND, str(error))
        except _Stopped as stopped:
            return stopped_result(attempt, stopped.why)
        except (OSError, ClientError) as error:
            return failed(attempt, Reason.START_FAILED, f"goose cannot be started: {error}")
        logger.info(
            "goose ended",
            extra={
                "run": attempt.run.workflow_id,
                "attempt": attempt.attempt,
                "cause": report.cause.value,
                "exit_code": report.exit_code,
                "signal": report.signal,
                "swept": report.swept,
                "cpu_seconds": round(report.cpu_seconds, 3),
                "max_rss_bytes": report.max_rss_bytes,
            },
        )
        return self._result(
            attempt, lifeline, report, transcript, stderr, needs_output=prepared.needs_output, own=own
        )

    async def _environment(self, attempt: AttemptRequest) -> Environment:
        request, namespace = attempt.request, attempt.run.goosejob.namespace
        wanted = environment.sources(request.env, request.env_from)
        found = await environment.read(self._kube, namespace, wanted)
        return environment.resolve(namespace, request.env, request.env_from, found)

    async def _run(
        self, attempt: AttemptRequest, lifeline: Lifeline, recipe: str, own: Environment
    ) -> tuple[Report, Transcript, str]:
        place = await asyncio.to_thread(self._workspace.create, recipe)
        try:
            process = await SupervisedProcess.start(self._start(attempt, lifeline, place, own))
            return await self._follow(process, lifeline)
        finally:
            await asyncio.to_thread(self._workspace.remove, place)

    def _start(self, attempt: AttemptRequest, lifeline: Lifeline, place: Place, own: Environment) -> Start:
        request, settings = attempt.request, self._settings
        goose = settings.find_goose()
        if goose is None:
            raise FileNotFoundError(f"there is no {settings.goose} on PATH; set GOOSEJOBS_GOOSE to its path")
        model = {"provider": request.model.provider, "model": request.model.name}
        turns = request.model.max_turns
        uid, gid = settings.goose_user or (None, None)
        return Start(
            argv=goose_command(goose, place.recipe, session_name(attempt), max_turns=turns, **model),
            environment=goose_environment(
                os.environ,
                home=place.home,
                path_root=place.goose,
                temporary=place.temporary,
                job_id=f"{request.goosejob.namespace}/{request.goosejob.name}",
                max_turns=turns,
                extra=settings.pass_env,
                own=own.variables,
                **model,
            ),
            cwd=str(place.home),
            directory=str(place.directory),
            uid=uid,
            gid=gid,
            lease=lifeline.lease,
            deadline=boot_time() + request.active_deadline_seconds,
            grace=settings.kill_grace_seconds,
        )

    async def _follow(self, process: SupervisedProcess, lifeline: Lifeline) -> tuple[Report, Transcript, str]:
        """Read goose's output to the end, pass on the lease, and the order to stop."""
        stream, stderr = StreamReader(), bytearray()
        lifeline.on_renewal(process.renew)
        ended = asyncio.create_task(process.ended())
        outputs = [
            asyncio.create_task(_read(process.stdout, stream.feed)),
            asyncio.create_task(_read(process.stderr, lambda data: _keep_tail(stderr, data))),
        ]
        either: list[asyncio.Future[Any]] = [ended, lifeline.stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            # Nobody waits for a run that Temporal does not know, and another one may be about to start.
            gone = lifeline.stopped.result() is Stop.GONE
            process.stop(0 if gone else self._settings.kill_grace_seconds)
        report = await ended
        await asyncio.gather(*outputs)
        return report, stream.finish(), stderr.decode(errors="replace")

    def _result(
        self,
        attempt: AttemptRequest,
        lifeline: Lifeline,
        report: Report,
        transcript: Transcript,
        stderr: str,
        *,
        needs_output: bool,
        own: Environment,
    ) -> AttemptResult:
        session = session_name(attempt)
        by_us = ended_by_us(attempt, lifeline.stopped.result() if lifeline.stopped.done() else None, report)
        if by_us is not None:
            return by_us.model_copy(update={"session": session, "tokens": transcript.tokens})
        ending = classify(
            transcript,
            report.exit_code,
            report.signal,
            stderr,
            needs_output=needs_output,
            secrets=secret_values(os.environ) | secret_values(own.variables) | spellings(own.secrets),
        )
        return AttemptResult(
            attempt=attempt.attempt,
            outcome=ending.outcome,
            reason=ending.reason,
            message=ending.message,
            result=ending.result,
            tokens=ending.tokens,
            session=session,
        )


def session_name(attempt: AttemptRequest) -> str:
    """Goose's name for the session of an attempt, to find it with `goose session list`."""
    ref = attempt.run.goosejob
    return f"{ref.namespace}-{ref.name}-{attempt.run.id}-{attempt.attempt}"


def failed(attempt: AttemptRequest, reason: Reason, message: str) -> AttemptResult:
    """An attempt that failed without goose having said anything."""
    return AttemptResult(attempt=attempt.attempt, outcome=Outcome.FAILED, reason=reason, message=message)


def ended_by_us(attempt: AttemptRequest, told_to_stop: Stop | None, report: Report) -> AttemptResult | None:
    """The result where goose did not come to its own end; None where it did.

    Args:
        attempt: What ran.
        told_to_stop: Why it was to stop, if it was.
        report: How its processes ended.
    """
    if report.exit_code == 0:
        return None  # it was done before the order to stop reached it
    deadline = attempt.request.active_deadline_seconds
    failures = {
        Cause.DEADLINE: (
            Reason.DEADLINE_EXCEEDED,
            f"not done after {deadline} s (spec.activeDeadlineSeconds)",
        ),
        Cause.LEASE: (Reason.WORKER_LOST, "the worker heard nothing from Temporal, so goose was ended"),
        Cause.START_FAILED: (Reason.START_FAILED, f"goose cannot be started: {report.error}"),
        Cause.SUPERVISOR_LOST: (Reason.GOOSE_CRASHED, "goose's supervisor was killed"),
    }
    if report.cause in failures:
        return failed(attempt, *failures[report.cause])
    if report.cause is not Cause.STOPPED:
        return None
    # A signal to the supervisor itself stops goose too: somebody stops this machine's processes.
    return stopped_result(attempt, told_to_stop or Stop.SHUTDOWN)


def stopped_result(attempt: AttemptRequest, why: Stop) -> AttemptResult:
    """The result of an attempt that was told to stop."""
    outcome, reason, message = _STOPPED[why]
    return AttemptResult(attempt=attempt.attempt, outcome=outcome, reason=reason, message=message)


class _Stopped(Exception):
    """The attempt is to end before goose was started."""

    def __init__(self, why: Stop) -> None:
        super().__init__(why)
        self.why = why


async def _unless_stopped(work: Coroutine[Any, Any, T], lifeline: Lifeline) -> T:
    """Do something that may take long, for as long as the attempt goes on.

    Raises:
        _Stopped: It is to end.
    """
    task = asyncio.create_task(work)
    either: list[asyncio.Future[Any]] = [task, lifeline.stopped]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    raise _Stopped(lifeline.stopped.result())


async def _read(output: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    while data := await output.read(_CHUNK_BYTES):
        take(data)


def _keep_tail(kept: bytearray, data: bytes) -> None:
    kept += data
    del kept[:-_STDERR_BYTES]
