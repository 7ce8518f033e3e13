"""The whole list, looked at again now and then: repairs what no event tells of, and removes orphans."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from goosejobs.clients.errors import ClientError, NotFound
from goosejobs.clients.kube import Object
from goosejobs.model import names
from goosejobs_operator import metrics
from goosejobs_operator.backend import Backend
from goosejobs_operator.health import Pulse, version_number
from goosejobs_operator.known import Known, key_of, mark_of
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.queue import Key, WorkQueue
from goosejobs_operator.reconcile import Reconciler
from goosejobs_operator.temporal import Found, Temporal

log = logging.getLogger(__name__)

PACE_SECONDS = 0.02
"""Between two objects: a resync of thousands of them must not look like a flood to Temporal."""

RETRY_SECONDS = 5.0


class Resync:
    """Goes through everything, at the start and then every so often.

    Args:
        namespaces: To list; empty: all.
        seconds: How often.
        patience: Seconds that an orphaned run is given to end.
    """

    def __init__(
        self,
        kube: OperatorKube,
        temporal: Temporal,
        backend: Backend,
        known: Known,
        reconciler: Reconciler,
        queue: WorkQueue,
        pulse: Pulse,
        namespaces: list[str],
        seconds: float,
        patience: float,
        active: Callable[[], bool],
    ) -> None:
        self._kube = kube
        self._temporal = temporal
        self._backend = backend
        self._known = known
        self._reconciler = reconciler
        self._queue = queue
        self._pulse = pulse
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._seconds = seconds
        self._patience = patience
        self._asked_to_end: dict[str, float] = {}
        self._active = active
        self._first = True
        self._soon = asyncio.Event()

    def soon(self) -> None:
        """Do not wait for the next one's time."""
        self._soon.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            delay = self._seconds
            try:
                await self.once()
            except ClientError as error:
                log.warning("resync failed, trying again: %s", error)
                delay = min(RETRY_SECONDS, delay)
            try:
                async with asyncio.timeout(delay):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()

    async def once(self) -> None:
        """Go through everything once.

        Raises:
            ClientError: Something did not answer; what was found is in the queue all the same.
        """
        uids = await self._look_at_all()
        if self._active() and not self._backend.down:
            await self._sweep(uids)
        metrics.LAST_RESYNC.set(time.time())

    async def _look_at_all(self) -> set[str]:
        """List, and have each object that is not as it should be looked at again."""
        uids: set[str] = set()
        newest: dict[str, int] = {}
        phases: Counter[str] = Counter()
        unlisted = set(self._known.keys())
        for namespace in self._namespaces:
            async for page in self._kube.list_goosejobs(namespace):
                self._pulse.listing()
                for obj in page:
                    meta = obj["metadata"]
                    uids.add(meta["uid"])
                    unlisted.discard(key_of(obj))
                    version = version_number(meta["resourceVersion"])
                    newest[meta["namespace"]] = max(newest.get(meta["namespace"], 0), version)
                    phases[(obj.get("status") or {}).get("phase") or "Pending"] += 1
                await self._look_at(page)
        self._pulse.listed(newest)
        self._first = False
        for key in unlisted:
            self._queue.add(key)
        self._backend.keep_pools(self._known.pools())
        _count(phases)
        return uids

    async def _look_at(self, page: list[Object]) -> None:
        async with asyncio.TaskGroup() as group:
            for obj in page:
                key = key_of(obj)
                if not self._known.is_settled(key, mark_of(obj)):
                    self._queue.add(key)
                elif not self._first:
                    group.create_task(self._check(key, obj))
                    await asyncio.sleep(PACE_SECONDS)

    async def _check(self, key: Key, obj: Object) -> None:
        """Find out whether there is something to do; the queue does it, from a fresh read."""
        try:
            if await self._reconciler.is_as_wanted(obj):
                return
        except Exception as error:  # noqa: BLE001 - the queue meets it again, and deals with it
            log.debug("GooseJob %s: %s", "/".join(key), error)
        self._known.unsettle(key)
        self._queue.add(key)

    async def _sweep(self, uids: set[str]) -> None:
        """Remove what is left in Temporal of GooseJobs of ours that are surely gone."""
        async for found in self._temporal.schedules():
            if found.uid not in uids and await self._is_orphan(found):
                await self._temporal.delete(found.id)
                metrics.SWEPT.labels("schedule").inc()
                log.warning("deleted schedule %s, whose GooseJob is gone", found.id)
        open_ids = set()
        async for found in self._temporal.open_runs():
            open_ids.add(found.id)
            if found.uid not in uids and await self._is_orphan(found):
                await self._end(found.id)
        self._asked_to_end = {id_: when for id_, when in self._asked_to_end.items() if id_ in open_ids}

    async def _end(self, workflow_id: str) -> None:
        """Ask an orphaned run to end; one that nobody ends for long is terminated."""
        now = time.monotonic()
        if workflow_id not in self._asked_to_end:
            self._asked_to_end[workflow_id] = now
            await self._temporal.cancel(workflow_id)
            metrics.SWEPT.labels("run").inc()
            log.warning("cancelled run %s, whose GooseJob is gone", workflow_id)
        elif now - self._asked_to_end[workflow_id] >= self._patience:
            await self._temporal.terminate(workflow_id, "its GooseJob is gone, and the run did not end")
            log.warning("terminated run %s, whose GooseJob is gone", workflow_id)

    async def _is_orphan(self, found: Found) -> bool:
        """Whether its GooseJob is gone, in a namespace that we serve; it may be younger than our list."""
        _, namespace, name, *_ = [*found.id.split("/"), "", ""]
        if not names.is_of(found.id, namespace, name, found.uid) or not self._serves(namespace):
            return False
        try:
            obj = await self._kube.get_goosejob(namespace, name)
        except NotFound:
            return True
        return bool(obj["metadata"]["uid"] != found.uid)

    def _serves(self, namespace: str) -> bool:
        return self._namespaces == [None] or namespace in self._namespaces


def _count(phases: Counter[str]) -> None:
    metrics.OBJECTS.clear()
    for phase, number in phases.items():
        metrics.OBJECTS.labels(phase).set(number)
