"""Manifests as they stand in the repository: built, and taken apart."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]


def documents(text: str) -> list[Object]:
    """The objects of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def kustomizations() -> list[Path]:
    """The folders that `kubectl kustomize` builds: not those that are components of others."""
    found = [
        path.parent
        for folder in ("deploy", "examples")
        for path in (ROOT / folder).rglob("kustomization.yaml")
        if yaml.safe_load(path.read_text())["kind"] == "Kustomization"
    ]
    return sorted(found)


def pod_templates(objects: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """What pods are made of: the workload's kind and name, and the template."""
    for each in objects:
        if each["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]


def environment(template: Object, objects: Iterable[Object], namespace: str) -> dict[str, str]:
    """The variables that the first container of a pod gets, as far as they are no secrets."""
    maps = {
        each["metadata"]["name"]: each["data"]
        for each in objects
        if each["kind"] == "ConfigMap" and each["metadata"].get("namespace") == namespace
    }
    container = template["spec"]["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    return found | {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects what has these labels."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _fits(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _fits(expression: Object, labels: Mapping[str, str]) -> bool:
    assert expression["operator"] == "In", expression
    return labels.get(expression["key"]) in expression["values"]
