"""What the API server wrote down: each request that changed something."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from goosejobs.model import names


@dataclass(frozen=True)
class Change:
    """A request to change something.

    Attributes:
        verb: create, update, patch, delete.
        resource: Its kind's plural, with the subresource: `goosejobs/status`.
        namespace: Of the object.
        name: Of the object.
        agent: The client's program, as it calls itself.
        accepted: Whether it was done.
    """

    verb: str
    resource: str
    namespace: str
    name: str
    agent: str
    accepted: bool

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
        """What has come since the last `skip`."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return [_change(json.loads(line)) for line in file]


def _change(event: dict[str, object]) -> Change:
    about = event.get("objectRef")
    told: dict[str, str] = about if isinstance(about, dict) else {}
    status = event.get("responseStatus")
    code = status.get("code", 0) if isinstance(status, dict) else 0
    resource = "/".join(filter(None, (told.get("resource"), told.get("subresource"))))
    agent = str(event.get("userAgent", "")).split("/")[0]
    namespace, name = told.get("namespace", ""), told.get("name", "")
    return Change(str(event["verb"]), resource, namespace, name, agent, 200 <= int(code) < 300)


def by_resource(changes: list[Change]) -> str:
    """How many of each resource were accepted, and how many refused, as one line."""
    counts = Counter(
        f"{change.verb} {change.resource}{'' if change.accepted else ' (refused)'}" for change in changes
    )
    return ", ".join(f"{number} {what}" for what, number in counts.most_common()) or "none at all"
