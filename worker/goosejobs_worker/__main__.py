"""`goosejobs-worker`: polls a pool's task queue until it is told to stop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, TypeVar

import stamina
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from goosejobs.clients import temporal
from goosejobs.clients.codec import Keyring
from goosejobs.clients.connection import explained
from goosejobs.clients.errors import ClientError, Unavailable
from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Kube
from goosejobs.clients.renderer import Renderer
from goosejobs.logging import configure
from goosejobs.model import names
from goosejobs.model.execution import Mode
from goosejobs.model.pool import poller_identity
from goosejobs.settings import InvalidSettings
from goosejobs.usage import answer
from goosejobs_worker import metrics
from goosejobs_worker.activities import Activities
from goosejobs_worker.executors.local.supervisor import PR_SET_DUMPABLE, prctl
from goosejobs_worker.executors.local.workspace import Unusable
from goosejobs_worker.health import Health, serve
from goosejobs_worker.modes import CannotStart, Parts, prepare
from goosejobs_worker.settings import WorkerSettings
from goosejobs_worker.workflow import GooseJobReadRecipe, GooseJobRecord, GooseJobRun

logger = logging.getLogger(__name__)

T = TypeVar("T")

_JOB_DRAIN: Final = timedelta(seconds=5)
"""Mode Job: for records that are being written. Attempts end at once, and are found again."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_TASK: Final = timedelta(seconds=1)
"""How long a worker that stops still listens: what Temporal has sent off by then would be lost with it, and
be missed only when its heartbeats are."""
_PURPOSE = "runs the GooseJobs of a pool, and writes into their status how that went."


def main() -> None:
    """Run the worker; exit 0 after a drain, 1 with a sentence when it cannot serve."""
    code = _serve()
    # Temporal's SDK has threads that still call into Python; an interpreter torn down under them aborts.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _serve() -> int:
    if told := answer("goosejobs-worker", _PURPOSE, WorkerSettings, sys.argv[1:]):
        print(told.text, file=sys.stderr if told.code else sys.stdout, flush=True)
        return told.code
    try:
        settings = WorkerSettings.load()
        configure(settings.log_format, settings.log_level)
        # An agent under the same user could read the worker's memory and environment through /proc.
        prctl(PR_SET_DUMPABLE, 0)
        asyncio.run(run(settings))
    except (InvalidSettings, CannotStart, Unusable, ClientError) as error:
        print(f"goosejobs-worker: {error}", file=sys.stderr)
        return 1
    return 0


async def run(settings: WorkerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        CannotStart: goose is missing, the pool's template is wrong, or the health address is taken.
        Unusable: The data folder.
        ClientError: The configuration of Kubernetes or Temporal.
    """
    prepared = prepare(settings)
    health, stop = Health(), _stop_signals()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serve(health, *settings.health_host_port))
        except OSError as error:
            raise CannotStart(
                f"GOOSEJOBS_HEALTH_ADDRESS {settings.health_address}: {error.strerror}"
            ) from error
        kube = await stack.enter_async_context(await Kube.connect(connections=0))
        recorder = await stack.enter_async_context(
            Recorder(kube, names.WORKER_MANAGER, settings.identity, metrics.count_event)
        )
        renderer = await stack.enter_async_context(Renderer())
        client = await _unless(stop, _connect(health, settings.keyring))
        if client is None:
            return
        parts = Parts(kube, recorder, renderer, client, health, stack)
        activities = await _unless(stop, prepared(parts))
        if activities is not None:
            await _work(_worker(settings, client, activities), settings, health, stop)


def _worker(settings: WorkerSettings, client: Client, activities: Activities) -> Worker:
    # The SDK's own switch, which it reads from there alone.
    os.environ.setdefault("TEMPORAL_POLL_SHUTDOWN_INTERRUPT_WAIT_MS", str(_LAST_TASK // _MILLISECOND))
    return Worker(
        client,
        task_queue=names.task_queue(settings.pool),
        workflows=[GooseJobRun, GooseJobRecord, GooseJobReadRecipe],
        activities=[
            activities.announce,
            activities.still_open,
            activities.execute_attempt,
            activities.record,
            activities.read_recipe,
        ],
        identity=poller_identity(settings.identity, settings.mode, settings.namespaces),
        max_concurrent_activities=settings.max_concurrent_runs,
        # A run whose worker is gone goes to another one after this; the price of a wrong guess is a replay.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        graceful_shutdown_timeout=_drain(settings),
        # A workflow that somebody started by hand, with an argument that is none, fails and says why.
        workflow_failure_exception_types=[ValidationError],
        # Temporal's sandbox imports the workflows anew for each run: a quarter of the processor time that a
        # run takes here. What it guards against is found by the tests, which replay histories inside it.
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


def _drain(settings: WorkerSettings) -> timedelta:
    return _JOB_DRAIN if settings.mode is Mode.JOB else timedelta(seconds=settings.drain_seconds)


async def _work(worker: Worker, settings: WorkerSettings, health: Health, stop: asyncio.Event) -> None:
    """Poll until told to stop, then let running gooses finish for a while."""
    working = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    served = ", ".join(settings.namespaces)
    health.set(
        f"polling {names.task_queue(settings.pool)}: mode {settings.mode}, namespaces {served}", ready=True
    )
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        health.set(f"draining for at most {_drain(settings).total_seconds():g} s", ready=False)
        await worker.shutdown()
    try:
        await working
    except RuntimeError as error:  # a namespace that is not there, or Temporal gone for good
        raise CannotStart(f"Temporal: {explained(str(error), None)}") from error


async def _connect(health: Health, keyring: Keyring) -> Client:
    """Connect to Temporal, however long that takes."""

    def worth_waiting(error: Exception) -> bool:
        if isinstance(error, Unavailable):
            health.set(f"waiting: {error}", ready=False)
            return True
        return False

    stamina.instrumentation.set_on_retry_hooks(())  # what we wait for is said above
    telemetry = TelemetryConfig(
        logging=LoggingConfig(
            filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
            forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
        )
    )
    runtime = Runtime(telemetry=telemetry)
    async for attempt in stamina.retry_context(on=worth_waiting, attempts=None, timeout=None, wait_max=10):
        with attempt:
            return await temporal.connect(keyring, runtime)
    raise AssertionError("retry_context ends by a return or an exception")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do it; None when the worker is told to stop before it is done."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    return None


def _stop_signals() -> asyncio.Event:
    """The first SIGTERM or SIGINT drains; the second ends at once, and the supervisors end goose."""
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    return stop


if __name__ == "__main__":
    main()
