"""One active replica, by a Lease of coordination.k8s.io.

The client library's own election reads the wall clock and ends at the first dropped connection; this one goes
by the monotonic clock and outlives an API server that is away, during which it counts as not held.
"""

import asyncio
import logging
import random
import time
from datetime import UTC, datetime

from kubernetes.aio import client

from goosejobs.clients.errors import ClientError, NotFound
from goosejobs.clients.kube import Kube, translated

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another replica is the active one now."""


class Lease:
    """The Lease that the active replica holds.

    Args:
        kube: To reach the API server.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: This replica's; one that comes back under the same identity goes on at once.
        seconds: How long it may go without being renewed until another replica takes it.
    """

    def __init__(self, kube: Kube, namespace: str, name: str, identity: str, seconds: int) -> None:
        self._api = client.CoordinationV1Api(kube.api_client)
        self._timeout = min(kube.request_timeout, seconds / 3)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._held_until = 0.0
        self._seen: tuple[str | None, datetime | None] = (None, None)
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this replica is certain to be the active one. A third of the time is left as a margin."""
        return time.monotonic() < self._held_until

    async def acquire(self) -> None:
        """Wait until this replica is the active one."""
        told = ""
        while True:
            try:
                obstacle = await self._try()
            except ClientError as error:
                obstacle = str(error)
            if not obstacle:
                log.info("active, by Lease %s/%s as %s", self._namespace, self._name, self._identity)
                return
            if obstacle != told:
                log.info("standing by for Lease %s/%s: %s", self._namespace, self._name, obstacle)
                told = obstacle
            await asyncio.sleep(self._seconds / 10 * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def keep(self) -> None:
        """Renew it until cancelled.

        Raises:
            LeaseLost: Another replica has it.
        """
        while True:
            await asyncio.sleep(self._seconds / 5)
            try:
                obstacle = await self._try()
            except ClientError as error:
                log.warning("cannot renew Lease %s/%s: %s", self._namespace, self._name, error)
                continue
            if obstacle:
                self._held_until = 0.0
                raise LeaseLost(f"Lease {self._namespace}/{self._name}: {obstacle}")

    async def release(self) -> None:
        """Let another replica have it at once."""
        if not self.held:
            return
        self._held_until = 0.0
        try:
            with translated("release the Lease"):
                lease = await self._read()
                if _spec(lease).holder_identity == self._identity:
                    _spec(lease).holder_identity = ""
                    await self._replace(lease)
        except ClientError as error:
            log.info("the Lease is left to run out: %s", error)

    async def _try(self) -> str:
        """Take or renew it if that is possible.

        Returns:
            Empty; or who holds it.
        """
        asked = time.monotonic()
        with translated(f"take Lease {self._namespace}/{self._name}"):
            lease = await self._find()
            if lease is None:
                await self._create()
            elif self._free(lease):
                self._sign(lease)
                await self._replace(lease)
            else:
                return f"{_spec(lease).holder_identity} holds it"
        self._held_until = asked + self._seconds * 2 / 3
        return ""

    async def _find(self) -> client.V1Lease | None:
        try:
            with translated("read the Lease"):
                return await self._read()
        except NotFound:
            return None

    def _free(self, lease: client.V1Lease) -> bool:
        """Whether it is ours, nobody's, or was not renewed for its whole duration while we watched."""
        spec = _spec(lease)
        state = (spec.holder_identity, spec.renew_time)
        if state != self._seen:
            self._seen, self._seen_at = state, time.monotonic()
        if not spec.holder_identity or spec.holder_identity == self._identity:
            return True
        return time.monotonic() - self._seen_at > (spec.lease_duration_seconds or self._seconds)

    def _sign(self, lease: client.V1Lease) -> None:
        now = datetime.now(UTC)
        spec = _spec(lease)
        if spec.holder_identity != self._identity:
            spec.holder_identity = self._identity
            spec.acquire_time = now
            spec.lease_transitions = (spec.lease_transitions or 0) + 1
        spec.lease_duration_seconds = self._seconds
        spec.renew_time = now

    async def _read(self) -> client.V1Lease:
        return await self._api.read_namespaced_lease(
            self._name, self._namespace, _request_timeout=self._timeout
        )

    async def _replace(self, lease: client.V1Lease) -> None:
        await self._api.replace_namespaced_lease(
            self._name, self._namespace, lease, _request_timeout=self._timeout
        )

    async def _create(self) -> None:
        lease = client.V1Lease(
            metadata=client.V1ObjectMeta(name=self._name, namespace=self._namespace),
            spec=client.V1LeaseSpec(lease_transitions=0),
        )
        self._sign(lease)
        await self._api.create_namespaced_lease(self._namespace, lease, _request_timeout=self._timeout)


def _spec(lease: client.V1Lease) -> client.V1LeaseSpec:
    """The Lease's spec, which somebody may have left out."""
    lease.spec = lease.spec or client.V1LeaseSpec()
    return lease.spec
