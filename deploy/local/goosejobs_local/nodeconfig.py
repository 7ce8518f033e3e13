"""What a node's programs read: their configuration files."""

from collections.abc import Sequence
from pathlib import Path

from goosejobs_local.network import Network

SOCKET = "/run/containerd/containerd.sock"
"""Where containerd serves, inside the node's namespaces."""

DOMAIN = "cluster.local"
CONTAINERD_METRICS, DNS_READY, PROXY_HEALTH, PROXY_METRICS, SCHEDULER = 1338, 8181, 10256, 10249, 10259


def containerd(network: Network, folder: Path, plugins: Path | None, pause: str) -> str:
    """Containerd's configuration.

    Args:
        network: The node's addresses.
        folder: The node's files, as its parts see them; so in all functions here.
        plugins: The directory of the CNI plugins.
        pause: The image that holds a pod's namespaces.
    """
    return _CONTAINERD.format(
        folder=folder,
        socket=SOCKET,
        metrics=f"{network.node}:{CONTAINERD_METRICS}",
        pause=pause,
        plugins=plugins or "/opt/cni/bin",
    )


def kubelet(network: Network, folder: Path, cgroup: str) -> dict[str, object]:
    """The kubelet's configuration; `cgroup` is the name of the cgroup that all pods are in."""
    pki = folder.parent / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "node.crt"),
        "tlsPrivateKeyFile": str(pki / "node.key"),
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [network.node],
        "clusterDomain": DOMAIN,
        # Pods have no use for this machine's: its name server may be on its loopback.
        "resolvConf": "",
        "volumePluginDir": str(folder / "volume-plugins"),
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        # Nothing is reserved, and nothing taken from the machine's own processes.
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Images are imported by hand: what is collected as garbage cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "maxPods": 250,
        "registryPullQPS": 0,
    }


def kube_proxy(network: Network, folder: Path, name: str) -> dict[str, object]:
    """kube-proxy's configuration; `name` is the node's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(folder / "system.kube-proxy.kubeconfig")},
        "mode": "nftables",
        "clusterCIDR": str(network.pods),
        "hostnameOverride": name,
        "bindAddress": network.node,
        "healthzBindAddress": f"{network.node}:{PROXY_HEALTH}",
        "metricsBindAddress": f"{network.node}:{PROXY_METRICS}",
        # The machine's own limit stays as it is.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def corefile(network: Network, folder: Path, above: Sequence[str]) -> str:
    """CoreDNS's configuration; `above` are the name servers that know all other names, if pods reach any."""
    return _COREFILE.format(
        node=network.node,
        ready=f"{network.node}:{DNS_READY}",
        domain=DOMAIN,
        kubeconfig=folder / "coredns.kubeconfig",
        # Without an answer a pod would ask again and again, for seconds.
        others=f"forward . {' '.join(above)}" if above else _NOBODY_KNOWS,
    )


def cni(network: Network, folder: Path) -> dict[str, object]:
    """How a pod gets its network: a cable of its own.

    Not a bridge: behind a bridge, pods reach each other's services only with the machine's br_netfilter.
    """
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": str(network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "addresses"),
    }
    return {"cniVersion": "0.4.0", "name": "goosejobs", "plugins": [{"type": "ptp", "ipam": addresses}]}


def firewall(name: str, network: Network) -> str:
    """This machine's rules for the cable, as `nft` reads them: a table of our own that replaces an older one.

    Only this machine and the node's pods reach what serves them; nobody reaches pods through this machine;
    and pods reach the outside in this machine's name, if this machine forwards at all.

    Args:
        name: The table's.
        network: The node's addresses.
    """
    return _FIREWALL.format(name=name, device=network.device, host=network.host, block=network.block)


_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
# It would make a directory on the machine.
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{socket}"

[metrics]
address = "{metrics}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Where a node may not lower the score of the kernel's OOM killer, runc would die of trying.
restrict_oom_score_adj = true
# Its profile would be loaded into the machine's kernel, and stay there.
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
"""

_COREFILE = """\
{domain}:53 in-addr.arpa:53 {{
    bind {node}
    errors
    ready {ready}
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    cache 5
}}

.:53 {{
    bind {node}
    errors
    {others}
    cache 5
}}
"""
_NOBODY_KNOWS = """\
template ANY ANY {
        rcode NXDOMAIN
    }"""

_FIREWALL = """\
table ip {name}
delete table ip {name}
table ip {name} {{
    chain input {{
        type filter hook input priority filter; policy accept;
        ip daddr {host} iifname != {{ "lo", "{device}" }} drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname "{device}" ct state established,related accept
        oifname "{device}" drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {block} oifname != "{device}" masquerade
    }}
}}
"""
