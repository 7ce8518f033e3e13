"""The namespaces that a node lives in: network, mounts and processes of its own.

All hangs on one process, the node's init. When it ends, however that happens, the kernel ends every process
in there, containers included, unmounts what they mounted, and takes down their networks and the cable. So
nothing of a node is left on the machine but files below the data directory and cgroups, and `down` removes
those.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from goosejobs_local.debian import Root
from goosejobs_local.network import Network, device_of, tag
from goosejobs_local.parts import Part
from goosejobs_local.processes import Child

INIT = "node"
HOME = Path("/run/goosejobs")
"""Where the data directory is seen in there: a short path, because sockets allow no long ones."""

# Directories that the parts write to whatever they are told; the node has its own.
_OWN = {"log": "/var/log", "varlib": "/var/lib"}
# The kubelet would set these for the whole machine; it finds them set.
_SEEN = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
_SECONDS = 10.0
_CGROUPS = Path("/sys/fs/cgroup")


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
            "unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc",
            "--propagation", "private", "--", "catatonit", "-P",
        )  # fmt: skip
        return Part(
            name=INIT,
            argv=(str(self.tools.which(argv[0]) or argv[0]), *argv[1:]),
            env=self.tools.environment(os.environ),
            address=self.network.node,
        )

    def prepare(self, init: Child) -> int:
        """Lay the cable and mount what the parts expect; once for each init.

        Returns:
            The process id of the init's inner process, for `enter`.

        Raises:
            SandboxFailed: A command failed.
        """
        for folder in cgroups(self.home):
            folder.mkdir(exist_ok=True)
        pid = inner(init)
        self._run(["ip", "link", "delete", self.network.device], check=False)  # an earlier init's
        for command in self.network.cable(pid):
            self._run(command)
        for command in self.network.inside():
            self._run([*enter(pid), *command])
        for command in self.network.routes():
            self._run(command)
        for command in self._mounts():
            self._run([*enter(pid), *command])
        self._run([*enter(pid), "tee", "/proc/sys/net/ipv4/ip_forward"], text="1")
        return pid

    def _mounts(self) -> list[list[str]]:
        folder = self.home / "node"
        for name in _OWN:
            (folder / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, value in _SEEN.items():
            file = folder / "sysctl" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
        return [
            ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
            ["mkdir", str(HOME), "/run/lock"],
            ["mount", "--bind", str(self.home), str(HOME)],
            *(["mount", "--bind", str(HOME / "node" / name), place] for name, place in _OWN.items()),
            *(
                ["mount", "--bind", str(HOME / "node" / "sysctl" / name), f"/proc/sys/{name}"]
                for name in _SEEN
            ),
            # So that what one part mounts is seen by all others in here, as the kubelet expects.
            ["mount", "--make-rshared", "/"],
        ]

    def _run(self, command: Sequence[str], text: str = "", *, check: bool = True) -> None:
        env: Mapping[str, str] = {**os.environ, **self.tools.environment(os.environ)}
        done = subprocess.run(command, env=env, input=text, capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise SandboxFailed(f"`{' '.join(command)}`: {done.stderr.strip() or done.returncode}")


def cgroups(home: Path) -> list[Path]:
    """The cgroup of a data directory's containers in each hierarchy of this machine."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    hierarchies = [_CGROUPS] if unified else [path.parent for path in _CGROUPS.glob("*/cgroup.procs")]
    return [hierarchy / cgroup_name(home) for hierarchy in hierarchies]


def cgroup_name(home: Path) -> str:
    """The name of a data directory's cgroups."""
    return f"goosejobs-{tag(home)}"


def clear(home: Path) -> None:
    """Remove what the kernel leaves when an init has ended: empty cgroups; and the cable, if it is late."""
    device = device_of(home)
    if (Path("/sys/class/net") / device).exists():
        # Usually the kernel was quicker: then there is nothing to delete.
        subprocess.run(["/usr/bin/env", "ip", "link", "delete", device], capture_output=True, check=False)
    for folder in cgroups(home):
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()


def refused() -> str:
    """Why this machine lets nobody make namespaces for a node; empty if it does."""
    argv = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "true"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"a node needs `unshare`: {error.strerror}"
    return done.stderr.strip() if done.returncode else ""


def routes() -> str:
    """This machine's routes, as `network.taken` reads them."""
    argv = ["ip", "-json", "-4", "route", "show", "table", "all"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def load_image(argv: Sequence[str], archive: Path, tools: Root) -> None:
    """Give an image to a command that reads one.

    Raises:
        SandboxFailed: It failed.
    """
    env = {**os.environ, **tools.environment(os.environ)}
    with archive.open("rb") as file:
        done = subprocess.run(argv, env=env, stdin=file, capture_output=True, text=False, check=False)
    if done.returncode:
        raise SandboxFailed(f"{archive} cannot be imported: {done.stderr.decode(errors='replace').strip()}")


def inner(init: Child) -> int:
    """The process id of the init's inner process.

    Raises:
        SandboxFailed: There is none.
    """
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            for child in psutil.Process(init.pid).children():
                # Before that it is still unshare itself, and has not mounted its /proc.
                if child.name() == "catatonit":
                    return child.pid
        except psutil.NoSuchProcess:
            break
        time.sleep(0.01)
    raise SandboxFailed("the node's init does not run")


def enter(pid: int) -> list[str]:
    """The command line that runs a program in there; it ends when the process that we see ends."""
    return [
        "nsenter", "--target", str(pid), "--net", "--mount", "--pid", "--ipc", "--",
        "setpriv", "--pdeathsig", "KILL", "--",
    ]  # fmt: skip
