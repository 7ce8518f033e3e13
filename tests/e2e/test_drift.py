"""What somebody does in Temporal to a run in a pod: docs/drift.md has the rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import drift, job_pool, schedules
from support.job_pool import audited, jobs, pods
from support.objects import Kubectl, apply, ended, get, goosejob
from support.rig import Handle, Rig
from support.schedules import schedule_id

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture
def environment(tmp_path: Path, goose_image: str, node: Rig) -> dict[str, str]:
    return job_pool.environment(
        job_pool.write_template(tmp_path / "template.yaml", goose_image, node.model_address)
    )


async def test_a_terminated_runs_job_is_ended_though_no_run_follows(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    temporal_address: str,
) -> None:
    start_worker(pool=pool, **environment)
    apply(kubectl, namespace, goosejob("terminated", "stub: hang", execution={"pool": pool}))
    await eventually(lambda: pods(kubectl, namespace, "terminated")[0]["status"]["phase"] == "Running")
    client = await schedules.connect(temporal_address)
    workflow_id = f"{schedule_id(get(kubectl, namespace, 'terminated'))}/once"
    await client.get_workflow_handle(workflow_id).terminate(reason="by hand")
    await eventually(lambda: jobs(kubectl, namespace, "terminated") == [])
    await eventually(lambda: pods(kubectl, namespace, "terminated") == [])


async def test_a_run_that_is_reset_goes_on_with_its_job(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    temporal_address: str,
    node: Rig,
) -> None:
    worker = start_worker(pool=pool, **environment)
    apply(kubectl, namespace, job_pool.held("reset", execution={"pool": pool}))
    await eventually(lambda: pods(kubectl, namespace, "reset")[0]["status"]["phase"] == "Running")
    client = await schedules.connect(temporal_address)
    await drift.reset(client, f"{schedule_id(get(kubectl, namespace, 'reset'))}/once", 3)
    await eventually(lambda: "left the Job to another worker" in worker.log)
    job_pool.release(kubectl, namespace, pods(kubectl, namespace, "reset")[0])
    run = await ended(kubectl, eventually, namespace, "reset")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1
    assert get(kubectl, namespace, "reset")["status"]["counts"]["succeeded"] == 1
