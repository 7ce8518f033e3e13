"""What the API server's audit log tells of the changes that were asked for."""

import json
from pathlib import Path

from support.objects import Object


def requests(audit_log: Path, namespace: str, resource: str) -> list[Object]:
    """All about objects of a kind in a namespace; the last ones are written a moment after their answers."""
    lines = audit_log.read_text().split("\n")[:-1]  # the last one may not be written to its end yet
    found: list[Object] = [json.loads(line) for line in lines if namespace in line]
    refs = [(event.get("objectRef") or {}, event) for event in found]
    return [
        event for ref, event in refs if (ref.get("namespace"), ref.get("resource")) == (namespace, resource)
    ]
