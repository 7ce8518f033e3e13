"""A second node, so that Kubernetes dares to give up the first one."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from support.objects import Kubectl

_NAME: Final = "spare"
_SECONDS: Final = 1.0
_NODE: Final = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": _NAME},
    "spec": {"unschedulable": True},
}


@contextmanager
def spare_node(kubectl: Kubectl) -> Iterator[None]:
    """Let there be a node that is always well and takes no pods.

    When all nodes are lost, Kubernetes takes itself for the one that is cut off, and ends no pod ("full
    disruption" in its node lifecycle controller).
    """
    over = threading.Event()
    kubectl("apply", "-f", "-", input=json.dumps(_NODE))
    _beat(kubectl)
    beats = threading.Thread(target=_keep_beating, args=(kubectl, over), daemon=True)
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()
        kubectl("delete", "node", _NAME, "--ignore-not-found", check=False)


def _keep_beating(kubectl: Kubectl, over: threading.Event) -> None:
    while not over.wait(_SECONDS):
        _beat(kubectl)


def _beat(kubectl: Kubectl) -> None:
    """Say what a kubelet says of its node."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "a test says so",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    status = json.dumps({"status": {"conditions": [ready]}})
    kubectl("patch", "node", _NAME, "--subresource=status", "--type=merge", "-p", status, check=False)
