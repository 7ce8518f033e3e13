"""A pod's log, followed live into the reader of goose's output."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from goosejobs.clients.errors import ClientError, Forbidden, NotFound
from goosejobs.clients.kube import Kube, object_path
from goosejobs_worker.goose.stream import StreamReader, Transcript

logger = logging.getLogger(__name__)

_SILENCE: Final = 900.0
"""Seconds. goose may say nothing for long; a connection that died unnoticed is opened anew after this, or
when the container has ended."""
_FIRST_DELAY: Final = 0.2
_MAX_DELAY: Final = 10.0
_LAST_WORDS: Final = 10.0
"""Seconds that a log which still comes in may be silent once its container has ended."""
_LAST_TRIES: Final = 20.0
"""Seconds for which a log that cannot be read is tried again once its container has ended."""


class LogFollower:
    """Reads the log of one container to its end.

    A connection that breaks off is opened anew and read from the start, for nothing tells where the old one
    was; rotation may have taken that start away, so what was read first still counts where goose's last line
    is not found again.

    Args:
        kube: Where to read.
        namespace: The pod's.
        pod: Its name.
        container: The container's name.
        completed: Called when goose's last line has been read.

    Attributes:
        trouble: Why the log cannot be read; empty when it can, or could.
    """

    def __init__(
        self, kube: Kube, namespace: str, pod: str, container: str, completed: Callable[[], None]
    ) -> None:
        self.trouble = ""
        self._kube = kube
        self._path = f"{object_path('/api/v1', 'pods', namespace, pod)}/log"
        self._what = f"read the log of pod {namespace}/{pod}"
        self._query = {"follow": "true", "container": container}
        self._completed = completed
        self._told = False
        self._kept = Transcript()
        self._reader = StreamReader()
        self._ended = asyncio.Event()
        self._end = asyncio.ensure_future(self._ended.wait())
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop reading."""
        for task in (self._task, self._end):
            task.cancel()
        await asyncio.gather(self._task, self._end, return_exceptions=True)

    @property
    def complete(self) -> bool:
        """Whether goose's last line has been read."""
        return self._kept.complete or self._reader.complete

    async def read_to_end(self) -> None:
        """The container has ended: wait until what it left has been read, or cannot be."""
        self._ended.set()
        await asyncio.shield(self._task)

    def transcript(self) -> Transcript:
        """What has been read so far."""
        return better(self._kept, self._reader.seen())

    async def _run(self) -> None:
        delay, give_up = _FIRST_DELAY, float("inf")
        while True:
            last_time = self._ended.is_set()  # a connection from before may have missed the end
            try:
                await self._read()
                self.trouble, delay = "", _FIRST_DELAY
                if last_time or self.complete:
                    return
            except NotFound as error:
                self.trouble = str(error)
                return  # the pod is gone
            except ClientError as error:
                if not self.trouble:
                    logger.info("%s; trying again", error)
                self.trouble = str(error)
                if self._ended.is_set():
                    give_up = min(give_up, time.monotonic() + _LAST_TRIES)
                if time.monotonic() >= give_up or (last_time and isinstance(error, Forbidden)):
                    return
            await self._pause(delay)
            delay = min(delay * 2, _MAX_DELAY)

    async def _pause(self, delay: float) -> None:
        """Wait before the next connection, but not much longer once the container has ended."""
        seconds = delay * random.uniform(0.7, 1.3)  # noqa: S311
        if self._ended.is_set():
            await asyncio.sleep(min(seconds, 1.0))
        else:
            await asyncio.wait({self._end}, timeout=seconds)

    async def _read(self) -> None:
        """Read one connection to its end."""
        async with self._kube.stream(self._what, self._path, self._query, silence=_SILENCE) as pieces:
            self._kept = self.transcript()
            self._reader = StreamReader()
            while piece := await self._next(pieces):
                self._reader.feed(piece)
                self._tell()
            self._reader.finish()
            self._tell()

    def _tell(self) -> None:
        if self._reader.complete and not self._told:
            self._told = True
            self._completed()

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes:
        """The next piece; empty at the end.

        Raises:
            TimeoutError: The container has ended, and the connection does not.
        """
        step = asyncio.ensure_future(anext(pieces, b""))
        try:
            await asyncio.wait({step, self._end}, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(_LAST_WORDS):
                return await step
        finally:
            step.cancel()


def better(old: Transcript, new: Transcript) -> Transcript:
    """Which of two readings of one log tells more: the later one, unless it missed what the other has."""
    missed = (old.complete and not new.complete) or (old.messages > 0 and not new.messages)
    return old if missed else new
