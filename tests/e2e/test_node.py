"""The node is a real one: pods run, talk to each other by name, are watched and refused as in any cluster."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from support.rig import Rig

Kubectl = Callable[..., CompletedProcess[str]]
RESTRICTED: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *command: str, **container: Any) -> str:
    """A pod that a restricted namespace lets in."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "main",
                        "image": image,
                        "imagePullPolicy": "Never",
                        "command": list(command),
                        "securityContext": RESTRICTED,
                        **container,
                    }
                ],
            },
        }
    )


def run(kubectl: Kubectl, namespace: str, manifest: str) -> str:
    """Let a pod run to its end; returns its log."""
    name = json.loads(manifest)["metadata"]["name"]
    kubectl("-n", namespace, "apply", "-f", "-", input=manifest)
    kubectl(
        "-n", namespace, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"
    )
    return kubectl("-n", namespace, "logs", name).stdout


def test_a_pod_runs_to_its_end_and_its_log_can_be_read(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    assert run(kubectl, namespace, pod("hello", goose_image, "echo", "hello")) == "hello\n"


def test_the_name_of_the_api_server_resolves_and_answers_in_a_pod(
    kubectl: Kubectl, namespace: str, goose_image: str, node: Rig
) -> None:
    script = "getent hosts kubernetes.default && exec 3<>/dev/tcp/kubernetes.default/443 && echo open"
    log = run(kubectl, namespace, pod("dns", goose_image, "bash", "-c", script))
    assert node.platform.network
    assert node.platform.network.kubernetes in log
    assert log.endswith("open\n")


def test_the_stub_model_and_temporal_answer_in_a_pod(
    kubectl: Kubectl, namespace: str, goose_image: str, node: Rig
) -> None:
    model = node.model_address.removeprefix("http://").replace(":", "/")
    temporal = node.temporal_address.replace(":", "/")
    script = f"exec 3<>/dev/tcp/{model} && exec 4<>/dev/tcp/{temporal} && echo open"
    assert run(kubectl, namespace, pod("reach", goose_image, "bash", "-c", script)) == "open\n"
