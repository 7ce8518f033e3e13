"""A Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager; on loopback, if it has no node.

Written by hand rather than with a cluster tool: three processes and their certificates are all that a
GooseJob in Process mode needs, each can be killed and started again on its own, and nothing more has to be
built.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from goosejobs_local.network import Network
from goosejobs_local.parts import Part
from goosejobs_local.pki import Pki
from goosejobs_local.state import write_whole

PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager")
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")

_LOOPBACK = "127.0.0.1"
# Only the controllers that something needs where there is no node: owner references, namespace deletion, the
# default service account of each namespace and ClusterRoles that are put together from others.
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
)
_SERVICE_RANGE = "10.0.0.0/24"
_CLIENTS: Mapping[str, str | None] = {
    "admin": "system:masters",
    "kube-controller-manager": "system:masters",
    "service-accounts": None,
}
_MANAGER = "kube-controller-manager"
_SERVER_WITH_NODE = "server-with-node"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class ControlPlane:
    """Where one control plane lives and how its parts are started.

    Attributes:
        home: Its data directory.
        ports: A port for each name in PORTS.
        binaries: A path for each name in BINARIES.
        versions: What each binary is, to show.
        audit: Whether the API server writes every request that changes something to `audit_log`.
        network: The addresses of its node, if it has one; the API server then serves at this machine's end.
        clients: Users of the node's parts: common name to organisation.
        flags: More flags of kube-apiserver and kube-controller-manager.
    """

    home: Path
    ports: Mapping[str, int]
    binaries: Mapping[str, Path]
    versions: Mapping[str, str]
    audit: bool = False
    network: Network | None = None
    clients: Mapping[str, str | None] = field(default_factory=dict)
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; the certificates are inside it."""
        return self.home / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line, if `audit` is on."""
        return self.home / "audit.log"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.ports['kube-apiserver']}"

    @property
    def address(self) -> str:
        """Where the API server serves: loopback, or this machine as its node's pods see it."""
        return self.network.host if self.network else _LOOPBACK

    @property
    def pki(self) -> Pki:
        """Its certificates and keys."""
        return Pki(self.home / "pki")

    def prepare(self) -> None:
        """Write certificates, kubeconfigs and the audit policy."""
        clients = {**_CLIENTS, **self.clients}
        servers: dict[str, tuple[str, ...]] = {"server": (*_NAMES, _LOOPBACK)}
        if self.network:
            serves = (*_NAMES, "kubernetes.default.svc.cluster.local", self.address, self.network.kubernetes)
            servers |= {_SERVER_WITH_NODE: serves, "node": (self.network.node,)}
        if not all(self.pki.pair(name).certificate.exists() for name in ("ca", *clients, *servers)):
            # Late, because it is slow to load, and a second `up` has no need of it.
            from goosejobs_local import certificates  # noqa: PLC0415

            certificates.create(self.pki, clients, servers)
        write_whole(self.kubeconfig, self.kubeconfig_of("admin"))
        write_whole(self.home / f"{_MANAGER}.kubeconfig", self.kubeconfig_of(_MANAGER))
        write_whole(self._audit_policy, json.dumps(_AUDIT_POLICY))

    def parts(self) -> list[Part]:
        """The processes, in the order in which they depend on each other."""
        return [self._etcd(), self._apiserver(), self._controller_manager()]

    @property
    def _audit_policy(self) -> Path:
        return self.home / "audit-policy.json"

    def kubeconfig_of(self, user: str, directory: Path | None = None) -> str:
        """A kubeconfig.

        Args:
            user: A common name of a client.
            directory: Where its reader finds the certificates, if that is not where they are written.
        """
        pki = Pki(directory) if directory else self.pki
        pair = pki.pair(user)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "goosejobs",
                    "cluster": {"server": self.server, "certificate-authority": str(pki.authority)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate": str(pair.certificate), "client-key": str(pair.key)},
                }
            ],
            "contexts": [{"name": "goosejobs", "context": {"cluster": "goosejobs", "user": user}}],
            "current-context": "goosejobs",
        }
        return yaml.safe_dump(content, sort_keys=False)

    def _etcd(self) -> Part:
        port = self.ports["etcd"]
        peer = f"https://127.0.0.1:{self.ports['etcd-peer']}"
        server, authority = self.pki.pair("server"), str(self.pki.authority)
        argv = {
            "name": "goosejobs",
            "data-dir": self.home / "etcd",
            "listen-client-urls": f"https://127.0.0.1:{port}",
            "advertise-client-urls": f"https://127.0.0.1:{port}",
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"goosejobs={peer}",
            # Without client certificates any user of this machine could read the cluster's Secrets here.
            "client-cert-auth": "true",
            "trusted-ca-file": authority,
            "cert-file": server.certificate,
            "key-file": server.key,
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": authority,
            "peer-cert-file": server.certificate,
            "peer-key-file": server.key,
            # A crash of the machine may lose the last writes; a crash of etcd does not.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        return Part(
            name="etcd",
            argv=_argv(self.binaries["etcd"], argv),
            probes=(f"https://127.0.0.1:{port}/health",),
            version=self.versions["etcd"],
            address=f"127.0.0.1:{port}",
        )

    def _apiserver(self) -> Part:
        port, pki = self.ports["kube-apiserver"], self.pki
        admin, accounts = pki.pair("admin"), pki.pair("service-accounts")
        server = pki.pair(_SERVER_WITH_NODE if self.network else "server")
        argv = {
            "bind-address": self.address,
            "advertise-address": self.address,
            "secure-port": port,
            "etcd-servers": f"https://127.0.0.1:{self.ports['etcd']}",
            "etcd-cafile": pki.authority,
            "etcd-certfile": admin.certificate,
            "etcd-keyfile": admin.key,
            "client-ca-file": pki.authority,
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": accounts.key,
            "service-account-signing-key-file": accounts.key,
            "profiling": "false",
            # That a pod may not be privileged is for Pod Security to say, as in any cluster.
            "allow-privileged": "true",
            **self._for_node(),
        }
        if self.audit:
            argv |= {"audit-policy-file": self._audit_policy, "audit-log-path": self.audit_log}
        argv |= self.flags.get("kube-apiserver", {})
        return Part(
            name="kube-apiserver",
            argv=_argv(self.binaries["kube-apiserver"], argv),
            # It is ready before it has made the namespace that people use first.
            probes=(f"{self.server}/readyz", f"{self.server}/api/v1/namespaces/default"),
            version=self.versions["kube-apiserver"],
            address=self.server,
        )

    def _for_node(self) -> dict[str, object]:
        """The API server's flags that depend on whether there is a node."""
        if self.network is None:
            return {
                # No node has to reach it. The address is given because without a default route kube-apiserver
                # finds none, and no endpoint is published because loopback would be refused as one.
                "endpoint-reconciler-type": "none",
                "service-cluster-ip-range": _SERVICE_RANGE,
                "authorization-mode": "RBAC",
            }
        admin = self.pki.pair("admin")
        return {
            "service-cluster-ip-range": self.network.services,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "kubelet-certificate-authority": self.pki.authority,
            "kubelet-client-certificate": admin.certificate,
            "kubelet-client-key": admin.key,
            "kubelet-preferred-address-types": "InternalIP",
        }

    def _controller_manager(self) -> Part:
        port, pki = self.ports["kube-controller-manager"], self.pki
        server = pki.pair("server")
        argv = {
            "kubeconfig": self.home / f"{_MANAGER}.kubeconfig",
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "controllers": "*" if self.network else ",".join(_CONTROLLERS),
            "leader-elect": "false",
            "root-ca-file": pki.authority,
            "service-account-private-key-file": pki.pair("service-accounts").key,
            "profiling": "false",
            **self.flags.get("kube-controller-manager", {}),
        }
        return Part(
            name="kube-controller-manager",
            argv=_argv(self.binaries["kube-controller-manager"], argv),
            probes=(f"https://127.0.0.1:{port}/healthz",),
            after=("kube-apiserver",),
            version=self.versions["kube-controller-manager"],
            address=f"127.0.0.1:{port}",
        )


def flags_of(flags: Mapping[str, object]) -> tuple[str, ...]:
    """Flags as Kubernetes' programs take them."""
    return tuple(f"--{name}={value}" for name, value in flags.items())


def _argv(binary: Path, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(binary), *flags_of(flags))


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
        },
        {"level": "None"},
    ],
}
