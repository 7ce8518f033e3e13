"""Temporal's store is lost while a goose runs in a pod: nobody knows that run any more."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import job_pool, schedules
from support.drift import lose_store
from support.job_pool import SWEPT_WITHIN, audited, jobs, pods
from support.objects import apply, ended, get, goosejob
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Any]


@pytest.mark.parametrize("worker", ["lives", "is-another-one"])
async def test_a_job_of_a_run_that_temporal_lost_is_ended_and_its_record_closed(
    own_node: Rig, eventually: Eventually, tmp_path: Path, worker: str
) -> None:
    kubectl, namespace = own_node.kubectl, "default"
    name = f"worker-{worker}"
    template = job_pool.write_template(
        tmp_path / "template.yaml", own_node.goose_image(), own_node.model_address
    )
    own_node.operator()
    start: Callable[..., Handle] = own_node.start_worker
    made = len(audited(own_node.audit_log, namespace, "create", "jobs"))
    with ExitStack() as stack:
        first = stack.enter_context(start(pool=worker, **job_pool.environment(template)))
        apply(
            kubectl,
            namespace,
            goosejob(name, "stub: slow 600", execution={"pool": worker}),
            goosejob(f"{name}-later", schedule="0 0 1 1 *", execution={"pool": worker}),
        )
        await eventually(lambda: pods(kubectl, namespace, name)[0]["status"]["phase"] == "Running")
        later = await eventually(
            lambda: (o := get(kubectl, namespace, f"{name}-later")) and o["status"]["scheduleId"] and o
        )
        if worker != "lives":
            first.kill9()
        lose_store(own_node)
        if worker != "lives":
            stack.enter_context(start(pool=worker, **job_pool.environment(template)))
        run = await ended(kubectl, eventually, namespace, name)
        assert (run["outcome"], run["reason"]) == ("Unknown", "WorkflowLost")
        await eventually(lambda: jobs(kubectl, namespace, name) == [], timeout=SWEPT_WITHIN)
        await eventually(lambda: pods(kubectl, namespace, name) == [])
        client = await schedules.connect(own_node.temporal_address)
        await eventually(lambda: schedule(client, schedule_id(later)))
        assert len(audited(own_node.audit_log, namespace, "create", "jobs")) == made + 1
        status = get(kubectl, namespace, name)["status"]
        assert (status["active"], "completionTime" in status) == ([], True)
