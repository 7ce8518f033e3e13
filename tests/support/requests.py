"""What people ask of a GooseJob by annotation, as they do it, and the answers in its status."""

from collections.abc import Awaitable, Callable
from typing import Any

from support.objects import Kubectl, Object, get

Eventually = Callable[..., Awaitable[Any]]

RUN = "goosejobs.dev/run-requested"
KILL = "goosejobs.dev/kill-requested"
RESUME = "goosejobs.dev/resume-requested"


def ask(kubectl: Kubectl, namespace: str, name: str, annotation: str, value: str) -> None:
    """kubectl annotate."""
    kubectl("annotate", "-n", namespace, "--overwrite", "goosejob", name, f"{annotation}={value}")


async def answer(
    kubectl: Kubectl, eventually: Eventually, namespace: str, name: str, kind: str, token: str
) -> Object:
    """Wait for the answer to a request."""

    def given() -> Object | None:
        handled: Object = get(kubectl, namespace, name)["status"]["handledRequests"][kind]
        return handled if handled["token"] == token and handled["answer"] != "Noted" else None

    found: Object = await eventually(given)
    return found
