"""Starts the real parts that tests need, by the local platform's own code."""

import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pytest
from filelock import FileLock

from goosejobs_local import baseimage, converge, node, platform, processes, sandbox, sides, state
from goosejobs_local.converge import Ground
from goosejobs_local.debian import NotDebian
from goosejobs_local.parts import Part
from goosejobs_local.platform import NodeOptions, Platform
from goosejobs_local.processes import Child
from goosejobs_local.progress import silent
from goosejobs_local.resolve import Resolver
from goosejobs_local.state import State
from goosejobs_worker.executors.kubernetes.template import DEFAULT_IMAGE
from support import elsewhere
from support.elsewhere import Beside, Cluster

_IN_NODE = ("containerd", "kubelet", "kube-proxy", "kube-scheduler", "coredns")
_PREFIX = "goosejobs-test-"
_LOG_LINES = 40
_KILL_SECONDS = 30.0
_STOP_SECONDS = 60.0
_END_SECONDS = 5.0
_START_SECONDS = 180.0
"""Of an operator or a worker, on a machine that is slow: more than people are asked to wait."""
_SHARES = 4
"""Of the ports: a worker of pytest-xdist has one to itself. A port is free for others until it is bound."""
_share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
state.PORTS = state.PORTS[_share::_SHARES]

live: list["Handle"] = []
"""What tests use now; the ends of their logs go into the report of a test that fails."""


@dataclass(frozen=True)
class Handle:
    """A process of ours that a test uses; as a context manager it is ended at the end, whatever its state.

    Attributes:
        name: `operator`, `worker`, ...
        child: The process.
        address: Where it serves; of operator and worker, host:port of /healthz and /metrics.
        log_file: What it wrote.
        door: The process that leads to it, if it is inside the node; it ends with it.
    """

    name: str
    child: Child
    address: str
    log_file: Path
    door: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live.remove(self)
        processes.stop([self.child], _END_SECONDS)

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.alive

    def gooses(self) -> list[psutil.Process]:
        """Those below it, told from what they have started, which comes and goes."""
        found = []
        for process in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "goose":
                    found.append(process)
        return found

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def kill9(self) -> None:
        """SIGKILL to the process alone, not to what it started."""
        self._end(signal.SIGKILL, _KILL_SECONDS)

    def stop(self) -> None:
        """SIGTERM to the process alone, and wait until it has ended by itself."""
        self._end(signal.SIGTERM, _STOP_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP to the process alone."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to the process alone."""
        os.kill(self.pid, signal.SIGCONT)
        if self.door:  # it stopped itself when it saw that
            os.kill(self.door.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals, seconds: float) -> None:
        if self.alive:
            os.kill(self.pid, number)
        gone = processes.wait_until(lambda: not (self.alive or (self.door and self.door.alive)), seconds)
        assert gone, f"{self.name} is still alive {seconds} s after {number.name}"


class Rig:
    """A platform, and what tests start beside it in its data directory.

    Attributes:
        home: The data directory.
        platform: Kubernetes and Temporal.

    Args:
        home: The data directory.
        options: Of its node, if it has one.
        cluster: Where pods run instead, if that is not ours.
    """

    def __init__(
        self, home: Path, options: NodeOptions | None = None, cluster: Cluster | None = None
    ) -> None:
        self.home = home
        with platform.lock(home):  # the node's addresses are chosen once, by whoever comes first
            self.platform = _platform(home, options, cluster)
            self.platform.save()
        self._numbers = itertools.count(1)
        # What one test starts is not written into the state that all share; the mark finds it at the end.
        self._private = Ground(home, State(), save=lambda: None)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.platform.kubeconfig

    @property
    def temporal_address(self) -> str:
        """host:port."""
        return self.platform.temporal.address

    @property
    def audit_log(self) -> Path:
        """The API server's: a JSON object for each request that changes something."""
        if isinstance(self.platform, Beside):
            pytest.skip("only our own API server lets us read its audit log")
        return self.platform.control_plane.audit_log

    @property
    def model_address(self) -> str:
        """The stub model's URL, from here and from pods; starts it."""
        return self.model().address

    def import_image(self, archive: Path) -> None:
        """Give the node an image, from a docker-archive or an OCI archive."""
        self.platform.import_image(archive)

    def goose_image(self) -> str:
        """The name of an image that the node has, or can pull, with real goose in it."""
        binary = Resolver().resolve(["goose"])["goose"]
        try:
            self.import_image(baseimage.goose(binary))
        except NotDebian:
            if isinstance(self.platform, Beside):
                return DEFAULT_IMAGE
            raise
        return baseimage.goose_reference(binary.version)

    def up(self) -> None:
        """Start what does not run of Kubernetes and Temporal."""
        with platform.lock(self.home):
            self.platform.refresh()
            self.platform.up()

    def server(self, name: str) -> Handle:
        """`etcd`, `kube-apiserver`, `kubelet`, `temporal`, ...: to kill it or to freeze it."""
        address = self.platform.state.parts[name].address
        child = self.platform.child(name)
        if name not in _IN_NODE:
            return Handle(name, child, address, self.platform.log(name))
        own = processes.find(psutil.Process(child.pid).children()[0].pid)
        return Handle(name, own, address, self.platform.log(name), door=child)

    def restart(self, name: str) -> Handle:
        """Start a server that was killed, on the same port and data, and wait until it is well."""
        self.platform.restart(name)
        return self.server(name)

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 -- as subprocess.run calls it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator.

        Args:
            arguments: Its arguments.
            input: Its standard input.
            check: Whether a failure raises CalledProcessError.
        """
        result = subprocess.run(
            self.platform.kubectl(*arguments), input=input, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            error = subprocess.CalledProcessError(
                result.returncode, result.args, result.stdout, result.stderr
            )
            error.add_note(result.stderr)
            raise error
        return result

    def model(self) -> Handle:
        """The stub model, one for all tests of this platform."""
        return self._share(lambda: sides.model(self.platform.port("model"), self.platform.address))

    def operator(self) -> Handle:
        """The operator that tests of this platform share."""
        return self._share(lambda: sides.operator(self.platform.port("operator"), self._connection))

    def worker(self) -> Handle:
        """The worker of the pool `default` that tests of this platform share."""
        model = self.model().address
        return self._share(lambda: self._worker("worker", self.platform.port("worker"), model, {}))

    def start_operator(self, *, wait: bool = True, **env: str) -> Handle:
        """Start an operator for one test.

        Args:
            wait: Until it is well.
            env: Environment variables for it.
        """
        name = self._unique("operator")
        part = sides.operator(self._port(name), self._connection, **env)
        return self._start(dataclasses.replace(part, name=name), wait)

    def start_worker(self, *, pool: str = "default", wait: bool = True, **env: str) -> Handle:
        """Start a worker for one test, with a data directory of its own.

        Args:
            pool: Which GooseJobs it serves.
            wait: Until it is well.
            env: Environment variables for it.
        """
        name = self._unique("worker")
        part = self._worker(name, self._port(name), self.model().address, {"GOOSEJOBS_POOL": pool, **env})
        return self._start(dataclasses.replace(part, name=name), wait)

    def _worker(self, name: str, port: int, model: str, env: dict[str, str]) -> Part:
        recipes = self.home / "recipes"
        recipes.mkdir(exist_ok=True)
        return sides.worker(
            port,
            self._connection,
            goose=goose(self.home),
            data=self.home / "worker" / name,
            recipes=recipes,
            **{**sides.stub_provider(model), **env},
        )

    def _share(self, make: Callable[[], Part]) -> Handle:
        """Start a part unless it runs.

        Args:
            make: Called when no other process of this session changes the state: only then is it known
                whether the part has a port already. Another port would be another command, hence a restart.
        """
        with platform.lock(self.home):
            self.platform.refresh()
            part = dataclasses.replace(make(), deadline=_START_SECONDS)
            self.platform.converge([part])
        handle = self.server(part.name)
        if handle not in live:
            live.append(handle)
        return handle

    def _start(self, part: Part, wait: bool) -> Handle:
        child = converge.start(part, self._private)
        handle = Handle(part.name, child, part.address, self._private.log(part.name))
        live.append(handle)
        if wait:
            patient = dataclasses.replace(part, after=(), deadline=_START_SECONDS)
            converge.converge([patient], self._private, silent)
        return handle

    def _unique(self, name: str) -> str:
        return f"{name}-{os.getpid()}-{next(self._numbers)}"

    def _port(self, name: str) -> int:
        self._private.state.ensure_ports([name])
        return self._private.state.ports[name]

    @property
    def _connection(self) -> dict[str, str]:
        return sides.connection(self.kubeconfig, self.temporal_address)


def _platform(home: Path, options: NodeOptions | None, cluster: Cluster | None) -> Platform:
    if cluster:
        return Beside(home, Resolver().resolve(elsewhere.BINARIES), cluster)
    binaries = Resolver().resolve((*platform.SERVERS, *(node.BINARIES if options else ())))
    return Platform(home, binaries, audit=True, options=options)


@contextmanager
def fresh(options: NodeOptions | None = None) -> Iterator[Rig]:
    """A platform of one's own, for tests that kill its servers; with a node, if there are options for one."""
    with fresh_home() as home:
        rig = Rig(home, options)
        rig.up()
        yield rig


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A data directory of one's own; whatever runs in it at the end is stopped."""
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield home
    finally:
        remove(home)


def home_of(session: int) -> Path:
    """The data directory of a test session, by the process id of its first process.

    Not one of pytest's: goose's own user may not enter those.
    """
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{session}"


def remove(home: Path) -> None:
    """Stop whatever runs in a data directory, and remove it."""
    with platform.lock(home):
        platform.down(home)
    live[:] = [handle for handle in live if handle.alive]
    shutil.rmtree(home, ignore_errors=True)


def beside(home: Path) -> Path:
    """The data directory of the same session's platform with a node."""
    return home.with_name(f"{home.name}-node")


def no_node() -> str:
    """Why a node cannot run here; empty if one can."""
    return sandbox.refused()


def no_own_node() -> str:
    """Why no node of a test's own can run here; empty if one can."""
    return (
        "the tests run on another cluster: this one is about our own node" if elsewhere.named() else no_node()
    )


def node_options(**options: Any) -> NodeOptions:
    """What a test's node is made of; the options are those of `NodeOptions`."""
    return NodeOptions(node.tools(silent), **options)


def remove_abandoned() -> None:
    """Clear away what a test session left that was killed; one process at a time does so."""
    folder = Path(tempfile.gettempdir())
    with FileLock(folder / "goosejobs-tests.lock"):
        for home in folder.glob(f"{_PREFIX}*"):
            session = home.name.removeprefix(_PREFIX).split("-")[0]
            if session.isdigit() and not psutil.pid_exists(int(session)):
                remove(home)


def goose(home: Path) -> Path:
    """Real goose, at a path that goose's own user may enter."""
    platform.prepare_home(home)
    return sides.reachable(Resolver().resolve(["goose"])["goose"].path, home / "bin")


def logs() -> list[tuple[str, str]]:
    """Title and last lines of the log of each part that is used now."""
    return [(f"end of {one.name}'s log", processes.tail(one.log_file, _LOG_LINES)) for one in live]
