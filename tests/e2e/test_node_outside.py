"""A node and what is outside of its machine: a network of the test's own plays that, at a cable to it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from goosejobs_local import network, platform, processes, sandbox
from goosejobs_local.debian import Root
from support import rig as rigs
from support.pods import apply, pod, run, wait, wait_for_account
from support.rig import Rig

SERVE = """
import socket, sys
server = socket.create_server((sys.argv[1], 8080))
print("serving", flush=True)
while True:
    client, peer = server.accept()
    client.sendall(peer[0].encode() + b"\\n")
    client.close()
"""
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
except OSError:
    print("closed")
else:
    print("open")
"""
LISTEN = """
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5) or die;
while (my $client = $server->accept) { close $client }
"""
READY = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}


@dataclass(frozen=True)
class Outside:
    """Another machine, as it seems.

    Attributes:
        here: This machine's address on the cable to it.
        address: Its own.
        enter: The command line that runs a program there.
    """

    here: str
    address: str
    enter: tuple[str, ...]

    def reaches(self, address: str, port: int) -> bool:
        argv = [*self.enter, sys.executable, "-c", REACH, address, str(port)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "open\n"


@pytest.fixture
def outside() -> Iterator[Outside]:
    """A machine that serves at port 8080: it tells everybody the address they come from."""
    if reason := rigs.no_own_node():
        pytest.skip(reason)
    tools = rigs.node_options().tools
    with namespace(tools) as pid:
        link = IPv4Network(network.choose(network.taken(sandbox.routes(tools))))
        here, there = str(link[1]), str(link[2])
        enter = ("nsenter", "--target", str(pid), "--net")
        cable = f"ip link add out-{pid} type veth peer name eth0 netns {pid}"
        own = f"ip address add {here}/30 dev out-{pid}"
        up = f"ip link set out-{pid} up"
        for command in (cable, own, up):
            call(command.split(), tools)
        for command in (f"ip address add {there}/30 dev eth0", "ip link set eth0 up", "ip link set lo up",
                        f"ip route add default via {here}"):  # fmt: skip
            call([*enter, *command.split()], tools)
        argv = [*enter, sys.executable, "-c", SERVE, there]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                assert server.stdout.readline() == "serving\n"
                yield Outside(here, there, enter)
            finally:
                server.kill()


@contextmanager
def namespace(tools: Root) -> Iterator[int]:
    """A network of its own; the process id of one who is in it."""
    argv = ["unshare", "--net", str(tools.which("catatonit")), "-P"]
    with subprocess.Popen(argv) as holder:
        try:
            own = Path("/proc/self/ns/net").readlink()
            while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
                assert holder.poll() is None
            yield holder.pid
        finally:
            holder.kill()


def call(argv: list[str], tools: Root) -> None:
    subprocess.run(argv, env={**os.environ, **tools.environment(os.environ)}, check=True)


def begin(home: Path, *, outside: bool) -> Rig:
    rig = Rig(home, rigs.node_options(outside=outside))
    rig.up()
    wait_for_account(rig.kubectl, "default")
    return rig


def test_pods_reach_the_outside_in_this_machines_name_until_down_if_they_are_to(outside: Outside) -> None:
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    with rigs.fresh_home() as home:
        rig = begin(home, outside=True)
        script = f"exec 3<>/dev/tcp/{outside.address}/8080; cat <&3"
        assert run(rig.kubectl, "default", pod("out", rig.goose_image(), "bash", "-c", script)) == (
            f"{outside.here}\n"
        )
        with platform.lock(home):
            platform.down(home)
    others = any(Path("/sys/class/net").glob("gj-*"))
    assert others or Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_nobody_outside_reaches_the_api_server_or_a_pod(outside: Outside) -> None:
    with rigs.fresh_home() as home:
        rig = begin(home, outside=True)
        apply(
            rig.kubectl, "default", pod("in", rig.goose_image(), "perl", "-e", LISTEN, readinessProbe=READY)
        )
        wait(rig.kubectl, "default", "in", "condition=Ready")
        address = rig.kubectl("get", "pod", "in", "-o", "jsonpath={.status.podIP}").stdout
        assert rig.platform.network
        host, port = rig.platform.network.host, rig.platform.port("kube-apiserver")
        for target, number in ((host, port), (address, 8080)):
            with socket.create_connection((target, number), timeout=90):
                pass
            assert not outside.reaches(target, number)
        # It is our rules that keep them out, and nothing that the test got wrong.
        call(["nft", "delete", "table", "ip", sandbox.table(home)], rigs.node_options().tools)
        for target, number in ((host, port), (address, 8080)):
            assert processes.wait_until(partial(outside.reaches, target, number), 90)
