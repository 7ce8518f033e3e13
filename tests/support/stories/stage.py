"""Operator, worker and servers under a story's kills: each step is counted where it passes a proxy.

Operator and worker have a proxy to the API server each, in every life of theirs. A kill happens in it, so
between a request and its answer: SIGKILL comes before anything else of that process does. Whoever dies is
started again at once, as Kubernetes does.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from support.kube_proxy import At as ProxyAt
from support.kube_proxy import Cut, kube_proxy
from support.rig import Handle, Rig
from support.stories.diary import Diary
from support.stories.model import At, How, Kill, Of, Who
from support.waiting import eventually

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_COUNTED = r"/goosejobs/"
"""Neither Events nor the Lease, which come at times of their own."""
_AT = {ProxyAt.REQUEST: At.REQUEST, ProxyAt.ANSWER: At.ANSWER}
_LIFE = 3600.0
_ENVIRONMENT = {
    Who.OPERATOR: {
        "GOOSEJOBS_RESYNC_SECONDS": "5",
        "GOOSEJOBS_LEASE_SECONDS": "6",
        "GOOSEJOBS_DELETION_TIMEOUT_SECONDS": "120",
    },
    Who.WORKER: {
        "GOOSEJOBS_KILL_GRACE_SECONDS": "1",
        "GOOSEJOBS_DRAIN_SECONDS": "2",
        "GOOSE_PROVIDER_SKIP_BACKOFF": "true",
    },
}


class Stage:
    """Where a story is told.

    Args:
        rig: Its platform, whose servers die, too.
        namespace: The story's own.
        pool: The same.
        diary: The agents'.
        kills: What happens.

    Attributes:
        happened: What of it has happened so far, in order.
    """

    def __init__(self, rig: Rig, namespace: str, pool: str, diary: Diary, kills: tuple[Kill, ...]) -> None:
        self._rig, self._namespace, self._pool, self._diary = rig, namespace, pool, diary
        self._left = list(kills)
        self.happened: list[Kill] = []
        self._lock = threading.Lock()
        self._steps: dict[tuple[Of, At], int] = dict.fromkeys(itertools.product(Of, At), 0)
        self._newest: dict[Who, Handle] = {}
        self._lives: list[Handle] = []
        self._stack = contextlib.ExitStack()
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._endless: list[asyncio.Task[None]] = []
        self._restarting: dict[Who, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Start operator and worker, and keep them and the servers going while the block lasts."""
        with self._stack:
            async with asyncio.TaskGroup() as self._tasks:
                self._start(Who.OPERATOR)
                self._start(Who.WORKER)
                self._spawn(self._watch_agents())
                try:
                    yield self
                finally:
                    for task in self._endless:
                        task.cancel()

    def report(self) -> str:
        """What happened, and the ends of all logs."""
        told = [f"happened: {kill!r}" for kill in self.happened]
        for handle in self._lives[-4:]:
            lines = handle.log.splitlines()[-20:]
            told += [f"--- end of {handle.name}'s log", *(line[:400] for line in lines)]
        return "\n".join(told)

    def _spawn(self, endless: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._endless.append(self._tasks.create_task(endless))

    async def _keep(self, who: Who, handle: Handle) -> None:
        """Start another one when this one has died, unless somebody has taken its place before."""
        await eventually(lambda: not handle.alive, timeout=_LIFE)
        if self._newest[who] is handle:
            self._start(who)

    def _start(self, who: Who) -> None:
        """A new life of a side, behind a proxy of its own."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="goosejobs-stage-")))
        proxy = self._stack.enter_context(kube_proxy(self._rig.platform.control_plane, folder))
        life: list[Handle] = []
        for at, method in itertools.product(_AT, _WRITES):
            proxy.plan(at, method, _COUNTED, self._step(Of(who.value), _AT[at], life), times=1_000_000)
        own = {"KUBECONFIG": str(proxy.kubeconfig), **_ENVIRONMENT[who]}
        if who is Who.OPERATOR:
            lease = f"operator-{self._namespace}"
            own |= {"GOOSEJOBS_NAMESPACES": self._namespace, "GOOSEJOBS_LEASE_NAME": lease}
            handle = self._rig.start_operator(wait=False, **own)
        else:
            handle = self._rig.start_worker(pool=self._pool, wait=False, **own)
        self._stack.enter_context(handle)
        life.append(handle)
        self._newest[who] = handle
        self._lives.append(handle)
        self._spawn(self._keep(who, handle))

    def _step(self, of: Of, at: At, life: list[Handle]) -> Callable[[], web.Response | None]:
        """What the proxy does with each write: count it, and kill if it is the one."""

        def count() -> web.Response | None:
            due = self._count(of, at)
            cut = False
            for kill in due:
                cut |= self._hurt(kill, life[0]) and at is At.REQUEST
            if cut:
                raise Cut
            return None

        return count

    def _count(self, of: Of, at: At, to: int | None = None) -> list[Kill]:
        """Note a step; which kills are due with it."""
        with self._lock:
            self._steps[of, at] = self._steps[of, at] + 1 if to is None else to
            number = self._steps[of, at]
            due = [kill for kill in self._left if (kill.of, kill.at) == (of, at) and kill.number <= number]
            self._left = [kill for kill in self._left if kill not in due]
            self.happened += due
        return due

    def _hurt(self, kill: Kill, writer: Handle | None) -> bool:
        """Let it happen; whether the writer is dead now."""
        dead = False
        for who in kill.who:
            if who in {Who.API_SERVER, Who.TEMPORAL}:
                self._loop.call_soon_threadsafe(self._restart, who)
                continue
            own = writer is not None and who.value == kill.of.value
            handle = writer if own and writer is not None else self._newest[who]
            if handle.alive:  # else it died a moment ago, and is about to be started again
                with contextlib.suppress(ProcessLookupError):
                    self._strike(who, handle, kill)
            dead |= own and kill.how is How.KILL
        return dead

    def _strike(self, who: Who, handle: Handle, kill: Kill) -> None:
        if kill.how is How.FREEZE:
            handle.freeze()
            self._loop.call_soon_threadsafe(self._later, who, handle, kill)
        else:
            os.kill(handle.pid, signal.SIGKILL if kill.how is How.KILL else signal.SIGTERM)

    def _later(self, who: Who, handle: Handle, kill: Kill) -> None:
        """A frozen process wakes up; another one may have taken its place."""
        if kill.relieved:
            self._start(who)
        self._spawn(self._thaw(handle, time.monotonic() + kill.seconds))

    async def _thaw(self, handle: Handle, at: float) -> None:
        try:
            await eventually(lambda: time.monotonic() >= at, timeout=_LIFE)
        finally:
            if handle.alive:
                handle.thaw()

    def _restart(self, who: Who) -> None:
        assert self._tasks is not None
        if who not in self._restarting or self._restarting[who].done():
            self._restarting[who] = self._tasks.create_task(asyncio.to_thread(self._kill_server, who))

    def _kill_server(self, who: Who) -> None:
        self._rig.server(who.value).kill9()
        self._rig.restart(who.value)

    async def _watch_agents(self) -> None:
        while True:
            length = self._diary.length()
            for kill in [
                *self._count(Of.AGENT, At.ANSWER, length),
                *self._count(Of.AGENT, At.REQUEST, length),
            ]:
                self._hurt(kill, None)
            await eventually(functools.partial(self._has_grown, length), timeout=_LIFE)

    def _has_grown(self, length: int) -> bool:
        return self._diary.length() > length
