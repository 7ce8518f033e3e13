"""What a node's programs are told: to keep to the node's own network, files and cgroup."""

import json
import tomllib
from pathlib import Path

import yaml

from goosejobs_local import network, nodeconfig

NETWORK = network.network("10.101.128.0/22", Path("/data"))
FOLDER = Path("/run/goosejobs/node")


def test_containerd_keeps_its_files_in_the_nodes_folder_and_its_plugins_where_they_are() -> None:
    text = nodeconfig.containerd(NETWORK, FOLDER, Path("/usr/lib/cni"), "localhost/pause:1")
    config = tomllib.loads(text)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert config["root"] == "/run/goosejobs/node/containerd"
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": "/run/goosejobs/node/cni"}
    assert cri["sandbox_image"] == "localhost/pause:1"


def test_containerd_changes_nothing_of_the_machine() -> None:
    config = tomllib.loads(nodeconfig.containerd(NETWORK, FOLDER, None, "localhost/pause:1"))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"]
    assert cri["disable_apparmor"]
    assert config["disabled_plugins"] == ["io.containerd.internal.v1.opt"]


def test_the_kubelet_lets_in_nobody_without_a_certificate_or_token() -> None:
    config = nodeconfig.kubelet(NETWORK, FOLDER, "goosejobs-1")
    assert config["authentication"] == {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/run/goosejobs/pki/ca.crt"},
    }
    assert config["authorization"] == {"mode": "Webhook"}


def test_all_pods_are_in_one_cgroup_and_ask_the_nodes_own_dns() -> None:
    config = nodeconfig.kubelet(NETWORK, FOLDER, "goosejobs-1")
    assert (config["cgroupRoot"], config["clusterDNS"]) == ("/goosejobs-1", [NETWORK.node])


def test_kube_proxy_leaves_the_machines_limits_alone() -> None:
    config = nodeconfig.kube_proxy(NETWORK, FOLDER, "goosejobs")
    assert config["conntrack"] == {"maxPerCore": 0, "min": 0}
    assert config["clusterCIDR"] == str(NETWORK.pods)


def test_dns_passes_on_other_names_only_where_somebody_knows_them() -> None:
    assert "forward . 192.0.2.53 192.0.2.54\n" in nodeconfig.corefile(
        NETWORK, FOLDER, ["192.0.2.53", "192.0.2.54"]
    )
    assert "rcode NXDOMAIN" in nodeconfig.corefile(NETWORK, FOLDER, [])


def test_pods_get_addresses_of_the_nodes_block_and_no_other() -> None:
    [plugin] = json.loads(json.dumps(nodeconfig.cni(NETWORK, FOLDER)))["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": str(NETWORK.pods)}]]


def test_only_this_machine_and_the_node_reach_the_cable_and_nobody_a_pod() -> None:
    rules = nodeconfig.firewall("goosejobs_1", NETWORK)
    assert f'ip daddr {NETWORK.host} iifname != {{ "lo", "{NETWORK.device}" }} drop' in rules
    assert f'oifname "{NETWORK.device}" drop' in rules
    assert f'ip saddr {NETWORK.block} oifname != "{NETWORK.device}" masquerade' in rules


def test_what_the_kubelet_reads_is_yaml() -> None:
    config = nodeconfig.kubelet(NETWORK, FOLDER, "goosejobs-1")
    assert yaml.safe_load(yaml.safe_dump(config)) == config
