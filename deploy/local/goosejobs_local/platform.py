"""The whole platform in one data directory: what belongs to it, how it comes up, and how it goes away."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from goosejobs.model import names
from goosejobs_local import controlplane, converge, processes, state, temporal
from goosejobs_local.controlplane import ControlPlane
from goosejobs_local.converge import Ground
from goosejobs_local.parts import Part
from goosejobs_local.processes import Child
from goosejobs_local.progress import Progress, Report, silent
from goosejobs_local.resolve import Resolved
from goosejobs_local.temporal import Temporal

SERVERS = (*controlplane.BINARIES, "temporal")
"""The binaries that Kubernetes and Temporal are made of."""

CRDS = Path(__file__).parent / "crds"
_GRACE_SECONDS = 10.0
_SERVER_GRACE_SECONDS = 1.0
_LOCK_POLL_SECONDS = 0.2
_RESOURCE = f"/apis/{names.GROUP}/{names.VERSION}/{names.PLURAL}"
STATE = "state.json"
_RUNTIME = (
    "audit-policy.json", "audit.log", "bin", "etcd", "kube-controller-manager.kubeconfig", "kubeconfig",
    "kubectl", "pki", "temporal.db*", "worker", "logs", STATE,
)  # fmt: skip


class Platform:
    """One data directory and what runs in it.

    Whatever an earlier process left behind, running or not, is where `up` and `down` begin. Both want the
    directory's `lock` to be held.

    Args:
        home: The data directory.
        binaries: At least SERVERS.
        audit: Whether the API server writes down every change that is asked of it.
        ui: Whether Temporal's web pages are served.
    """

    def __init__(
        self, home: Path, binaries: Mapping[str, Resolved], *, audit: bool = False, ui: bool = False
    ) -> None:
        self.home = home.absolute()
        self.state = state.load(self.home / STATE)
        self.state.ensure_ports((*controlplane.PORTS, *temporal.PORTS))
        self._binaries = binaries
        self.control_plane = ControlPlane(
            home=self.home,
            ports=self.state.ports,
            binaries={name: binary.path for name, binary in binaries.items()},
            versions={name: binary.version for name, binary in binaries.items()},
            audit=audit,
        )
        self.temporal = Temporal(
            home=self.home,
            ports=self.state.ports,
            binary=binaries["temporal"].path,
            version=binaries["temporal"].version,
            ui=ui,
        )

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.control_plane.kubeconfig

    def up(self, more: Iterable[Part] = (), report: Report = silent) -> list[Child]:
        """Bring up Kubernetes with our CRDs, Temporal, and more.

        Args:
            more: Further parts.
            report: Told what starts and what is well.

        Returns:
            The processes that were started here, not those that ran already.

        Raises:
            converge.PartFailed: A part ended or took too long.
        """
        prepare_home(self.home)
        self.save()
        self.control_plane.prepare()
        return converge.converge([*self.servers(), *more], self._ground, report)

    def converge(self, parts: Sequence[Part], report: Report = silent) -> list[Child]:
        """Bring up parts beside the servers; as `converge.converge`."""
        alone = [dataclasses.replace(part, after=()) for part in parts]
        return converge.converge(alone, self._ground, report)

    def refresh(self) -> None:
        """Read what another process, which held the lock, wrote down."""
        written = state.load(self.home / STATE)
        self.state.ports.update(written.ports)
        self.state.parts, self.state.steps = written.parts, written.steps

    def port(self, name: str) -> int:
        """The port of a name, chosen when it is asked for first."""
        self.state.ensure_ports([name])
        return self.state.ports[name]

    def servers(self) -> list[Part]:
        """Kubernetes with our CRDs, and Temporal."""
        return [*self.control_plane.parts(), self.temporal.part(), self._crds()]

    def child(self, name: str) -> Child:
        """A part's process, as it is written down.

        Raises:
            KeyError: It was never started.
        """
        return self.state.parts[name].child

    def children(self) -> list[Child]:
        """All processes that are written down."""
        return [part.child for part in self.state.parts.values()]

    def drop(self, name: str) -> None:
        """Stop a part that is not wanted any more, if it is there."""
        if part := self.state.parts.pop(name, None):
            processes.stop([part.child], _GRACE_SECONDS)
            self.save()

    def restart(self, name: str, report: Report = silent) -> Child:
        """Start one of `servers` if it does not run, and wait until it is well."""
        part = next(part for part in self.servers() if part.name == name)
        self.converge([part], report)
        return self.child(name)

    def log(self, name: str) -> Path:
        """A part's log file."""
        return self._ground.log(name)

    def log_end(self, name: str) -> str:
        """The last lines of a part's log."""
        return processes.tail(self.log(name))

    def save(self) -> None:
        """Write the state down."""
        state.save(self.state, self.home / STATE)

    def link_kubectl(self) -> Path:
        """A kubectl in a directory of its own, for people to put on PATH."""
        link = self.home / "kubectl" / "kubectl"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(self._binaries["kubectl"].path)
        return link

    def kubectl(self, *arguments: str) -> list[str]:
        """The command line of a kubectl that speaks to this platform."""
        return [str(self._binaries["kubectl"].path), f"--kubeconfig={self.kubeconfig}", *arguments]

    @property
    def _ground(self) -> Ground:
        return Ground(self.home, self.state, self.save)

    def _crds(self) -> Part:
        """A step: the CRDs are applied and served."""
        files = sorted(CRDS.glob("*.yaml"))
        argv = self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=goosejobs-local",
            *(f"--filename={file}" for file in files),
        )
        return Part(
            name="crds",
            argv=tuple(argv),
            once=True,
            stamp="".join(file.read_text() for file in files),
            probes=(f"{self.control_plane.server}{_RESOURCE}",),
            after=("kube-apiserver",),
        )


def prepare_home(home: Path) -> None:
    """Make the data directory.

    If we are root, others may pass through: goose then runs as a user of its own, with its files inside.
    """
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)


def down(home: Path, *, keep: Iterable[str] = ()) -> int:
    """Stop everything that runs in a data directory and remove what it left there.

    Args:
        home: The data directory; its lock must be held.
        keep: Names of entries that stay.

    Returns:
        How many processes there were.
    """
    home = home.absolute()
    recorded = state.load(home / STATE)
    alive = [part.child for part in recorded.parts.values() if part.child.alive]
    servers = [recorded.parts[name].child for name in SERVERS if name in recorded.parts]
    # Whoever uses the servers ends before them, and can say good-bye to them.
    processes.stop([child for child in alive if child not in servers], _GRACE_SECONDS)
    processes.stop(servers, _SERVER_GRACE_SECONDS)
    count = len(alive) + processes.sweep(str(home))
    for pattern in set(_RUNTIME) - set(keep):
        for path in home.glob(pattern):
            remove(path)
    with contextlib.suppress(OSError):
        (home / "recipes").rmdir()  # unless there are recipes in it: those are not ours
    return count


@contextmanager
def lock(home: Path, report: Report = silent) -> Iterator[None]:
    """Hold a data directory's lock; says so when it has to wait."""
    home.mkdir(parents=True, exist_ok=True)
    file = FileLock(home / "lock")
    try:
        file.acquire(blocking=False)
    except Timeout:
        report(Progress("platform", f"waiting for another goosejobs that is at work in {home}"))
        file.acquire(poll_interval=_LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        file.release()


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
