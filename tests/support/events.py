"""The Events of a GooseJob, as kubectl reads them."""

import json

from support.objects import Kubectl, Object


def events(kubectl: Kubectl, namespace: str, name: str) -> list[Object]:
    """All of them."""
    about = f"involvedObject.kind=GooseJob,involvedObject.name={name}"
    listed = kubectl("get", "events", "-n", namespace, "--field-selector", about, "-o", "json").stdout
    found: list[Object] = json.loads(listed)["items"]
    return found


def told(kubectl: Kubectl, namespace: str, name: str) -> dict[str, Object]:
    """One of each reason, by reason."""
    return {each["reason"]: each for each in events(kubectl, namespace, name)}
