"""Pods that tests run on the node: such as a restricted namespace lets in, and running them to their end."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

Kubectl = Callable[..., CompletedProcess[str]]
PATIENCE = "--timeout=180s"
"""Of `kubectl wait` and `kubectl delete`: a machine may be slow, and what comes true costs no wait."""
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
    done = kubectl("-n", namespace, "wait", f"pod/{name}", f"--for={condition}", PATIENCE, check=False)
    if done.returncode:
        raise AssertionError(done.stderr + kubectl("-n", namespace, "describe", "pod", name).stdout)


def wait_for_account(kubectl: Kubectl, namespace: str) -> None:
    """Wait until pods may be made in a new namespace: not before it has its service account."""
    kubectl("-n", namespace, "wait", "serviceaccount/default", "--for=create", PATIENCE)


def run(kubectl: Kubectl, namespace: str, manifest: dict[str, Any]) -> str:
    """Let a pod run to its good end; returns its log."""
    name = manifest["metadata"]["name"]
    apply(kubectl, namespace, manifest)
    wait(kubectl, namespace, name, "jsonpath={.status.phase}=Succeeded")
    return kubectl("-n", namespace, "logs", name).stdout
