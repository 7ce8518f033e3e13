"""What the API server wrote down: each request that changed something, and reads if it was told to."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from goosejobs.model import names

READS = frozenset({"get", "list"})


@dataclass(frozen=True)
class Change:
    """A request to change something, or to read it.

    Attributes:
        verb: create, update, patch, delete; get, list.
        resource: Its kind's plural, with the subresource: `goosejobs/status`.
        namespace: Of the object.
        name: Of the object.
        agent: The client's program, as it calls itself.
        accepted: Whether it was done.
        at: When it had been done, as Unix time.
        writer: Who asked: the field manager where one is named, else the controller or program.
    """

    verb: str
    resource: str
    namespace: str
    name: str
    agent: str
    accepted: bool
    at: float
    writer: str

    @property
    def what(self) -> str:
        """Verb and resource."""
        return f"{self.verb} {self.resource}"

    @property
    def of_goosejob(self) -> bool:
        """Whether it is about a GooseJob."""
        return self.resource.split("/")[0] == names.PLURAL


@dataclass
class AuditLog:
    """The log from a moment on; its lines are there before the clients have their answers."""

    path: Path
    offset: int = 0

    def skip(self) -> None:
        """Forget what was there until now."""
        self.offset = self.path.stat().st_size

    def read(self) -> list[Change]:
        """What has changed since the last `skip`."""
        return [change for change in self.requests() if change.verb not in READS]

    def requests(self) -> list[Change]:
        """What has come since the last `skip`, what was read, too; only whole lines."""
        return [_change(json.loads(line)) for line in self._lines()]

    def more(self) -> list[Change]:
        """As `requests`, each of them once: it skips what it gives."""
        lines = self._lines()
        self.offset += sum(map(len, lines))
        return [_change(json.loads(line)) for line in lines]

    def _lines(self) -> list[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return [line for line in file if line.endswith(b"\n")]


def _change(event: dict[str, object]) -> Change:
    about = event.get("objectRef")
    told: dict[str, str] = about if isinstance(about, dict) else {}
    status = event.get("responseStatus")
    code = status.get("code", 0) if isinstance(status, dict) else 0
    resource = "/".join(filter(None, (told.get("resource"), told.get("subresource"))))
    agent = str(event.get("userAgent", ""))
    return Change(
        verb=str(event["verb"]),
        resource=resource,
        namespace=told.get("namespace", ""),
        name=told.get("name", ""),
        agent=agent.split("/", maxsplit=1)[0],
        accepted=200 <= int(code) < 300,
        at=datetime.fromisoformat(str(event["stageTimestamp"])).timestamp(),
        writer=_writer(str(event["requestURI"]), agent),
    )


def _writer(uri: str, agent: str) -> str:
    """Who asked for a change.

    A controller of kube-controller-manager calls itself `program/version (system) kubernetes/commit/name`,
    and our own two sides leave it to their library what they are called.
    """
    if manager := parse_qs(urlsplit(uri).query).get("fieldManager"):
        return manager[0]
    program, last = agent.split("/", maxsplit=1)[0], agent.rsplit("/", maxsplit=1)[-1]
    known = {"kube-controller-manager": last, "OpenAPI-Generator": "goosejobs"}
    return known.get(program, program)


def policy(*, reads: bool) -> str:
    """What the API server is to write down: changes, and what is read (but no watch) if that is asked for."""
    changes = ("create", "update", "patch", "delete", "deletecollection")
    wanted = [*changes, *(sorted(READS) if reads else ())]
    rules = [{"level": "Metadata", "verbs": wanted}, {"level": "None"}]
    kind = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
    return json.dumps({**kind, "omitStages": ["RequestReceived"], "rules": rules})


def by_resource(changes: list[Change]) -> str:
    """How many of each resource were accepted, and how many refused, as one line."""
    counts = Counter(f"{change.what}{'' if change.accepted else ' (refused)'}" for change in changes)
    return ", ".join(f"{number} {what}" for what, number in counts.most_common()) or "none at all"
