"""What is written down about a running platform, so that the next command finds it again."""

import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from goosejobs_local.processes import Child

PORTS = range(20_000, 30_000)
"""Below the ports that the kernel gives to outgoing connections, so that a part that is down for a moment
finds its port free when it comes back."""
_chosen: set[int] = set()
"""By this process, for whatever platform: who has one may not have bound it yet, or be down for a moment."""


class Recorded(BaseModel):
    """A process of the platform.

    Attributes:
        pid: Its process id.
        birth: See `processes.Child`.
        digest: Of the command that started it: a part that should be started otherwise now is started again.
        probes: See `parts.Part`.
        version: To show.
        address: To show.
    """

    model_config = ConfigDict(extra="forbid")

    pid: int
    birth: str
    digest: str
    probes: tuple[str, ...]
    version: str
    address: str

    @property
    def child(self) -> Child:
        """The process."""
        return Child(self.pid, self.birth)


class State(BaseModel):
    """The content of state.json.

    Attributes:
        ports: By name; chosen once, kept as long as the data directory has its data.
        parts: By name.
        steps: What was done once, by name, with the digest of the command that did it.
        model: Where answers come from, for people.
        ui: The address of Temporal's web pages, if they are served.
        network: The node's block of addresses, if there is a node.
        tools: Where programs are with which the node was made.
    """

    model_config = ConfigDict(extra="forbid")

    ports: dict[str, int] = {}
    parts: dict[str, Recorded] = {}
    steps: dict[str, str] = {}
    model: str = ""
    ui: str = ""
    network: str = ""
    tools: str = ""

    def ensure_ports(self, names: Iterable[str]) -> None:
        """Choose a port for each name that has none."""
        for name in names:
            if name not in self.ports:
                self.ports[name] = _free_port(taken=set(self.ports.values()))


def load(path: Path) -> State:
    """Read the file; an empty state if there is none, or none that this version can read."""
    try:
        return State.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return State()


def save(state: State, path: Path) -> None:
    """Write the file."""
    write_whole(path, state.model_dump_json(indent=1))


def write_whole(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all: somebody may be reading it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(path)


def _free_port(taken: set[int]) -> int:
    if 2 * len(_chosen) > len(PORTS):
        _chosen.clear()
    while True:
        port = random.choice(PORTS)  # noqa: S311 -- no secret
        if port in taken or port in _chosen:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _chosen.add(port)
        return port
