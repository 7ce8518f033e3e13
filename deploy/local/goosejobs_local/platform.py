"""The whole platform in one data directory: what belongs to it, how it comes up, and how it goes away."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from goosejobs.model import names
from goosejobs_local import controlplane, converge, network, node, processes, sandbox, state, temporal
from goosejobs_local.controlplane import ControlPlane
from goosejobs_local.converge import Ground
from goosejobs_local.debian import Root
from goosejobs_local.node import Node
from goosejobs_local.parts import Part
from goosejobs_local.processes import Child
from goosejobs_local.progress import Progress, Report, silent
from goosejobs_local.resolve import Resolved
from goosejobs_local.sandbox import Sandbox
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
    "kubectl", "node", "pki", "pool.yaml", "temporal.db*", "worker", "logs", STATE, "*.part",
)  # fmt: skip


@dataclass(frozen=True)
class NodeOptions:
    """That there is a node, and what about it differs from our own choice.

    Attributes:
        tools: See `node.tools`.
        flags: More flags of the programs, by the programs' names; the control plane's, too.
        kubelet: More fields of the kubelet's configuration file.
        images: See `Node`.
        outside: Whether pods reach more than this machine; it then forwards packets.
    """

    tools: Root
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    kubelet: Mapping[str, object] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    outside: bool = False


class Platform:
    """One data directory and what runs in it.

    Whatever an earlier process left behind, running or not, is where `up` and `down` begin. Both want the
    directory's `lock` to be held.

    Args:
        home: The data directory.
        binaries: At least SERVERS, and node.BINARIES if there is a node.
        audit: Whether the API server writes down every change that is asked of it.
        ui: Whether Temporal's web pages are served.
        options: Of the node, if there is to be one.
    """

    def __init__(
        self,
        home: Path,
        binaries: Mapping[str, Resolved],
        *,
        audit: bool = False,
        ui: bool = False,
        options: NodeOptions | None = None,
    ) -> None:
        self.home = home.absolute()
        self.state = state.load(self.home / STATE)
        self.state.ensure_ports((*controlplane.PORTS, *temporal.PORTS))
        self._binaries = binaries
        self._options = options
        self.network = self._network(options) if options else None
        self.control_plane = ControlPlane(
            home=self.home,
            ports=self.state.ports,
            binaries={name: binary.path for name, binary in binaries.items()},
            versions={name: binary.version for name, binary in binaries.items()},
            audit=audit,
            network=self.network,
            clients=node.CLIENTS if options else {},
            flags=options.flags if options else {},
        )
        self.temporal = Temporal(
            home=self.home,
            ports=self.state.ports,
            binary=binaries["temporal"].path,
            version=binaries["temporal"].version,
            ui=ui,
            host=self.address,
        )
        self.node = self._node(options, self.network) if options and self.network else None

    @property
    def address(self) -> str:
        """Where the API server and Temporal serve, and where the stub model should."""
        return self.network.host if self.network else "127.0.0.1"

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
        if self.node:
            self._begin_node(self.node, report)
        return converge.converge([*self.servers(), *self._of_node(), *more], self._ground, report)

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
        return [*self.control_plane.parts(), *self.temporal.parts(), self._crds()]

    def import_image(self, archive: Path) -> None:
        """Give the node an image, from a docker-archive or an OCI archive.

        Raises:
            ValueError: There is no node.
            SandboxFailed: containerd cannot read it.
        """
        if self.node is None:
            raise ValueError("there is no node to import images into")
        init = sandbox.inner(self.child(sandbox.INIT))
        sandbox.feed(self.node.ctr(init, "images", "import", "-"), archive, self.node.tools)

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
        """Start a server or a part of the node if it does not run, and wait until it is well."""
        part = next(part for part in (*self.servers(), *self._of_node()) if part.name == name)
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

    def _network(self, options: NodeOptions) -> network.Network:
        if not self.state.network:
            self.state.network = network.choose(network.taken(sandbox.routes(options.tools)))
        self.state.tools = str(options.tools.path)
        return network.network(self.state.network, self.home)

    def _node(self, options: NodeOptions, addresses: network.Network) -> Node:
        return Node(
            home=self.home,
            network=addresses,
            control_plane=self.control_plane,
            binaries={name: self._binaries[name].path for name in node.BINARIES},
            versions={name: self._binaries[name].version for name in node.BINARIES},
            tools=options.tools,
            flags=options.flags,
            settings=options.kubelet,
            images=options.images,
            outside=options.outside,
        )

    def _of_node(self) -> list[Part]:
        """The parts of the node, if there is one: its namespaces are there."""
        return self.node.parts(sandbox.inner(self.child(sandbox.INIT))) if self.node else []

    def _begin_node(self, wanted: Node, report: Report) -> None:
        """Make the node's namespaces, unless they are there."""
        wanted.prepare()
        box = Sandbox(self.home, wanted.network, wanted.tools)
        known = self.state.parts.get(sandbox.INIT)
        if known and self.state.steps.get(sandbox.INIT) != known.birth:
            processes.stop(
                [known.child], _SERVER_GRACE_SECONDS
            )  # whoever started it was killed before it was prepared
        self.converge([box.part()], report)
        child = self.child(sandbox.INIT)
        if self.state.steps.get(sandbox.INIT) != child.birth:
            box.prepare(child)
            self.state.steps[sandbox.INIT] = child.birth
            self.save()
        if self._options and self._options.outside:
            sandbox.let_out()

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
    if sandbox.INIT in recorded.parts:
        # The whole node goes with it, at once: all that its pods could still say is removed here.
        processes.stop([recorded.parts[sandbox.INIT].child], _SERVER_GRACE_SECONDS)
    # Whoever uses the servers ends before them, and can say good-bye to them.
    processes.stop([child for child in alive if child not in servers], _GRACE_SECONDS)
    processes.stop(servers, _SERVER_GRACE_SECONDS)
    count = len(alive) + processes.sweep(str(home))
    if recorded.network:
        sandbox.clear(home, Root(Path(recorded.tools)))
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
