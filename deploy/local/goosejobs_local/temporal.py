"""Temporal's development server: one process, its data in one SQLite file, on loopback."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goosejobs.model import names
from goosejobs_local.parts import PROBE_HOST, Part

PORTS = ("temporal", "temporal-http", "temporal-ui", "temporal-metrics")
NAMESPACE = "default"
_LOOPBACK = "127.0.0.1"
_SCHEDULES_WORKER = json.dumps({"MaxConcurrentWorkflowTaskPollers": 10})
"""Of Temporal's own worker that runs schedules. By default it has two pollers, and when many schedules are
due at one time, both can wait a minute at the queue that is empty."""

_LONGEST_WAIT = "5s"
"""How long a poller waits at an empty queue; by default a minute.

With a minute, 200 schedules due at one time stood still for as long; with this they did not. What fits: what
is not taken in hand within 5 s comes by another queue, where no poller may be before its wait is over.
"""


@dataclass(frozen=True)
class Temporal:
    """Where one Temporal server lives and how it is started.

    Attributes:
        home: Its data directory.
        ports: A port for each name in PORTS.
        binary: The Temporal CLI.
        version: What the binary is, to show.
        ui: Whether its web pages are served, too.
        host: Where it is reached; it serves on loopback alone, and the rest is passed on (see `forwarder`).
        starts: Scheduled runs that it starts in a second, at most; it comes with 30.
    """

    home: Path
    ports: Mapping[str, int]
    binary: Path
    version: str
    ui: bool = False
    host: str = _LOOPBACK
    starts: int = 300

    @property
    def address(self) -> str:
        """host:port of its gRPC API."""
        return f"{self.host}:{self.ports['temporal']}"

    @property
    def ui_url(self) -> str:
        """The address of its web pages."""
        return f"http://{_LOOPBACK}:{self.ports['temporal-ui']}"

    def parts(self) -> list[Part]:
        """The processes."""
        return [self._server(), *([self._door()] if self.host != _LOOPBACK else [])]

    def _door(self) -> Part:
        port = self.ports["temporal"]
        return Part(
            name="temporal-door",
            argv=(
                *(sys.executable, "-m", "goosejobs_local.forwarder"),
                *(self.address, f"{_LOOPBACK}:{port}"),
            ),
            address=self.address,
        )

    def _server(self) -> Part:
        argv = [
            str(self.binary), "server", "start-dev",
            "--ip", _LOOPBACK,
            "--port", str(self.ports["temporal"]),
            "--http-port", str(self.ports["temporal-http"]),
            "--metrics-port", str(self.ports["temporal-metrics"]),
            "--db-filename", str(self.home / "temporal.db"),
            # A crash of the machine may lose the last writes; a crash of Temporal does not.
            "--sqlite-pragma", "journal_mode=wal",
            "--sqlite-pragma", "synchronous=normal",
            "--namespace", NAMESPACE,
            "--search-attribute", f"{names.UID_ATTRIBUTE}=Keyword",
            "--log-level", "warn",
            "--dynamic-config-value", f"worker.perNamespaceWorkerOptions={_SCHEDULES_WORKER}",
            "--dynamic-config-value", f"worker.schedulerNamespaceStartWorkflowRPS={self.starts}",
            "--dynamic-config-value", f"matching.longPollExpirationInterval={json.dumps(_LONGEST_WAIT)}",
            # Any page in a browser on this machine could start runs: it takes such requests for simple ones.
            "--dynamic-config-value", f'frontend.httpAllowedHosts=["{PROBE_HOST}"]',
        ]  # fmt: skip
        argv += ["--ui-port", str(self.ports["temporal-ui"])] if self.ui else ["--headless"]
        return Part(
            name="temporal",
            argv=tuple(argv),
            # Else it reads the user's, which is about other servers.
            env={"TEMPORAL_CONFIG_FILE": os.devnull},
            # An open port is not enough: for a moment it answers that it is not healthy yet.
            probes=(f"http://{_LOOPBACK}:{self.ports['temporal-http']}/api/v1/namespaces/{NAMESPACE}",),
            version=self.version,
            address=self.address,
        )
