"""Attacks on operator and worker, by whoever may write a GooseJob and by the agent of a run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from goosejobs.model import names
from support.objects import Kubectl, Object, apply, get, goosejob, is_true, last_run
from support.rig import Handle

Eventually = Callable[..., Any]


def with_inline(name: str, value: str) -> str:
    """A GooseJob as JSON, whose inline recipe has one more field; Python could not write a deep one."""
    job = goosejob(name)
    job["spec"]["recipe"]["inline"]["more"] = "@"
    return json.dumps(job).replace('"@"', value)


async def stalled(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    """Wait for its condition Stalled, asking for that alone: an object may be deeper than Python reads."""
    path = '-o=jsonpath={.status.conditions[?(@.type=="Stalled")]}'
    text = await eventually(
        lambda: kubectl("get", "-n", namespace, "gj", name, path).stdout, timeout=90, message=name
    )
    found: Object = json.loads(text)
    return found


@pytest.mark.invariant("I18")
@pytest.mark.usefixtures("worker")
async def test_objects_nested_as_deep_as_the_api_server_takes_end_nobody(
    kubectl: Kubectl, eventually: Eventually, namespace: str, operator: Handle
) -> None:
    deep = {
        "lists": "[" * 9900 + "]" * 9900,
        "maps": '{"a":' * 4000 + "1" + "}" * 4000,
        "writable": "[" * 300 + "]" * 300,  # Python reads it, and pydantic does not write it
    }
    for name, value in deep.items():
        kubectl("create", "--validate=false", "-n", namespace, "-f", "-", input=with_inline(name, value))
    apply(kubectl, namespace, goosejob("good"))
    run = await eventually(lambda: last_run(get(kubectl, namespace, "good")))
    assert run["outcome"] == "Succeeded"
    for name in deep:
        found = await stalled(kubectl, eventually, namespace, name)
        assert (found["reason"], "deeper than 64 levels" in found["message"]) == ("InvalidRecipe", True)
    assert operator.alive
    kubectl("delete", "-n", namespace, "gj", "--all", "--timeout=180s")


async def test_a_large_recipe_does_not_grow_in_the_operator(
    kubectl: Kubectl, eventually: Eventually, namespace: str, operator: Handle
) -> None:
    # As indented text it would have 60 blanks for each of its 600,000 numbers.
    value = "[" * 60 + ",".join(["1"] * 600_000) + "]" * 60
    kubectl("create", "--validate=false", "-n", namespace, "-f", "-", input=with_inline("large", value))
    found = await stalled(kubectl, eventually, namespace, "large")
    assert (found["reason"], "has 1200" in found["message"]) == ("RecipeTooLarge", True), found
    assert operator.alive
    kubectl("delete", "-n", namespace, "gj", "large", "--timeout=180s")


def touches(trace: Path) -> Object:
    """A configuration of goose that starts a program with each recipe that names no extensions."""
    own = {"enabled": True, "type": "stdio", "name": "own", "display_name": "own", "description": ""}
    more = {"cmd": "/bin/touch", "args": [str(trace)], "timeout": 3, "bundled": None, "available_tools": []}
    return {"extensions": {"own": {**own, **more}}}


@pytest.mark.usefixtures("operator", "worker")
async def test_what_an_agent_does_to_gooses_configuration_ends_with_its_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    trace = Path(tempfile.gettempdir()) / f"{namespace}-trace"
    config = "$GOOSE_PATH_ROOT/config/config.yaml"
    write = f"mkdir -p $GOOSE_PATH_ROOT/config && echo '{json.dumps(touches(trace))}' | tee {config}"
    attack = goosejob("attack", f"stub: shell {write}")
    attack["spec"]["recipe"]["inline"]["extensions"] = [{"type": "builtin", "name": "developer"}]
    apply(kubectl, namespace, attack)
    run = await eventually(lambda: last_run(get(kubectl, namespace, "attack")))
    assert str(trace) in run["result"], run
    victim = goosejob("victim")
    del victim["spec"]["recipe"]["inline"]["extensions"]
    apply(kubectl, namespace, victim)
    run = await eventually(lambda: last_run(get(kubectl, namespace, "victim")))
    assert (run["outcome"], run["message"]) == ("Succeeded", "")
    assert not trace.exists()


@pytest.mark.usefixtures("operator", "worker")
async def test_malformed_annotations_and_a_nonsensical_status_disturb_nothing(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    job = goosejob("odd", schedule="@every 2s", concurrencyPolicy="Allow")
    kopf = "kopf.zalando.org/"
    job["metadata"]["annotations"] = {f"{kopf}last-handled-configuration": "{", f"{kopf}goosejob": "["}
    apply(kubectl, namespace, job)
    await eventually(lambda: is_true(get(kubectl, namespace, "odd"), "Ready"))
    run = {"id": "", "workflowId": "", "trigger": "Once", "startTime": "2026-01-01T00:00:00+23:59"}
    nonsense = {"nextScheduleTime": "soon", "active": [run], "scheduleId": "x", "recentRuns": []}
    claim = json.dumps({"status": nonsense})
    kubectl("patch", "-n", namespace, "gj", "odd", "--subresource=status", "--type=merge", "-p", claim)

    def served() -> bool:
        status = get(kubectl, namespace, "odd")["status"]
        ran = (status.get("lastRun") or {}).get("outcome") == "Succeeded"
        return ran and status["nextScheduleTime"][:2] == "20" and all(r["id"] for r in status["active"])

    await eventually(served)


@pytest.mark.usefixtures("operator")
async def test_a_status_edited_by_hand_ends_nobody_elses_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, temporal_address: str
) -> None:
    nobody: Object = {"execution": {"pool": "nobody"}}
    apply(kubectl, namespace, goosejob("victim", **nobody), goosejob("thief", schedule="@yearly", **nobody))
    victim, thief = [
        await eventually(lambda n=name: (o := get(kubectl, namespace, n)) and is_true(o, "Ready") and o)
        for name in ("victim", "thief")
    ]
    workflow_id = names.once_workflow_id(namespace, "victim", victim["metadata"]["uid"])
    run = {"id": "x", "workflowId": workflow_id, "trigger": "Once", "startTime": "2026-01-01T00:00:00Z"}
    claim = json.dumps({"status": {"active": [run]}})
    kubectl("patch", "-n", namespace, "gj", "thief", "--subresource=status", "--type=merge", "-p", claim)
    kubectl("delete", "-n", namespace, "gj", "thief", "--timeout=180s")
    assert names.FINALIZER in thief["metadata"]["finalizers"]  # so the operator had its look
    temporal = await Client.connect(temporal_address)
    handle = temporal.get_workflow_handle(workflow_id)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert "CANCEL_REQUESTED" not in str((await handle.fetch_history()).events)


KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
"""
SECRET = "not-for-anybodys-log-1"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("KUBECONFIG", f'{KUBECONFIG}users: [{{name: u, user: {{token: "{SECRET}\n'),
        ("KUBECONFIG", f"{KUBECONFIG}users: [{{name: u, user: {{client-key-data: {SECRET}}}}}]\n"),
        ("KUBECONFIG", f"- {SECRET}\n"),
        ("TEMPORAL_CONFIG_FILE", f'[profile.default]\napi_key = "{SECRET}\n'),
    ],
)
@pytest.mark.parametrize("side", ["goosejobs_operator", "goosejobs_worker"])
def test_a_configuration_that_cannot_be_read_is_not_quoted(
    tmp_path: Path, kubeconfig: Path, side: str, variable: str, text: str
) -> None:
    (tmp_path / "file").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", side],
        env={
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig),
            variable: str(tmp_path / "file"),
            "GOOSEJOBS_HEALTH_ADDRESS": "127.0.0.1:0",
            "GOOSEJOBS_GOOSE": "/bin/true",
            "GOOSEJOBS_DATA_DIR": str(tmp_path / "data"),
            "GOOSEJOBS_RUN_AS_UID": str(os.getuid()),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert ("KUBECONFIG" if variable == "KUBECONFIG" else "Temporal: bad client configuration") in said
    assert SECRET not in said
    assert "Traceback" not in said
