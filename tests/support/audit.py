"""What the API server's audit log tells of the changes that were asked for."""

import json
from pathlib import Path

from support.objects import Object


def events(audit_log: Path, naming: str = "") -> list[Object]:
    """All requests, or those in which a name stands; the last ones come a moment after their answers."""
    lines = audit_log.read_text().split("\n")[:-1]  # the last one may not be written to its end yet
    return [json.loads(line) for line in lines if naming in line]


def requests(audit_log: Path, namespace: str, resource: str) -> list[Object]:
    """All about objects of a kind in a namespace."""
    refs = [(event.get("objectRef") or {}, event) for event in events(audit_log, namespace)]
    return [
        event for ref, event in refs if (ref.get("namespace"), ref.get("resource")) == (namespace, resource)
    ]
