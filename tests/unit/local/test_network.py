"""A node's addresses: free ones, one block for all, and none of this machine's."""

import json
from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs_local import network
from goosejobs_local.network import Network

HOME = Path("/data")
ONE = network.network("10.101.128.0/22", HOME)


def test_services_pods_and_the_cable_share_one_block_and_do_not_overlap() -> None:
    nets = [ONE.link, ONE.services, ONE.pods]
    assert all(net.subnet_of(ONE.block) for net in nets)
    assert not any(a.overlaps(b) for a in nets for b in nets if a is not b)


def test_this_machine_is_the_cables_first_address_and_the_node_its_second() -> None:
    assert (ONE.host, ONE.node, ONE.kubernetes) == ("10.101.128.1", "10.101.128.2", "10.101.129.1")


def test_there_is_room_for_more_pods_than_a_node_takes() -> None:
    assert ONE.pods.num_addresses > 300


def test_the_cables_name_is_one_that_the_kernel_takes_and_another_for_each_data_directory() -> None:
    assert len(ONE.device) <= 15
    assert ONE.device != Network(ONE.block, network.device_of(Path("/other"))).device


@settings(deadline=None)  # it is about what comes out
@given(st.lists(st.integers(0, 1023).map(lambda n: IPv4Network((0x0A400000 + n * 4096, 20))), max_size=50))
def test_a_chosen_block_overlaps_with_no_network_in_use(used: list[IPv4Network]) -> None:
    chosen = IPv4Network(network.choose(used))
    assert chosen.subnet_of(IPv4Network("10.64.0.0/10"))
    assert not any(chosen.overlaps(net) for net in used)


def test_where_every_block_is_in_use_it_says_so() -> None:
    with pytest.raises(network.NoneFree, match="ip route"):
        network.choose([IPv4Network("10.0.0.0/8")])


def test_routes_are_networks_in_use_but_for_the_default_and_odd_ones() -> None:
    routes = [
        {"dst": "default", "gateway": "192.0.2.1"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "10.88.0.1", "type": "local"},
        {"type": "unreachable"},
    ]
    assert network.taken(json.dumps(routes)) == [ip_network("192.0.2.0/24"), ip_network("10.88.0.1/32")]
    assert network.taken("") == []


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        (["nameserver 192.0.2.53\nnameserver 192.0.2.54\n"], ["192.0.2.53", "192.0.2.54"]),
        (["# stub\nnameserver 127.0.0.53\noptions edns0\n", "nameserver 192.0.2.53\n"], ["192.0.2.53"]),
        (["nameserver fd00::1\nnameserver 192.0.2.53\n"], ["192.0.2.53"]),
        (["nameserver\nsearch example.com\n"], []),
        ([], []),
    ],
)
def test_pods_ask_the_name_servers_of_this_machine_that_are_not_on_its_loopback(
    files: list[str], usable: list[str]
) -> None:
    assert network.nameservers(files) == usable
