"""The work queue: causes become one reconcile per object at a time, with retries that delay nobody else.

A key that is added again while it waits is one piece of work; one added while it is worked on is worked on
once more afterwards. All times to come are in one heap, so that thousands of objects cost no task each.
"""

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable

from goosejobs.clients.errors import ClientError, Conflict, Unavailable
from goosejobs_operator import metrics

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a GooseJob."""

Work = Callable[[Key, int], Awaitable[float | None]]
"""Reconciles a key. Gets the number of tries that failed since the last success; gives the seconds after
which to look again, or None. Any exception means: try again later."""

FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0
STUCK_SECONDS = 120.0
_SLACK = 64


def backoff(tries: int, chance: float) -> float:
    """How long to wait after so many failed tries.

    Args:
        tries: From 1.
        chance: From 0 to 1: the jitter, so that what failed together does not come back together.

    Returns:
        Seconds: doubling from `FIRST_DELAY` up to `LONGEST_DELAY`, of which between half and all.
    """
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, 30))
    return longest * (0.5 + chance / 2)


class WorkQueue:
    """See the module. Use from one event loop only."""

    def __init__(self, work: Work, workers: int = 16) -> None:
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._tries: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._earlier = asyncio.Event()

    def add(self, key: Key) -> None:
        """Work on the key as soon as a worker is free; a later time that it had is dropped."""
        self._due.pop(key, None)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)
            metrics.QUEUE_DEPTH.set(len(self._waiting))

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key at a later time, which replaces the later time that it had."""
        due = time.monotonic() + seconds
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        if self._heap[0][1] == key:
            self._earlier.set()
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(when, which) for which, when in self._due.items()]
            heapq.heapify(self._heap)

    def forget(self, key: Key) -> None:
        """The object is gone: no later time, no failed tries."""
        self._due.pop(key, None)
        self._tries.pop(key, None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be worked on now, and nothing is."""
        return not self._waiting and not self._running

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._release())
            for _ in range(self._workers):
                group.create_task(self._serve())

    async def _release(self) -> None:
        """Move keys whose time has come to the workers."""
        while True:
            self._earlier.clear()
            timeout = self._release_due()
            try:
                async with asyncio.timeout(timeout):
                    await self._earlier.wait()
            except TimeoutError:
                continue

    def _release_due(self) -> float | None:
        """Release all that is due, and say in how many seconds something will be."""
        while self._heap:
            due, key = self._heap[0]
            left = due - time.monotonic()
            current = self._due.get(key) == due
            if current and left > 0:
                return left
            heapq.heappop(self._heap)
            if current:
                self.add(key)
        return None

    async def _serve(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            metrics.QUEUE_DEPTH.set(len(self._waiting))
            self._running.add(key)
            try:
                await self._attempt(key)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _attempt(self, key: Key) -> None:
        tries = self._tries.get(key, 0)
        result = "ok"
        try:
            with metrics.timed(metrics.RECONCILE_SECONDS):
                async with asyncio.timeout(STUCK_SECONDS):
                    delay = await self._work(key, tries)
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the others (I18)
            result = type(error).__name__
            self._retry(key, tries + 1, error)
        else:
            self._tries.pop(key, None)
            if delay is not None:
                self.add_after(key, delay)
        metrics.RECONCILES.labels(result).inc()

    def _retry(self, key: Key, tries: int, error: Exception) -> None:
        self._tries[key] = tries
        delay = backoff(tries, random.random())  # noqa: S311 - jitter, not a secret
        if isinstance(error, Unavailable) and error.retry_after:
            delay = max(delay, error.retry_after)
        self.add_after(key, delay)
        where = "/".join(key)
        if not isinstance(error, ClientError):
            log.error("GooseJob %s: unexpected error, trying again", where, exc_info=error)
        elif isinstance(error, Conflict):
            log.debug("GooseJob %s changed meanwhile, reading again: %s", where, error)
        elif tries == 2:
            log.warning("GooseJob %s: trying again until it works: %s", where, error)
