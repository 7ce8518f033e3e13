"""A run whose node is lost ends with that reason, as soon as Kubernetes has given the node up."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from goosejobs_local.node import NAME
from support import job_pool
from support.job_pool import audited, pods
from support.objects import apply, ended, get, goosejob
from support.rig import Handle, Rig
from support.spare_node import spare_node

Eventually = Callable[..., Any]

QUICK = {
    "flags": {
        "kube-controller-manager": {"node-monitor-period": "1s", "node-monitor-grace-period": "5s"},
        "kube-apiserver": {"default-unreachable-toleration-seconds": "1"},
    },
    "kubelet": {
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "1s",
        "nodeLeaseDurationSeconds": 2,
    },
}
KUBERNETES_AND = 40.0
"""Seconds that we may need beyond what Kubernetes itself needs: until the pod's grace period is over.

It takes 2, and what a slow machine needs; a node of which nobody said that it is lost would have 60.
"""


@pytest.mark.parametrize("own_node", [QUICK], indirect=True)
async def test_a_run_on_a_lost_node_fails_with_that_reason_and_its_pod_goes_when_the_node_is_back(
    own_node: Rig, eventually: Eventually, tmp_path: Path
) -> None:
    kubectl, namespace = own_node.kubectl, "default"
    template = job_pool.write_template(
        tmp_path / "template.yaml", own_node.goose_image(), own_node.model_address
    )
    own_node.operator()
    start: Callable[..., Handle] = own_node.start_worker
    with start(pool="jobs", **job_pool.environment(template)), ExitStack() as later:
        apply(kubectl, namespace, goosejob("lost", "stub: slow 600", execution={"pool": "jobs"}))
        await eventually(lambda: pods(kubectl, namespace, "lost")[0]["status"]["phase"] == "Running")
        later.enter_context(spare_node(kubectl))  # not before: until then no pause of the kubelet counts
        own_node.server("kubelet").kill9()
        gone = await eventually(
            lambda: pods(kubectl, namespace, "lost")[0]["metadata"].get("deletionTimestamp")
        )
        run = await ended(kubectl, eventually, namespace, "lost")
        assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "NodeLost", 1)
        assert f"kubectl delete node {NAME}" in run["message"]
        late = datetime.fromisoformat(run["finishTime"]) - datetime.fromisoformat(gone)
        assert late.total_seconds() <= KUBERNETES_AND
        assert len(audited(own_node.audit_log, namespace, "create", "jobs")) == 1
        assert get(kubectl, namespace, "lost")["status"]["active"] == []
        own_node.restart("kubelet")
        await eventually(lambda: pods(kubectl, namespace, "lost") == [])
