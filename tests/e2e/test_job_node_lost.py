"""Runs on a node that goes, and on one that rotates logs early: a node of this module's own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from goosejobs_local.node import NAME
from support import job_pool
from support.job_pool import TOOLS, jobs, pods
from support.objects import apply, ended, goosejob, recipe
from support.rig import Handle, Rig
from support.spare_node import spare_node

Eventually = Callable[..., Any]

NODE = {
    "flags": {
        "kube-controller-manager": {"node-monitor-period": "1s", "node-monitor-grace-period": "4s"},
        "kube-apiserver": {"default-unreachable-toleration-seconds": "1"},
    },
    "kubelet": {
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "1s",
        "nodeLeaseDurationSeconds": 2,
        "containerLogMaxSize": "64Ki",
        "containerLogMaxFiles": 2,
        "containerLogMonitorInterval": "3s",
    },
}

pytestmark = pytest.mark.parametrize("own_node", [NODE], indirect=True)


@pytest.fixture(scope="module")
def worker(own_node: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    own_node.operator()
    path = tmp_path_factory.mktemp("pool") / "template.yaml"
    job_pool.write_template(path, own_node.goose_image(), own_node.model_address)
    with own_node.start_worker(pool="jobs", wait=True, **job_pool.environment(path)) as worker:
        yield worker


@pytest.mark.usefixtures("worker")
async def test_a_log_that_is_rotated_many_times_loses_neither_the_result_nor_the_tokens(
    own_node: Rig, eventually: Eventually
) -> None:
    # 60 lines of 16 KiB within 12 seconds: the log is rotated, and only its end is left on the node.
    line = "head -c 16000 /dev/zero | tr '\\\\0' x > /proc/1/fd/1; echo > /proc/1/fd/1"
    script = f"for i in $(seq 60); do {line}; sleep 0.2; done; echo rotated"
    obj = goosejob("rotated", execution={"pool": "jobs"})
    obj["spec"]["recipe"]["inline"] = recipe(f"stub: shell {script}", extensions=TOOLS)
    apply(own_node.kubectl, "default", obj)
    run = await ended(own_node.kubectl, eventually, "default", "rotated")
    assert (run["outcome"], run["result"].strip()) == ("Succeeded", "rotated")
    assert run["tokens"]["total"] > 0
    [pod] = pods(own_node.kubectl, "default", "rotated")
    left = own_node.kubectl("logs", pod["metadata"]["name"]).stdout
    assert len(left) < 60 * 16000


@pytest.mark.usefixtures("worker")
async def test_a_run_on_a_node_that_is_lost_ends_with_that_reason_and_is_not_tried_again(
    own_node: Rig, eventually: Eventually
) -> None:
    kubectl = own_node.kubectl
    apply(kubectl, "default", goosejob("lost", "stub: hang", execution={"pool": "jobs"}))
    await eventually(lambda: pods(kubectl, "default", "lost")[0]["status"]["phase"] == "Running")
    with spare_node(kubectl):
        own_node.server("kubelet").kill9()

        def is_given_up() -> bool:
            [pod] = pods(kubectl, "default", "lost")
            return "deletionTimestamp" in pod["metadata"]

        await eventually(is_given_up)
        run = await ended(kubectl, eventually, "default", "lost")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "NodeLost", 1)
    assert NAME in run["message"]
    own_node.restart("kubelet")
    await eventually(lambda: not pods(kubectl, "default", "lost"))
    await eventually(lambda: not jobs(kubectl, "default", "lost"))
    found = json.loads(kubectl("get", "gj", "lost", "-o", "json").stdout)
    assert found["status"]["counts"]["failed"] == 1
