"""The operator's parts put together, and kept running."""

import asyncio
import gc
import logging
from datetime import UTC, datetime, timedelta
from typing import Self

from temporalio.runtime import Runtime, TelemetryConfig

from goosejobs.clients import temporal as temporal_client
from goosejobs.clients.errors import ClientError, Forbidden, NotFound
from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Object
from goosejobs.clients.renderer import Renderer
from goosejobs.model import names
from goosejobs_operator import metrics
from goosejobs_operator.backend import Backend
from goosejobs_operator.execute import Executor
from goosejobs_operator.health import HealthServer, Pulse
from goosejobs_operator.known import Known, key_of, mark_of
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.lease import Lease
from goosejobs_operator.observe import Observer
from goosejobs_operator.pools import Pools
from goosejobs_operator.queue import WorkQueue
from goosejobs_operator.recipes import Recipes
from goosejobs_operator.reconcile import Reconciler
from goosejobs_operator.resync import Resync
from goosejobs_operator.settings import OperatorSettings
from goosejobs_operator.temporal import Temporal

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_RECIPES_REST_SECONDS = 60.0
"""Recipes are looked at when somebody applies one: the process that does it need not be there all day."""


class Service:
    """All that runs besides the watches.

    Attributes:
        failed: Set once it cannot go on: then the process should end.
    """

    def __init__(
        self, settings: OperatorSettings, kube: OperatorKube, temporal: Temporal, pools: Pools, pulse: Pulse
    ) -> None:
        self._pulse = pulse
        self._known = Known()
        self._renderer = Renderer(idle_seconds=_RECIPES_REST_SECONDS)
        self._lease = Lease(
            kube, settings.lease_namespace, settings.lease_name, settings.identity, settings.lease_seconds
        )
        self._backend = Backend(pools, self._on_change)
        observer = Observer(
            temporal,
            Recipes(kube, pools, self._renderer),
            self._backend,
            timedelta(seconds=settings.deletion_timeout_seconds),
        )
        self._recorder = Recorder(kube, names.OPERATOR_MANAGER, settings.identity, metrics.count_event)
        executor = Executor(kube, temporal, self._recorder)
        reconciler = Reconciler(
            kube, observer, executor, self._backend, self._known, self._is_active, self._recorder
        )
        self._queue = WorkQueue(reconciler, settings.workers)
        self._resync = Resync(
            kube,
            temporal,
            self._backend,
            self._known,
            reconciler,
            self._queue,
            pulse,
            settings.namespaces,
            settings.resync_seconds,
            settings.deletion_timeout_seconds,
            self._is_active,
        )

    async def begin(self) -> None:
        """Wait until this replica is the active one, and take a first look at Temporal."""
        await self._lease.acquire(self._pulse.stand_by)
        self._pulse.active()
        await self._backend.look()

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            ExceptionGroup: It cannot go on; LeaseLost is among the causes.
        """
        async with self._recorder, asyncio.TaskGroup() as group:
            group.create_task(self._lease.keep())
            group.create_task(self._queue.run())
            group.create_task(self._backend.run())
            group.create_task(self._resync.run())

    async def close(self) -> None:
        """Let another replica go on, and end the child process."""
        await self._lease.release()
        await self._renderer.close()

    def goosejob_changed(self, obj: Object, *, deleted: bool) -> None:
        """The watch delivered a GooseJob."""
        meta = obj["metadata"]
        self._pulse.watched(meta["namespace"], meta["resourceVersion"])
        key = key_of(obj)
        if deleted:
            self._known.forget(key)
            self._queue.forget(key)
        elif self._known.is_settled(key, mark_of(obj)):
            left = self._known.until_look(key, obj, datetime.now(UTC))
            if left is not None:
                self._queue.add_after(key, left)
        else:
            self._known.see(key)
            self._queue.add(key)

    def config_map_changed(self, namespace: str, name: str) -> None:
        """The watch delivered a ConfigMap with recipes."""
        for key in self._known.from_config_map(namespace, name):
            self._known.unsettle(key)
            self._queue.add(key)

    def _on_change(self, pool: str | None) -> None:
        for key in self._known.keys() if pool is None else self._known.in_pool(pool):
            self._known.unsettle(key)
            self._queue.add(key)
        if pool is None and not self._backend.down:
            self._resync.soon()

    def _is_active(self) -> bool:
        return self._lease.held


class Operator:
    """The service with its clients and its health endpoint, as one thing to start and to close."""

    def __init__(
        self, service: Service, kube: OperatorKube, server: HealthServer, stop: asyncio.Event
    ) -> None:
        self.service = service
        self._kube = kube
        self._server = server
        self._stop = stop
        self._running = asyncio.create_task(self._run())

    @classmethod
    async def start(cls, settings: OperatorSettings, stop: asyncio.Event) -> Self:
        """Connect, wait for the lease, and go.

        Args:
            settings: The operator's.
            stop: Set when it cannot go on.

        Raises:
            Rejected: The health address cannot be used, or there is no usable configuration for a client.
        """
        pulse = Pulse(settings.resync_seconds)
        server = HealthServer(*settings.health_host_port, pulse)
        kube = await OperatorKube.connect()
        try:
            await server.start()
            await _kind(kube)
            # What the SDK's core would log beside our lines comes back to us as errors anyway.
            client = await temporal_client.connect(
                settings.keyring, Runtime(telemetry=TelemetryConfig(logging=None)), lazy=True
            )
            cluster = settings.cluster or await _cluster_id(kube)
            temporal, pools = Temporal(client, cluster), Pools(client, cluster)
            gc.collect()
            gc.freeze()  # half a million objects of imported code need not be gone through again and again
            service = Service(settings, kube, temporal, pools, pulse)
            await service.begin()
        except BaseException:
            await server.close()
            await kube.close()
            raise
        return cls(service, kube, server, stop)

    async def _run(self) -> None:
        try:
            await self.service.run()
        except Exception as failure:
            causes = failure.exceptions if isinstance(failure, ExceptionGroup) else [failure]
            log.error("the operator ends: %s", "; ".join(f"{type(e).__name__}: {e}" for e in causes))
            raise
        finally:
            self._stop.set()

    @property
    def failed(self) -> bool:
        """Whether it ended by itself."""
        return (
            self._running.done() and not self._running.cancelled() and self._running.exception() is not None
        )

    async def close(self) -> None:
        """End everything that was started."""
        self._running.cancel()
        await asyncio.wait([self._running])
        await self.service.close()
        await self._server.close()
        await self._kube.close()


async def _kind(kube: OperatorKube) -> None:
    """Wait for the CRD, which may be applied after us: kopf looks only once for what it can watch."""
    told = ""
    while True:
        try:
            if await kube.serves_goosejobs():
                return
            obstacle = "waiting: the kind GooseJob is not there yet: apply its CRD"
        except Forbidden:  # to look, which is not needed
            return
        except ClientError as error:
            obstacle = f"waiting for the API server: {error}"
        if obstacle != told:
            told = obstacle
            log.warning("%s", obstacle)
        await asyncio.sleep(_RETRY_SECONDS)


async def _cluster_id(kube: OperatorKube) -> str:
    """What tells this cluster from others that use the same Temporal namespace; waits for the API server."""
    told = ""
    while True:
        try:
            return await kube.cluster_id()
        except (Forbidden, NotFound) as error:
            log.warning(
                "%s; orphans in Temporal are not swept: set GOOSEJOBS_CLUSTER to a name of this cluster, or "
                "allow the operator to get the namespace kube-system",
                error,
            )
            return ""
        except ClientError as error:
            if str(error) != told:
                told = str(error)
                log.warning("waiting for the API server: %s", error)
        await asyncio.sleep(_RETRY_SECONDS)
