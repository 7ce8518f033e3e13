"""Temporal's development server: one process, its data in one SQLite file, on loopback."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goosejobs.model import names
from goosejobs_local.parts import Part

PORTS = ("temporal", "temporal-http", "temporal-ui", "temporal-metrics")
NAMESPACE = "default"


@dataclass(frozen=True)
class Temporal:
    """Where one Temporal server lives and how it is started.

    Attributes:
        home: Its data directory.
        ports: A port for each name in PORTS.
        binary: The Temporal CLI.
        version: What the binary is, to show.
        ui: Whether its web pages are served, too.
        host: Where it serves.
    """

    home: Path
    ports: Mapping[str, int]
    binary: Path
    version: str
    ui: bool = False
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """host:port of its gRPC API."""
        return f"{self.host}:{self.ports['temporal']}"

    @property
    def ui_url(self) -> str:
        """The address of its web pages."""
        return f"http://{self.host}:{self.ports['temporal-ui']}"

    def part(self) -> Part:
        """The process."""
        argv = [
            str(self.binary), "server", "start-dev",
            "--ip", self.host,
            "--port", str(self.ports["temporal"]),
            "--http-port", str(self.ports["temporal-http"]),
            "--metrics-port", str(self.ports["temporal-metrics"]),
            "--db-filename", str(self.home / "temporal.db"),
            "--namespace", NAMESPACE,
            "--search-attribute", f"{names.UID_ATTRIBUTE}=Keyword",
            "--log-level", "warn",
            # Its own limit is 30 scheduled starts a second for each namespace.
            "--dynamic-config-value", "worker.schedulerNamespaceStartWorkflowRPS=300",
        ]  # fmt: skip
        argv += ["--ui-port", str(self.ports["temporal-ui"])] if self.ui else ["--headless"]
        return Part(
            name="temporal",
            argv=tuple(argv),
            # Else it reads the user's, which is about other servers.
            env={"TEMPORAL_CONFIG_FILE": os.devnull},
            # An open port is not enough: for a moment it answers that it is not healthy yet.
            probes=(f"http://{self.host}:{self.ports['temporal-http']}/api/v1/namespaces/{NAMESPACE}",),
            version=self.version,
            address=self.address,
        )
