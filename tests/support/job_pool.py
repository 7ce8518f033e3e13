"""A pool that runs Kubernetes Jobs: its template, and what its runs leave in Kubernetes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from goosejobs.model import names
from goosejobs.model.execution import WORK_DIR
from support import audit
from support.objects import Kubectl, Object, get, goosejob, recipe

TOOLS = [{"type": "builtin", "name": "developer"}]
"""The extension that gives an agent a shell."""
SWEPT_WITHIN = 300.0
"""Seconds within which a Job goes, or is told when to, also where a worker's sweeps have to see to that."""
_RELEASE = f"{WORK_DIR}/released"


def write_template(path: Path, image: str, model: str, **more: Any) -> Path:
    """A pool template whose gooses ask the stub model at this address."""
    provider = {
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": "stub",
        "OPENAI_HOST": model,
        "OPENAI_API_KEY": "not-a-key",
        "GOOSE_PROVIDER_SKIP_BACKOFF": "true",
    }
    template = {
        "env": [{"name": name, "value": value} for name, value in provider.items()],
        "job": {"image": image, "imagePullPolicy": "IfNotPresent"},
        **more,
    }
    path.write_text(yaml.safe_dump(template))
    return path


def environment(template: Path) -> dict[str, str]:
    """What makes a worker one of such a pool."""
    return {"GOOSEJOBS_MODE": "Job", "GOOSEJOBS_POOL_TEMPLATE": str(template)}


def held(name: str, **spec: Any) -> Object:
    """A GooseJob whose goose is at work until its pod is told by `release`, however slow the test is."""
    prompt = f"stub: shell until test -e {_RELEASE}; do sleep 0.2; done; echo released"
    return goosejob(name, recipe={"inline": recipe(prompt, extensions=TOOLS)}, **spec)


def release(kubectl: Kubectl, namespace: str, pod: Object) -> None:
    """Let the goose of a `held` GooseJob come to its end."""
    kubectl("exec", "-n", namespace, pod["metadata"]["name"], "--", "touch", _RELEASE)


def jobs(kubectl: Kubectl, namespace: str, name: str) -> list[Object]:
    """The Jobs of a GooseJob, by their attempts."""
    return _items(kubectl, namespace, "jobs", name)


def pods(kubectl: Kubectl, namespace: str, name: str) -> list[Object]:
    """The pods of a GooseJob, by their attempts."""
    return _items(kubectl, namespace, "pods", name)


def audited(audit_log: Path, namespace: str, verb: str, resource: str) -> list[str]:
    """When an object of a namespace was created, deleted, ...: the times of the requests that succeeded."""
    return [
        event["stageTimestamp"]
        for event in audit.requests(audit_log, namespace, resource)
        if (event["verb"], event["objectRef"].get("subresource")) == (verb, None)
        and event["responseStatus"]["code"] < 300
    ]


def active_job(kubectl: Kubectl, namespace: str, name: str) -> str | None:
    """`status.active[0].jobName`."""
    active: list[Mapping[str, str]] = get(kubectl, namespace, name)["status"]["active"]
    return active[0].get("jobName")


def _items(kubectl: Kubectl, namespace: str, kind: str, name: str) -> list[Object]:
    selector = f"{names.GOOSEJOB_LABEL}={name}"
    found = json.loads(kubectl("get", "-n", namespace, kind, "-l", selector, "-o", "json").stdout)
    items: list[Object] = found["items"]
    return sorted(items, key=lambda item: int(item["metadata"]["labels"][names.ATTEMPT_LABEL]))
