"""The private addresses of a node, and the commands that lay its cable to this machine.

A node has a network of its own; one cable leads to it. This machine's end of the cable is where pods find the
API server, Temporal and the stub model. Nothing else of this machine's network is touched.
"""

import hashlib
import ipaddress
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_POOL = ipaddress.IPv4Network("10.64.0.0/10")
_BLOCK = 22
INNER = "eth0"


class NoneFree(Exception):
    """There are no addresses left for a node; str() says so."""


@dataclass(frozen=True)
class Network:
    """The addresses of one node: a /22 for the cable, the services and the pods.

    Attributes:
        block: All of it.
        device: This machine's end of the cable.
    """

    block: IPv4Network
    device: str

    @property
    def link(self) -> IPv4Network:
        """The cable: two addresses are in use."""
        return next(self.block.subnets(new_prefix=24))

    @property
    def host(self) -> str:
        """This machine's address, as pods see it."""
        return str(self.link[1])

    @property
    def node(self) -> str:
        """The node's address."""
        return str(self.link[2])

    @property
    def services(self) -> IPv4Network:
        """Where services get their addresses."""
        return list(self.block.subnets(new_prefix=24))[1]

    @property
    def kubernetes(self) -> str:
        """The address of the service `kubernetes`: always the first."""
        return str(self.services[1])

    @property
    def pods(self) -> IPv4Network:
        """Where pods get their addresses."""
        return list(self.block.subnets(new_prefix=23))[1]

    def cable(self, pid: int) -> list[list[str]]:
        """Commands for this machine: lay the cable to the network of a process."""
        return [
            ["ip", "link", "add", self.device, "type", "veth", "peer", "name", INNER, "netns", str(pid)],
            ["ip", "address", "add", f"{self.host}/{self.link.prefixlen}", "dev", self.device],
            ["ip", "link", "set", self.device, "up"],
        ]

    def routes(self) -> list[list[str]]:
        """Commands for this machine, once the other end is up: services and pods are that way."""
        return [["ip", "route", "add", str(net), "via", self.node] for net in (self.services, self.pods)]

    def inside(self) -> list[list[str]]:
        """Commands for the node's own network."""
        return [
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{self.node}/{self.link.prefixlen}", "dev", INNER],
            ["ip", "link", "set", INNER, "up"],
            ["ip", "route", "add", "default", "via", self.host],
        ]


def tag(home: Path) -> str:
    """A short name for what a data directory has on this machine."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:8]


def network(block: str, home: Path) -> Network:
    """The network of a data directory's node, in a block that was chosen for it."""
    return Network(ipaddress.IPv4Network(block), device_of(home))


def device_of(home: Path) -> str:
    """This machine's end of the cable to a data directory's node."""
    return f"gj-{tag(home)}"


def choose(used: Iterable[IPv4Network]) -> str:
    """A block that overlaps with nothing that this machine knows the way to.

    Raises:
        NoneFree: There is none.
    """
    known = list(used)
    blocks = list(_POOL.subnets(new_prefix=_BLOCK))
    random.shuffle(blocks)
    for block in blocks:
        if not any(block.overlaps(other) for other in known):
            return str(block)
    raise NoneFree(f"a node needs a free /{_BLOCK} of {_POOL}, and there is none: see `ip route`")


def taken(routes: str) -> list[IPv4Network]:
    """The networks in what `ip -json -4 route show table all` prints, but for the way to everywhere."""
    targets = [str(route.get("dst", "")) for route in json.loads(routes or "[]")]
    return [IPv4Network(target, strict=False) for target in targets if target[:1].isdigit()]


def nameservers(resolv_conf: Sequence[str]) -> list[str]:
    """The name servers in resolv.conf files that a node can ask too: not those on loopback.

    Args:
        resolv_conf: Their texts; the first that has any counts.
    """
    for text in resolv_conf:
        rows = [line.split() for line in text.splitlines()]
        found = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
        usable = [one for one in found if _is_ipv4(one) and not IPv4Address(one).is_loopback]
        if usable:
            return usable
    return []


def _is_ipv4(text: str) -> bool:
    try:
        return bool(IPv4Address(text))
    except ValueError:
        return False
