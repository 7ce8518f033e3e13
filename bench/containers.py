"""When each container of a node was started, as containerd itself tells it."""

import json
import os
import subprocess
import threading
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.ground import Ground
from bench.rows import NotMeasured
from goosejobs_local import node, sandbox

_STARTED = "/tasks/start"
_END_SECONDS = 10.0


class ContainerWatch:
    """Notes the start of every container while it is used as a context.

    A pod's status has whole seconds only; containerd's events have all digits of the clock.

    Args:
        ground: With a node, which is up.

    Attributes:
        started: Unix times, by the containers' ids.
    """

    def __init__(self, ground: Ground) -> None:
        self.started: dict[str, float] = {}
        self._log: Path = ground.home / "logs" / "containers.log"
        self._argv, self._env = _events(ground)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._argv, env=self._env, stdout=subprocess.PIPE, stderr=log)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(_END_SECONDS)
        self._thread.join(_END_SECONDS)

    def at(self, container: str) -> float:
        """When a container was started.

        Args:
            container: As a pod's status names it: `containerd://<id>`.

        Raises:
            NotMeasured: That was not seen.
        """
        id_ = container.rpartition("/")[2]
        if id_ not in self.started:
            raise NotMeasured(f"containerd did not tell the start of {id_}: {self._log.read_text()}")
        return self.started[id_]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if (event := start_of(line.decode())) is not None:
                container, at = event
                self.started[container] = at


def start_of(line: str) -> tuple[str, float] | None:
    """A container's id and when it was started, from a line of `ctr events`; None if it tells another event.

    Such a line is `2026-11-21 11:40:00.123456789 +0000 UTC k8s.io /tasks/start {"container_id":"...",...}`.
    """
    fields = line.split(maxsplit=6)
    if len(fields) < 7 or fields[5] != _STARTED:
        return None
    day, clock, zone = fields[:3]
    whole, _, digits = clock.partition(".")
    at = datetime.fromisoformat(f"{day}T{whole}{zone[:3]}:{zone[3:]}").timestamp()
    return str(json.loads(fields[6])["container_id"]), at + float(f"0.{digits or 0}")


def _events(ground: Ground) -> tuple[list[str], dict[str, str]]:
    there: node.Node | None = ground.platform.node
    if there is None:
        raise NotMeasured("there is no node")
    init = sandbox.inner(ground.platform.child(sandbox.INIT))
    return there.ctr(init, "events"), {**os.environ, **there.tools.environment(os.environ)}
