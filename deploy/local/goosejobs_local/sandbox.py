"""The namespaces that a node lives in: network, mounts and processes of its own.

All hangs on one process, the node's init. When it ends, however that happens, the kernel ends every process
in there, containers included, unmounts what they mounted, and takes down their networks and the cable. What
is left of a node is files below the data directory, empty cgroups and this machine's rules for the cable;
`down` removes those.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from goosejobs_local import nodeconfig
from goosejobs_local.debian import Root
from goosejobs_local.network import Network, device_of, tag
from goosejobs_local.parts import Part
from goosejobs_local.processes import Child, wait_until

INIT = "node"
HOME = Path("/run/goosejobs")
"""Where the data directory is seen in there: a short path, because sockets allow no long ones."""

_NAMESPACES = ("--net", "--mount", "--pid", "--ipc")
# The kubelet would set these for the whole machine; in there it finds them set.
_SEEN = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")
_DEVICES = Path("/sys/class/net")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARDED = Path("/run/goosejobs-ip-forward")
"""That we let this machine forward packets, which it did not before."""
_SECONDS = 10.0


class SandboxFailed(Exception):
    """The node's namespaces cannot be made; str() says which command failed and how."""


@dataclass(frozen=True)
class Sandbox:
    """One node's namespaces.

    Attributes:
        home: The platform's data directory.
        network: The node's addresses.
        tools: Where programs are that this machine lacks.
    """

    home: Path
    network: Network
    tools: Root

    def part(self) -> Part:
        """The init; a process outside, and one inside that everything hangs on."""
        argv = (
            "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
            "--", "catatonit", "-P",
        )  # fmt: skip
        return Part(
            name=INIT,
            argv=(str(self.tools.which(argv[0]) or argv[0]), *argv[1:]),
            env=self.tools.environment(os.environ),
            address=self.network.node,
        )

    def prepare(self, init: Child) -> None:
        """Lay the cable and mount what the parts expect; once for each init.

        Raises:
            SandboxFailed: A command failed.
        """
        _make_cgroups(self.home)
        pid = inner(init)
        _wait_for_cable_to_go(self.network.device)  # an earlier init's
        for command in self.network.cable(pid):
            _run(command, self.tools)
        for command in (*self.network.inside(), *self._mounts()):
            _run([*enter(pid), *command], self.tools)
        for command in self.network.routes():
            _run(command, self.tools)
        _run([*enter(pid), "tee", str(_FORWARDING)], self.tools, "1")
        _run(["nft", "-f", "-"], self.tools, nodeconfig.firewall(table(self.home), self.network))

    def _mounts(self) -> list[list[str]]:
        folder = self.home / "node"
        (folder / "log").mkdir(mode=0o755, parents=True, exist_ok=True)
        seen = {name: value for name, value in _SEEN.items() if Path("/proc/sys", name).exists()}
        for name, value in seen.items():
            file = folder / "sysctl" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
        upper, work = "/run/var-lib/upper", "/run/var-lib/work"
        return [
            ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
            ["mkdir", "-p", str(HOME), upper, work],
            ["mount", "--bind", str(self.home), str(HOME)],
            # The parts write to these, whatever they are told.
            ["mount", "--bind", str(HOME / "node" / "log"), "/var/log"],
            ["mount", "-t", "overlay", "overlay", "/var/lib", "-o",
             f"lowerdir=/var/lib,upperdir={upper},workdir={work}"],
            *(["mount", "--bind", str(HOME / "node/sysctl" / name), f"/proc/sys/{name}"] for name in seen),
            # So that what one part mounts is seen by all others in here, as the kubelet expects.
            ["mount", "--make-rshared", "/"],
        ]  # fmt: skip


def enter(pid: int) -> list[str]:
    """The command line that runs a program in there; it ends when the process that we see ends.

    Args:
        pid: See `inner`.
    """
    return [
        "nsenter", "--target", str(pid), *_NAMESPACES, "--", "setpriv", "--pdeathsig", "KILL", "--",
    ]  # fmt: skip


def inner(init: Child) -> int:
    """The process id of the init's inner process.

    Raises:
        SandboxFailed: There is none.
    """
    deadline = time.monotonic() + _SECONDS
    while init.alive and time.monotonic() < deadline:
        for child in psutil.Process(init.pid).children():
            # Before that it is still unshare itself, and has not mounted its /proc.
            if child.name() == "catatonit":
                return child.pid
        time.sleep(0.01)
    raise SandboxFailed("the node's init does not run: start it (goosejobs up --node)")


def feed(argv: Sequence[str], file: Path, tools: Root) -> None:
    """Run a command with a file as its input.

    Raises:
        SandboxFailed: It failed.
    """
    env = {**os.environ, **tools.environment(os.environ)}
    with file.open("rb") as stream:
        done = subprocess.run(argv, env=env, stdin=stream, capture_output=True, check=False)
    if done.returncode:
        raise SandboxFailed(f"`{' '.join(argv)}` < {file}: {done.stderr.decode(errors='replace').strip()}")


def routes(tools: Root) -> str:
    """This machine's routes, as `network.taken` reads them."""
    return _run(["ip", "-json", "-4", "route", "show", "table", "all"], tools)


def let_out() -> None:
    """Let this machine forward packets, so that pods reach the outside; `clear` takes it back."""
    if _FORWARDING.read_text().strip() == "0":
        _FORWARDED.touch()
        _FORWARDING.write_text("1")


def clear(home: Path, tools: Root) -> None:
    """Remove what the kernel leaves when an init has ended.

    Args:
        home: Whose node it was.
        tools: With which it was made.
    """
    _wait_for_cable_to_go(device_of(home))
    with contextlib.suppress(SandboxFailed):  # there is none, if `prepare` did not come that far
        _run(["nft", "delete", "table", "ip", table(home)], tools)
    # A process that was killed a moment ago may still be in one.
    wait_until(lambda: _cgroups_are_gone(home), _SECONDS)
    if _FORWARDED.exists() and not any(_DEVICES.glob("gj-*")):
        _FORWARDING.write_text("0")
        _FORWARDED.unlink()


def cgroups(home: Path) -> list[Path]:
    """The cgroup of a data directory's containers in each hierarchy of this machine."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    hierarchies = [_CGROUPS] if unified else [path.parent for path in _CGROUPS.glob("*/cgroup.procs")]
    return [hierarchy / cgroup_name(home) for hierarchy in hierarchies]


def cgroup_name(home: Path) -> str:
    """The name of a data directory's cgroups."""
    return f"goosejobs-{tag(home)}"


def refused() -> str:
    """Why this machine lets us make no namespaces for a node; empty if it does."""
    if os.geteuid() != 0:
        return "a node needs root: it makes network devices, mounts and cgroups"
    argv = ["unshare", *_NAMESPACES, "--fork", "true"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"a node needs Linux and `unshare`: {error.strerror}"
    return f"a node needs namespaces of its own: {done.stderr.strip()}" if done.returncode else ""


def _make_cgroups(home: Path) -> None:
    """The kubelet does not make the cgroup at its root."""
    control = _CGROUPS / "cgroup.subtree_control"
    if control.exists():
        offered = (_CGROUPS / "cgroup.controllers").read_text().split()
        for name in set(_CONTROLLERS) & set(offered) - set(control.read_text().split()):
            control.write_text(f"+{name}")
    for folder in cgroups(home):
        folder.mkdir(exist_ok=True)


def _cgroups_are_gone(home: Path) -> bool:
    """Remove those that are empty; says whether that were all."""
    for folder in cgroups(home):
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
    return not any(folder.exists() for folder in cgroups(home))


def _wait_for_cable_to_go(device: str) -> None:
    """The kernel takes it down with its other end, in its own time."""
    if not wait_until(lambda: not (_DEVICES / device).exists(), _SECONDS):
        raise SandboxFailed(f"the network device {device} of an earlier node is still there")


def table(home: Path) -> str:
    """The name of a data directory's nftables table."""
    return f"goosejobs_{tag(home)}"


def _run(command: Sequence[str], tools: Root, text: str = "") -> str:
    env = {**os.environ, **tools.environment(os.environ)}
    done = subprocess.run(command, env=env, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxFailed(f"`{' '.join(command)}`: {done.stderr.strip() or f'code {done.returncode}'}")
    return done.stdout
