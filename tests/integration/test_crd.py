"""What `kubectl apply` answers: the real API server against tests/data/crd."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

Kubectl = Callable[..., CompletedProcess[str]]
Eventually = Callable[..., Any]
Case = dict[str, Any]

DATA = Path(__file__).parents[1] / "data/crd"


def cases(name: str) -> list[Case]:
    found: list[Case] = yaml.safe_load((DATA / name).read_text())
    return found


def document(case: Case) -> str:
    spec = case["spec"]
    for field, size in case.get("repeat", {}).items():
        spec = {**spec, "recipe": {field: "x" * size}}
    metadata = {"name": case.get("name", "case")}
    return json.dumps(
        {"apiVersion": "goosejobs.dev/v1alpha1", "kind": "GooseJob", "metadata": metadata, "spec": spec}
    )


def try_to_apply(kubectl: Kubectl, case: Case) -> CompletedProcess[str]:
    """Nothing is kept of it, so that all cases can share a namespace."""
    return kubectl("apply", "--dry-run=server", "-f", "-", input=document(case), check=False)


@pytest.mark.parametrize("case", cases("accept.yaml"), ids=lambda case: case["why"])
def test_a_good_object_is_taken(kubectl: Kubectl, case: Case) -> None:
    answer = try_to_apply(kubectl, case)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("case", cases("reject.yaml"), ids=lambda case: case.get("why", case["says"])[:60])
def test_a_bad_object_is_refused_with_a_sentence(kubectl: Kubectl, case: Case) -> None:
    answer = try_to_apply(kubectl, case)
    assert answer.returncode != 0
    assert case["says"] in answer.stderr


def test_run_once_may_not_change(kubectl: Kubectl, namespace: str) -> None:
    once = document({"spec": {"runOnce": True, "recipe": {"path": "a.yaml"}}})
    kubectl("apply", "-n", namespace, "-f", "-", input=once)
    scheduled = document({"spec": {"schedule": "@daily", "recipe": {"path": "a.yaml"}}})
    answer = kubectl("apply", "-n", namespace, "-f", "-", input=scheduled, check=False)
    assert "spec.runOnce may not change" in answer.stderr


def test_a_new_object_is_not_current_for_kstatus_before_the_first_look(
    kubectl: Kubectl, namespace: str
) -> None:
    # What the API server answers is what it stores, before anybody else can write.
    seen = kubectl(
        *("create", "-n", namespace, "-f", "-", "-o", "jsonpath={.status.observedGeneration}"),
        input=document(cases("accept.yaml")[0]),
    )
    assert seen.stdout == "-1"


async def explained(kubectl: Kubectl, eventually: Eventually, field: str) -> str:
    """What the API server publishes of a field, a moment after it serves the kind."""
    answer = await eventually(lambda: kubectl("explain", field).stdout)
    return " ".join(answer.split())


async def test_the_schedule_explains_itself(kubectl: Kubectl, eventually: Eventually) -> None:
    text = await explained(kubectl, eventually, "goosejob.spec.schedule")
    assert "five fields (minute, hour, day of month, month, day of week)" in text
    assert '"@every 15m"' in text


async def test_the_environment_explains_itself(kubectl: Kubectl, eventually: Eventually) -> None:
    text = await explained(kubectl, eventually, "goosejob.spec.execution.env")
    assert "Put no secret into value" in text
    assert "{name: TOKEN, valueFrom: {secretKeyRef: {name: mail, key: token}}}" in text
