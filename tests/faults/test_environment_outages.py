"""Runs that need a Secret while the API server is away."""

from collections.abc import Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from support.objects import Object, apply, ended, get, goosejob, is_true, recipe
from support.rig import Handle, Rig

Eventually = Callable[..., Any]

WAITS = "waiting for the API server"
TOOLS = {"extensions": [{"type": "builtin", "name": "developer"}]}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail"}, "stringData": {"word": "geese"}}


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    own_platform.operator()
    apply(own_platform.kubectl, "default", SECRET)
    return own_platform


def needs_a_secret(name: str) -> Object:
    """In a pool of its name, which has no worker yet."""
    variable = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "word"}}}
    job = goosejob(name, execution={"pool": name, "env": [variable]})
    job["spec"]["recipe"]["inline"] = recipe("stub: shell printenv WORD | wc -c", **TOOLS)
    return job


async def applied(rig: Rig, eventually: Eventually, name: str) -> str:
    """The id of the workflow that waits for a worker."""
    apply(rig.kubectl, "default", needs_a_secret(name))
    await eventually(lambda: is_true(get(rig.kubectl, "default", name), "Ready"))
    return str(get(rig.kubectl, "default", name)["status"]["scheduleId"])


async def waiting(rig: Rig, eventually: Eventually, name: str) -> Handle:
    """A worker that has taken the run up while the API server is away."""
    rig.server("kube-apiserver").kill9()
    worker = rig.start_worker(pool=name)
    await eventually(lambda: WAITS in worker.log)
    return worker


async def test_a_run_waits_for_the_api_server_to_read_its_secret(rig: Rig, eventually: Eventually) -> None:
    await applied(rig, eventually, "patient")
    with await waiting(rig, eventually, "patient"):
        rig.restart("kube-apiserver")
        run = await ended(rig.kubectl, eventually, "default", "patient")
        assert (run["outcome"], run["attempt"], run["result"].strip()) == ("Succeeded", 1, "6")


async def test_a_run_that_waits_for_its_secret_can_be_cancelled(rig: Rig, eventually: Eventually) -> None:
    workflow_id = await applied(rig, eventually, "impatient")
    with await waiting(rig, eventually, "impatient"):
        temporal = await Client.connect(rig.temporal_address)
        run = temporal.get_workflow_handle(workflow_id)
        assert (await run.describe()).raw_description.pending_activities
        await run.cancel()

        async def attempt_ended() -> bool:
            return not (await run.describe()).raw_description.pending_activities

        await eventually(attempt_ended)
        rig.restart("kube-apiserver")
        ending = await ended(rig.kubectl, eventually, "default", "impatient")
        assert (ending["outcome"], ending["reason"]) == ("Killed", "Cancelled")

        async def workflow_ended() -> bool:
            """A moment after the record, where that did not have to wait for the API server."""
            return (await run.describe()).status is not WorkflowExecutionStatus.RUNNING

        await eventually(workflow_ended)
        assert (await run.describe()).status is WorkflowExecutionStatus.CANCELED
