"""Pods that tests run on the node: such as a restricted namespace lets in, and running them to their end."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

Kubectl = Callable[..., CompletedProcess[str]]
RESTRICTED: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *command: str, **container: Any) -> dict[str, Any]:
    """A pod with one container.

    Args:
        name: The pod's; also its label `app`.
        image: One that the node has.
        command: What it runs.
        container: More fields of the container.
    """
    main = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": RESTRICTED,
        **container,
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


def apply(kubectl: Kubectl, namespace: str, *objects: dict[str, Any]) -> None:
    """Create objects in a namespace, or change them."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("-n", namespace, "apply", "-f", "-", input=text)


def wait(kubectl: Kubectl, namespace: str, name: str, condition: str) -> None:
    """Wait for a pod: `condition` as in `kubectl wait --for`."""
    done = kubectl("-n", namespace, "wait", f"pod/{name}", f"--for={condition}", "--timeout=60s", check=False)
    if done.returncode:
        raise AssertionError(done.stderr + kubectl("-n", namespace, "describe", "pod", name).stdout)


def run(kubectl: Kubectl, namespace: str, manifest: dict[str, Any]) -> str:
    """Let a pod run to its good end; returns its log."""
    name = manifest["metadata"]["name"]
    apply(kubectl, namespace, manifest)
    wait(kubectl, namespace, name, "jsonpath={.status.phase}=Succeeded")
    return kubectl("-n", namespace, "logs", name).stdout
