"""A platform of the bench's own: what it runs, how it is told things, and that nothing of it stays."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.rows import NotMeasured
from goosejobs_local import local, node, platform, sides
from goosejobs_local.parts import Part
from goosejobs_local.platform import NodeOptions, Platform
from goosejobs_local.resolve import Resolver

_PREFIX = "goosejobs-bench-"
_POLL_SECONDS = 0.2


class Ground:
    """Kubernetes with an audit log, Temporal, the stub model, an operator and a worker.

    Args:
        home: The data directory.
        options: Of its node, if it is to have one.

    Attributes:
        home: The data directory.
        platform: What runs in it.
    """

    def __init__(self, home: Path, options: NodeOptions | None = None) -> None:
        self.home = home
        binaries = Resolver().resolve((*local.BINARIES, *(node.BINARIES if options else ())))
        self.platform = Platform(home, binaries, audit=True, options=options)
        self._goose = binaries["goose"].path

    def up(self, **operator: str) -> None:
        """Start everything.

        Args:
            operator: Environment variables for the operator.
        """
        to = sides.connection(self.platform.kubeconfig, self.platform.temporal.address)
        platform.prepare_home(self.home)
        recipes = self.home / "recipes"
        recipes.mkdir()
        model = sides.model(self.platform.port("model"))
        worker = sides.worker(
            self.platform.port("worker"),
            to,
            goose=sides.reachable(self._goose, self.home / "bin"),
            data=self.home / "worker",
            recipes=recipes,
            GOOSEJOBS_DRAIN_SECONDS="0",
            **sides.stub_provider(model.address),
        )
        self.up_with(model, sides.operator(self.platform.port("operator"), to, **operator), worker)

    def up_with(self, *parts: Part) -> None:
        """Start Kubernetes, Temporal and these."""
        with platform.lock(self.home):
            self.platform.up(parts)

    def address(self, part: str) -> str:
        """Where a part serves."""
        return self.platform.state.parts[part].address

    async def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl as the administrator.

        Args:
            arguments: Its arguments.
            text: Its standard input.

        Returns:
            What it printed.

        Raises:
            NotMeasured: It failed.
        """
        process = await asyncio.create_subprocess_exec(
            *self.platform.kubectl(*arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate(text.encode())
        finally:
            await ended(process)
        if process.returncode:
            raise NotMeasured(f"kubectl {arguments[0]}: {errors.decode(errors='replace').strip()}")
        return output.decode()


@contextmanager
def private_home() -> Iterator[Path]:
    """A data directory; whatever runs in it is stopped, and it is removed."""
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield home
    finally:
        with _undisturbed():
            remove(home)


@contextmanager
def grounds() -> Iterator[Ground]:
    """A platform of one's own, not started yet."""
    with private_home() as home:
        yield Ground(home)


def remove(home: Path) -> None:
    """Stop whatever runs in a data directory, and remove it."""
    with platform.lock(home):
        platform.down(home)
    platform.remove(home)


def remove_abandoned() -> None:
    """Clear away what a bench left that was killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = home.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            remove(home)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Kill a process if it is still there, and see it off: the event loop must not close before."""
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something.

    Args:
        condition: Whether it is there.
        seconds: How long to wait at most.
        what: What is waited for, for the message.

    Returns:
        The time at which it was seen, as `time.monotonic` tells it.

    Raises:
        NotMeasured: It took too long.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotMeasured(f"waited {seconds:.0f} s for {what} in vain")
        await asyncio.sleep(_POLL_SECONDS)
    return time.monotonic()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not keep the first from cleaning up."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
