"""Temporal's server as in production: with TLS, and on a database. The development server has neither."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from goosejobs_local import certificates, converge
from goosejobs_local.converge import Ground
from goosejobs_local.parts import Part
from goosejobs_local.pki import Pki
from goosejobs_local.resolve import Resolver
from goosejobs_local.state import State
from support import rig as rigs
from support import waiting
from support.rig import Handle
from support.tokens import Tokens

NAMESPACE = "default"
SERVER_NAME = "temporal.test"
"""What the server's certificate is for; its address is not in it."""
_SERVICES = ("frontend", "matching", "history", "worker")
_SERVER = "temporal-server"
_RETENTION = timedelta(days=1)
_READY_SECONDS = 240.0


def sqlite(file: Path) -> dict[str, Any]:
    """A store that needs no other process, its tables made by the server itself."""
    attributes = {"cache": "private", "setup": True, "journal_mode": "wal", "synchronous": 2}
    return {
        "pluginName": "sqlite",
        "databaseName": str(file),
        "connectAddr": "localhost",
        "connectProtocol": "tcp",
        "connectAttributes": attributes,
        "maxConns": 1,
        "maxIdleConns": 1,
    }


@dataclass(frozen=True)
class Tls:
    """Certificates, by our own code.

    Attributes:
        pki: Where they lie: `temporal` is the server's, `goosejobs` that of operator and worker.
        mutual: The server asks clients for theirs.
    """

    pki: Pki
    mutual: bool = True

    @classmethod
    def make(cls, directory: Path, *, mutual: bool = True) -> "Tls":
        """Make them, by an authority of their own."""
        pki = Pki(directory)
        certificates.create(pki, {"goosejobs": None}, {"temporal": (SERVER_NAME,)})
        return cls(pki, mutual)

    @property
    def server(self) -> dict[str, Any]:
        """The server's `global.tls`. Its own system worker is a client like any other."""
        authority = str(self.pki.authority)
        own, client = self.pki.pair("temporal"), {"serverName": SERVER_NAME, "rootCaFiles": [authority]}
        files = {"certFile": str(own.certificate), "keyFile": str(own.key)}
        asks = {"requireClientAuth": True, "clientCaFiles": [authority]} if self.mutual else {}
        return {
            "frontend": {"server": {**files, **asks}, "client": client},
            "systemWorker": {**files, "client": client},
        }

    @property
    def environment(self) -> dict[str, str]:
        """What operator and worker are told."""
        own = self.pki.pair("goosejobs")
        shown = {
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(own.certificate),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(own.key),
        }
        return {
            "TEMPORAL_TLS": "true",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.pki.authority),
            "TEMPORAL_TLS_SERVER_NAME": SERVER_NAME,
            **(shown if self.mutual else {}),
        }

    @property
    def client(self) -> TLSConfig:
        """The same for a test's own client."""
        own = self.pki.pair("goosejobs")
        return TLSConfig(
            domain=SERVER_NAME,
            server_root_ca_cert=self.pki.authority.read_bytes(),
            client_cert=own.certificate.read_bytes() if self.mutual else None,
            client_private_key=own.key.read_bytes() if self.mutual else None,
        )


class TemporalServer:
    """One process with all of Temporal's services, on loopback.

    Args:
        home: The data directory of the platform that it belongs to: what runs in it ends with it.
        store: `sql` of a datastore, for everything.
        tls: Without it, it serves in the clear.
        tokens: With it, it serves only who has one.

    Attributes:
        tls: As given; another one takes effect at the next start.
    """

    def __init__(
        self, home: Path, store: Mapping[str, Any], tls: Tls | None = None, tokens: Tokens | None = None
    ) -> None:
        self._home, self._store, self.tls, self._tokens = home, dict(store), tls, tokens
        # Its own worker has no token: it calls a frontend of its own, which asks for none.
        self._services = (*_SERVICES, *(["internal-frontend"] if tokens else []))
        self._state = State()
        self._state.ensure_ports([*self._services, *(f"{name}-membership" for name in self._services)])
        self._handle: Handle | None = None

    @property
    def address(self) -> str:
        """host:port of its frontend."""
        return f"127.0.0.1:{self._state.ports['frontend']}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads operator and worker to it."""
        tls = self.tls.environment if self.tls else {"TEMPORAL_TLS": "false"}
        return {"TEMPORAL_ADDRESS": self.address, "TEMPORAL_NAMESPACE": NAMESPACE, **tls}

    @property
    def handle(self) -> Handle:
        """The process."""
        assert self._handle is not None, "it was not started"
        return self._handle

    async def start(self) -> Handle:
        """Start it, again if it was killed, and wait until it serves our namespace."""
        folder = self._home / _SERVER
        (folder / "config").mkdir(parents=True, exist_ok=True)
        file = folder / "config" / "test.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(self._configuration()))
        binary = Resolver().resolve([_SERVER])[_SERVER].path
        where = ("--root", str(folder), "--config", "config", "--env", "test")
        argv = (str(binary), *where, "start", *(f"--service={name}" for name in self._services))
        ground = Ground(self._home, State(), save=lambda: None)
        child = converge.start(Part(name=_SERVER, argv=argv), ground)
        self._handle = Handle(_SERVER, child, self.address, ground.log(_SERVER))
        rigs.live.append(self._handle)
        serves: Callable[[], bool | Awaitable[bool]] = self._serves
        await waiting.eventually(serves, timeout=_READY_SECONDS, message=f"{_SERVER} is not well")
        return self._handle

    async def connect(self) -> Client:
        """A client that may do everything."""
        return await Client.connect(
            self.address,
            namespace=NAMESPACE,
            data_converter=pydantic_data_converter,
            tls=self.tls.client if self.tls else False,
            api_key=self._tokens.sign("temporal-system:admin") if self._tokens else None,
        )

    async def _serves(self) -> bool:
        assert self.handle.alive, self.handle.log[-4000:]
        try:
            client = await self.connect()
            await self._register(client)
            request = DescribeNamespaceRequest(namespace=NAMESPACE)
            await client.workflow_service.describe_namespace(request, timeout=timedelta(seconds=5))
            await anext(client.list_workflows(rpc_timeout=timedelta(seconds=5)), None)
        except (RPCError, RuntimeError):
            return False
        return True

    async def _register(self, client: Client) -> None:
        request = RegisterNamespaceRequest(namespace=NAMESPACE)
        request.workflow_execution_retention_period.CopyFrom(
            Duration(seconds=int(_RETENTION.total_seconds()))
        )
        try:
            await client.workflow_service.register_namespace(request, timeout=timedelta(seconds=10))
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise

    def _configuration(self) -> dict[str, Any]:
        ports = self._state.ports
        cluster = {
            "enabled": True,
            "initialFailoverVersion": 1,
            "rpcName": "frontend",
            "rpcAddress": self.address,
        }
        return {
            "log": {"stdout": True, "level": "warn"},
            "persistence": {
                "defaultStore": "all",
                "visibilityStore": "visibility",
                "numHistoryShards": 4,
                "datastores": {"all": {"sql": self._store}, "visibility": {"sql": self._visibility}},
            },
            "global": {
                "membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"},
                "tls": self.tls.server if self.tls else {},
                "authorization": self._tokens.server if self._tokens else {},
            },
            "services": {
                name: {
                    "rpc": {
                        "grpcPort": ports[name],
                        "membershipPort": ports[f"{name}-membership"],
                        "bindOnLocalHost": True,
                    }
                }
                for name in self._services
            },
            "clusterMetadata": {
                "enableGlobalNamespace": False,
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {"active": cluster},
            },
            **({} if self._tokens else {"publicClient": {"hostPort": self.address}}),
        }

    @property
    def _visibility(self) -> dict[str, Any]:
        """The same database server; where there are databases, one of its own as Temporal advises."""
        if self._store["pluginName"] == "sqlite":
            return self._store
        return {**self._store, "databaseName": f"{self._store['databaseName']}_visibility"}
