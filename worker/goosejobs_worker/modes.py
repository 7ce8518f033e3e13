"""What a worker needs in its pool's mode: checked before it serves, put together once it is connected."""

import asyncio
import resource
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio.client import Client

from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Kube
from goosejobs.clients.renderer import Renderer
from goosejobs.model.execution import Mode
from goosejobs_worker import runs
from goosejobs_worker.activities import Activities
from goosejobs_worker.executors.kubernetes.executor import KubernetesExecutor
from goosejobs_worker.executors.kubernetes.jobs import Jobs
from goosejobs_worker.executors.kubernetes.retention import Retention
from goosejobs_worker.executors.kubernetes.template import InvalidTemplate, PoolTemplate
from goosejobs_worker.executors.kubernetes.watch import Watch
from goosejobs_worker.executors.local.executor import LocalExecutor
from goosejobs_worker.executors.local.workspace import Workspace
from goosejobs_worker.health import Health
from goosejobs_worker.settings import WorkerSettings


class CannotStart(Exception):
    """The worker cannot serve as it is set up; str() says what to do."""


@dataclass(frozen=True)
class Parts:
    """What the activities of either mode are made of."""

    kube: Kube
    recorder: Recorder
    renderer: Renderer
    client: Client
    health: Health
    stack: AsyncExitStack


Prepared = Callable[[Parts], Coroutine[Any, Any, Activities]]


def prepare(settings: WorkerSettings) -> Prepared:
    """Check what gooses need in this mode.

    Returns:
        Puts the activities together; waits until they can serve.

    Raises:
        CannotStart: goose is missing, or the pool's template is wrong.
        Unusable: The data folder.
    """
    return _jobs(settings) if settings.mode is Mode.JOB else _processes(settings)


def _processes(settings: WorkerSettings) -> Prepared:
    """Check what gooses on this machine need."""
    if settings.find_goose() is None:
        raise CannotStart(f"there is no program {settings.goose}; set GOOSEJOBS_GOOSE to goose's path")
    workspace = Workspace(settings.data_dir, settings.goose_user)
    workspace.prepare()

    async def activities(parts: Parts) -> Activities:
        executor = LocalExecutor(settings, parts.renderer, workspace, parts.kube)
        return Activities(settings, parts.kube, executor, parts.recorder)

    return activities


def _jobs(settings: WorkerSettings) -> Prepared:
    """Check what gooses in pods need."""
    try:
        template = PoolTemplate.load(settings.pool_template)
    except InvalidTemplate as error:
        raise CannotStart(f"GOOSEJOBS_POOL_TEMPLATE: {error}") from error
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each log that is followed is a connection

    async def activities(parts: Parts) -> Activities:
        is_open = partial(runs.is_open, parts.client)
        watch = await parts.stack.enter_async_context(Watch(parts.kube, settings.pool, settings.namespaces))
        await _first_look(watch, parts.health)
        retention = await parts.stack.enter_async_context(
            Retention(Jobs(parts.kube), watch, template.ttl_seconds_after_finished, is_open)
        )
        executor = KubernetesExecutor(settings, parts.renderer, parts.kube, watch, template, is_open=is_open)
        start_timeout = timedelta(seconds=template.start_timeout_seconds)
        return Activities(
            settings,
            parts.kube,
            executor,
            parts.recorder,
            start_timeout=start_timeout,
            on_recorded=retention.recorded,
        )

    return activities


async def _first_look(watch: Watch, health: Health) -> None:
    """Wait until the pool's Jobs are known: a run may be one of them.

    A namespace that we may not look into keeps no other from being served.
    """
    looking = asyncio.create_task(watch.answered())
    await asyncio.wait({looking}, timeout=1)
    while not (looking.done() and watch.knows_some):
        health.set(f"waiting: {watch.trouble or 'listing Jobs and pods'}", ready=False)
        await asyncio.sleep(1)
