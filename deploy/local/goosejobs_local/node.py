"""A real node: containerd, kubelet, kube-proxy, CoreDNS, and the scheduler that fills it. Root on Linux only.

The settings that differ from a usual node's are there because the node is a guest: it may be on a machine
with cgroup v1, may be in a container itself, and must leave the machine's own limits alone.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from goosejobs_local import images, nodeconfig, sandbox
from goosejobs_local.controlplane import ControlPlane, flags_of
from goosejobs_local.debian import Root, packages
from goosejobs_local.network import Network, nameservers
from goosejobs_local.parts import Part
from goosejobs_local.progress import Report
from goosejobs_local.sandbox import HOME
from goosejobs_local.state import write_whole

NAME = "goosejobs"
"""The node's name in Kubernetes."""

BINARIES = ("kubelet", "kube-proxy", "kube-scheduler", "coredns")
GOOSE_IMAGE_STEP = "goose-image"
PAUSE_IMAGE = "localhost/goosejobs/pause:1"
_SCHEDULER = "system:kube-scheduler"
NODE_USER = f"system:node:{NAME}"
CLIENTS = {
    NODE_USER: "system:nodes",
    "system:kube-proxy": "",
    _SCHEDULER: "",
    "coredns": "system:masters",
}
"""Common name to organisation, as Kubernetes' own roles expect them."""

# Program, and the Debian package that has it.
_TOOLS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "catatonit": "catatonit",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
_PLUGINS = ("ptp", "host-local", "loopback")
_PLUGIN_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_UMASK = 0o022
"""Users of containers are others to whoever makes their files."""
_PAUSE_FILE = "pause.tar"
_FOLDER = HOME / "node"
_RESOLV_CONF = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def tools(report: Report) -> Root:
    """Where all programs are that a node needs besides BINARIES: on PATH, and from Debian's packages.

    Raises:
        NotDebian: Some are missing and cannot be had.
    """
    here = packages([])
    missing = {package for program, package in _TOOLS.items() if here.which(program) is None}
    if _plugins(here) is None:
        missing.add("containernetworking-plugins")
    return packages(sorted(missing), report)


@dataclass(frozen=True)
class Node:
    """One node and how its parts are started.

    Attributes:
        home: The platform's data directory.
        network: Its addresses.
        control_plane: Whose node it is.
        binaries: A path for each name in BINARIES.
        versions: What each binary is, to show.
        tools: See `tools`.
        flags: More flags of kubelet, kube-proxy and kube-scheduler.
        settings: More fields of the kubelet's configuration file.
        outside: Whether pods reach more than this machine.
        images: Archives of images that it has from the start, by the names of the steps that import them.
    """

    home: Path
    network: Network
    control_plane: ControlPlane
    binaries: Mapping[str, Path]
    versions: Mapping[str, str]
    tools: Root
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    outside: bool = False

    @property
    def folder(self) -> Path:
        """All its files."""
        return self.home / "node"

    def prepare(self) -> None:
        """Write configurations and kubeconfigs."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "cni").mkdir(exist_ok=True)
        for user in CLIENTS:
            text = self.control_plane.kubeconfig_of(user, HOME / "pki")
            write_whole(self.folder / f"{_file(user)}.kubeconfig", text)
        for name, text in self._configurations.items():
            write_whole(self.folder / name, text)
        self._write_pause()

    def _write_pause(self) -> None:
        """Our own init is statically linked, and can wait for ever: it is the pause image, too."""
        target = self.folder / _PAUSE_FILE
        program = self.tools.which("catatonit")
        if target.exists() or program is None:
            return
        tar = self.folder / "pause-layer.tar"
        images.layer([images.Entry(program.resolve(), "/pause")], tar)
        images.archive(PAUSE_IMAGE, [tar], {"Entrypoint": ["/pause", "-P"]}, target)
        tar.unlink()

    def parts(self, init: int) -> list[Part]:
        """The processes, and the steps that make the node one on which pods run.

        Args:
            init: See `sandbox.Sandbox.prepare`.
        """
        inside = tuple(sandbox.enter(init))
        return [
            self._containerd(inside),
            self._kubelet(inside),
            self._proxy(inside),
            self._coredns(inside),
            self._scheduler(inside),
            self._import(init, "pause-image", _FOLDER / _PAUSE_FILE),
            *(self._import(init, name, archive) for name, archive in self.images.items()),
            self._ready(init),
        ]

    def ctr(self, init: int, *arguments: str) -> list[str]:
        """A command line of containerd's client; see `parts`."""
        return [
            *sandbox.enter(init),
            "ctr",
            f"--address={nodeconfig.SOCKET}",
            "--namespace=k8s.io",
            *arguments,
        ]

    def _containerd(self, inside: tuple[str, ...]) -> Part:
        return Part(
            name="containerd",
            argv=(*inside, "containerd", "--config", str(_FOLDER / "containerd.toml")),
            env=self.tools.environment(os.environ),
            probes=(f"http://{self.network.node}:{nodeconfig.CONTAINERD_METRICS}/v1/metrics",),
            umask=_UMASK,
            stamp=self._configurations["containerd.toml"],
            address=self.network.node,
        )

    def _kubelet(self, inside: tuple[str, ...]) -> Part:
        flags = {
            "config": _FOLDER / "kubelet.yaml",
            "kubeconfig": _FOLDER / f"{_file(NODE_USER)}.kubeconfig",
            "hostname-override": NAME,
            "node-ip": self.network.node,
            "root-dir": _FOLDER / "kubelet",
            "cert-dir": _FOLDER / "kubelet-pki",
            **self.flags.get("kubelet", {}),
        }
        return Part(
            name="kubelet",
            argv=(*inside, str(self.binaries["kubelet"]), *flags_of(flags)),
            env=self.tools.environment(os.environ),
            probes=(f"https://{self.network.node}:10250/healthz", self._api(f"/api/v1/nodes/{NAME}")),
            after=("containerd", "kube-apiserver"),
            umask=_UMASK,
            stamp=self._configurations["kubelet.yaml"],
            version=self.versions["kubelet"],
            address=f"{self.network.node}:10250",
        )

    def _proxy(self, inside: tuple[str, ...]) -> Part:
        flags = {"config": _FOLDER / "kube-proxy.yaml", **self.flags.get("kube-proxy", {})}
        return Part(
            name="kube-proxy",
            argv=(*inside, str(self.binaries["kube-proxy"]), *flags_of(flags)),
            env=self.tools.environment(os.environ),
            probes=(f"http://{self.network.node}:{nodeconfig.PROXY_HEALTH}/livez",),
            after=("kube-apiserver",),
            stamp=self._configurations["kube-proxy.yaml"],
            version=self.versions["kube-proxy"],
            address=self.network.node,
        )

    def _coredns(self, inside: tuple[str, ...]) -> Part:
        return Part(
            name="coredns",
            argv=(*inside, str(self.binaries["coredns"]), "-conf", str(_FOLDER / "Corefile")),
            probes=(f"http://{self.network.node}:{nodeconfig.DNS_READY}/ready",),
            after=("kube-apiserver",),
            stamp=self._configurations["Corefile"],
            version=self.versions["coredns"],
            address=f"{self.network.node}:53",
        )

    def _scheduler(self, inside: tuple[str, ...]) -> Part:
        kubeconfig, pki = _FOLDER / f"{_file(_SCHEDULER)}.kubeconfig", HOME / "pki"
        flags = {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": self.network.node,
            "tls-cert-file": pki / "node.crt",
            "tls-private-key-file": pki / "node.key",
            "leader-elect": "false",
            "profiling": "false",
            **self.flags.get("kube-scheduler", {}),
        }
        return Part(
            name="kube-scheduler",
            argv=(*inside, str(self.binaries["kube-scheduler"]), *flags_of(flags)),
            probes=(f"https://{self.network.node}:{nodeconfig.SCHEDULER}/healthz",),
            after=("kube-apiserver",),
            version=self.versions["kube-scheduler"],
            address=f"{self.network.node}:{nodeconfig.SCHEDULER}",
        )

    @cached_property
    def _configurations(self) -> dict[str, str]:
        """The parts' configuration files, by their names in `folder`."""
        address, seen = self.network, _FOLDER
        files = [path.read_text() for path in _RESOLV_CONF if path.exists()] if self.outside else []
        above = nameservers(files)
        kubelet = nodeconfig.kubelet(address, seen, sandbox.cgroup_name(self.home))
        return {
            "containerd.toml": nodeconfig.containerd(address, seen, _plugins(self.tools), PAUSE_IMAGE),
            "kubelet.yaml": yaml.safe_dump({**kubelet, **self.settings}),
            "kube-proxy.yaml": yaml.safe_dump(nodeconfig.kube_proxy(address, seen, NAME)),
            "Corefile": nodeconfig.corefile(address, seen, above),
            "cni/10-goosejobs.conflist": json.dumps(nodeconfig.cni(address, seen), indent=1),
        }

    def _import(self, init: int, name: str, archive: Path) -> Part:
        """A step: the node has an image; `archive` is its path as it is seen in there."""
        argv = self.ctr(init, "images", "import", str(archive))
        env = self.tools.environment(os.environ)
        return Part(name=name, argv=tuple(argv), env=env, once=True, after=("containerd",))

    def _ready(self, init: int) -> Part:
        """A step: Kubernetes has seen that the node is ready."""
        argv = (
            str(self.control_plane.binaries["kubectl"]), f"--kubeconfig={self.control_plane.kubeconfig}",
            "wait", f"node/{NAME}", "--for=condition=Ready", "--timeout=120s",
        )  # fmt: skip
        after = ("kubelet", "kube-proxy", "coredns", "kube-scheduler", "pause-image")
        return Part(name="node-ready", argv=argv, once=True, after=after, stamp=str(init))

    def _api(self, path: str) -> str:
        return f"{self.control_plane.server}{path}"


def _plugins(root: Root) -> Path | None:
    """The directory of the CNI plugins, if they are there."""
    folders = [Path(folder) for folder in _PLUGIN_FOLDERS]
    for folder in [*folders, *(root.path / str(folder).lstrip("/") for folder in folders)]:
        if all((folder / name).exists() for name in _PLUGINS):
            return folder
    return None


def _file(user: str) -> str:
    return user.replace(":", ".")
