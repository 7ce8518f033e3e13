"""One active replica, by a Lease of coordination.k8s.io.

The client library's own election reads the wall clock and ends at the first dropped connection; this one goes
by the monotonic clock and outlives an API server that is away, during which it counts as not held.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from goosejobs.clients.errors import ClientError, NotFound
from goosejobs.clients.kube import Kube, Object, object_path

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
        self._kube = kube
        self._timeout = min(kube.request_timeout, seconds / 4)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._folder = object_path("/apis/coordination.k8s.io/v1", "leases", namespace)
        self._path = object_path("/apis/coordination.k8s.io/v1", "leases", namespace, name)
        self._held_until = 0.0
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this replica is certain to be the active one. A third of the time is left as a margin."""
        return time.monotonic() < self._held_until

    async def acquire(self, stand_by: Callable[[], None] = lambda: None) -> None:
        """Wait until this replica is the active one.

        Args:
            stand_by: Called whenever another one is seen to be active.
        """
        told = ""
        while True:
            try:
                obstacle = await self._try()
                if obstacle:
                    stand_by()
            except ClientError as error:
                obstacle = str(error)
            if not obstacle:
                log.info("active, by %s as %s", self, self._identity)
                return
            if obstacle != told:
                log.info("standing by for %s: %s", self, obstacle)
                told = obstacle
            await asyncio.sleep(self._seconds / 10 * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def keep(self) -> None:
        """Renew it until cancelled.

        Raises:
            LeaseLost: Another replica has it.
        """
        while True:
            await asyncio.sleep(self._seconds / 4)
            try:
                obstacle = await self._try()
            except ClientError as error:
                log.warning("cannot renew %s: %s", self, error)
                continue
            if obstacle:
                self._held_until = 0.0
                raise LeaseLost(f"{self}: {obstacle}")

    async def release(self) -> None:
        """Let another replica have it at once."""
        if not self.held:
            return
        self._held_until = 0.0
        try:
            lease = await self._find()
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._send("release", "PUT", lease)
        except ClientError as error:
            log.info("the Lease is left to run out: %s", error)

    def __str__(self) -> str:
        return f"Lease {self._namespace}/{self._name}"

    async def _try(self) -> str:
        """Take or renew it if that is possible.

        Returns:
            Empty; or who holds it.
        """
        asked = time.monotonic()
        lease = await self._find()
        if lease is None:
            await self._send("create", "POST", self._new())
        elif self._is_free(lease["spec"]):
            self._sign(lease["spec"])
            await self._send("renew", "PUT", lease)
        else:
            return f"{lease['spec'].get('holderIdentity')} holds it"
        self._held_until = asked + self._seconds * 2 / 3
        return ""

    def _is_free(self, spec: Object) -> bool:
        """Whether it is ours, nobody's, or was not renewed for its whole duration while we watched."""
        holder = str(spec.get("holderIdentity") or "")
        state = (holder, str(spec.get("renewTime")))
        if state != self._seen:
            self._seen, self._seen_at = state, time.monotonic()
        if holder in {"", self._identity}:
            return True
        return time.monotonic() - self._seen_at > (spec.get("leaseDurationSeconds") or self._seconds)

    def _sign(self, spec: Object) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if spec.get("holderIdentity") != self._identity:
            spec["holderIdentity"] = self._identity
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        spec["leaseDurationSeconds"] = self._seconds
        spec["renewTime"] = now

    def _new(self) -> Object:
        spec: Object = {}
        self._sign(spec)
        meta = {"namespace": self._namespace, "name": self._name}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    async def _find(self) -> Object | None:
        try:
            lease = await self._kube.request(f"read {self}", "GET", self._path, timeout=self._timeout)
        except NotFound:
            return None
        lease["spec"] = lease.get("spec") or {}
        return lease

    async def _send(self, verb: str, method: str, lease: Object) -> None:
        """Under the resourceVersion it was read with, so that only one replica can."""
        path = self._folder if method == "POST" else self._path
        await self._kube.request(f"{verb} {self}", method, path, body=lease, timeout=self._timeout)
