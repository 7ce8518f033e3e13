"""GooseJobs for tests: made, applied and read back through kubectl, as a user does."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

Kubectl = Callable[..., CompletedProcess[str]]
Eventually = Callable[..., Any]
Object = dict[str, Any]


def recipe(prompt: str, **more: Any) -> Object:
    """An inline recipe that gives the agent no tools, unless told otherwise."""
    return {"version": "1.0.0", "title": "t", "description": "d", "prompt": prompt, "extensions": [], **more}


def goosejob(name: str, prompt: str = "stub: answer hello", **spec: Any) -> Object:
    """A GooseJob with an inline recipe; `runOnce` unless the spec says when."""
    when = {} if {"schedule", "schedules", "scheduleFrom", "runOnce"} & set(spec) else {"runOnce": True}
    return {
        "apiVersion": "goosejobs.dev/v1alpha1",
        "kind": "GooseJob",
        "metadata": {"name": name},
        "spec": {"recipe": {"inline": recipe(prompt)}, **when, **spec},
    }


def apply(kubectl: Kubectl, namespace: str, *objects: Object) -> None:
    """kubectl apply -f -."""
    kubectl("apply", "-n", namespace, "-f", "-", input="\n---\n".join(map(json.dumps, objects)))


def get(kubectl: Kubectl, namespace: str, name: str) -> Object:
    """The GooseJob as it is."""
    found: Object = json.loads(kubectl("get", "-n", namespace, "goosejob", name, "-o", "json").stdout)
    return found


def condition(obj: Object, kind: str) -> Object | None:
    """Its condition of a type."""
    return next((c for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind), None)


def is_true(obj: Object, kind: str) -> bool:
    """Whether it has the condition, for the generation it is at, and it is True."""
    found = condition(obj, kind)
    current = obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"]
    return current and found is not None and found["status"] == "True"


def last_run(obj: Object) -> Object | None:
    """The newest run that has ended."""
    found: Object | None = obj.get("status", {}).get("lastRun")
    return found


async def ended(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    """Wait for the newest run's record."""
    run: Object = await eventually(lambda: last_run(get(kubectl, namespace, name)))
    return run
