"""A Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager; no nodes, no root.

Written by hand rather than with a cluster tool: three processes and their certificates are all that a
GooseJob in Process mode needs, each can be killed and started again on its own, and nothing more has to be
built.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from goosejobs_local.parts import Part
from goosejobs_local.pki import Pki
from goosejobs_local.state import write_whole

PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager")
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")

# Only the controllers that something here needs: owner references, namespace deletion, the default service
# account of each namespace and ClusterRoles that are put together from others.
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
)
_SERVICE_RANGE = "10.0.0.0/24"
_CLIENTS = {"admin": "system:masters", "kube-controller-manager": "system:masters"}


@dataclass(frozen=True)
class ControlPlane:
    """Where one control plane lives and how its parts are started.

    Attributes:
        home: Its data directory.
        ports: A port for each name in PORTS.
        binaries: A path for each name in BINARIES.
        versions: What each binary is, to show.
        audit: Whether the API server writes every request that changes something to `audit_log`.
    """

    home: Path
    ports: Mapping[str, int]
    binaries: Mapping[str, Path]
    versions: Mapping[str, str]
    audit: bool = False

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
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def pki(self) -> Pki:
        """Its certificates and keys."""
        return Pki(self.home / "pki")

    def prepare(self) -> None:
        """Write certificates, kubeconfigs and the audit policy."""
        if not self.pki.authority.exists():  # it is written last
            # Late, because it is slow to load, and a second `up` has no need of it.
            from goosejobs_local import certificates  # noqa: PLC0415

            certificates.create(self.pki, _CLIENTS)
        for user in _CLIENTS:
            path = self.kubeconfig if user == "admin" else self.home / f"{user}.kubeconfig"
            write_whole(path, yaml.safe_dump(self._kubeconfig(user), sort_keys=False))
        write_whole(self._audit_policy, json.dumps(_AUDIT_POLICY))

    def parts(self) -> list[Part]:
        """The processes, in the order in which they depend on each other."""
        return [self._etcd(), self._apiserver(), self._controller_manager()]

    @property
    def _audit_policy(self) -> Path:
        return self.home / "audit-policy.json"

    def _kubeconfig(self, user: str) -> dict[str, object]:
        pair = self.pki.pair(user)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "goosejobs",
                    "cluster": {"server": self.server, "certificate-authority": str(self.pki.authority)},
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
        server, admin, accounts = pki.pair("server"), pki.pair("admin"), pki.pair("service-accounts")
        argv = {
            "bind-address": "127.0.0.1",
            # No node has to reach it. The address is given because without a default route kube-apiserver
            # finds none, and no endpoint is published because loopback would be refused as one.
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
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
            "service-cluster-ip-range": _SERVICE_RANGE,
            "authorization-mode": "RBAC",
            "profiling": "false",
        }
        if self.audit:
            argv |= {"audit-policy-file": self._audit_policy, "audit-log-path": self.audit_log}
        return Part(
            name="kube-apiserver",
            argv=_argv(self.binaries["kube-apiserver"], argv),
            # It is ready before it has made the namespace that people use first.
            probes=(f"{self.server}/readyz", f"{self.server}/api/v1/namespaces/default"),
            version=self.versions["kube-apiserver"],
            address=self.server,
        )

    def _controller_manager(self) -> Part:
        port, pki = self.ports["kube-controller-manager"], self.pki
        server = pki.pair("server")
        argv = {
            "kubeconfig": self.home / "kube-controller-manager.kubeconfig",
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "controllers": ",".join(_CONTROLLERS),
            "leader-elect": "false",
            "root-ca-file": pki.authority,
            "service-account-private-key-file": pki.pair("service-accounts").key,
            "profiling": "false",
        }
        return Part(
            name="kube-controller-manager",
            argv=_argv(self.binaries["kube-controller-manager"], argv),
            probes=(f"https://127.0.0.1:{port}/healthz",),
            after=("kube-apiserver",),
            version=self.versions["kube-controller-manager"],
            address=f"127.0.0.1:{port}",
        )


def _argv(binary: Path, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(binary), *(f"--{name}={value}" for name, value in flags.items()))


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
