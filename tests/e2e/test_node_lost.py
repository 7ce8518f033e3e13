"""A node that is not heard of any more is lost, and its pods with it, within seconds if we ask for that."""

import pytest

from goosejobs_local.node import NAME, PAUSE_IMAGE
from support.pods import PATIENCE, apply, pod, wait, wait_for_account
from support.rig import Rig
from support.spare_node import spare_node

QUICK = {
    "flags": {
        "kube-controller-manager": {"node-monitor-period": "1s", "node-monitor-grace-period": "4s"},
        "kube-apiserver": {"default-unreachable-toleration-seconds": "1"},
    },
    "kubelet": {
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "1s",
        "nodeLeaseDurationSeconds": 2,
    },
}


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "frozen"])
@pytest.mark.parametrize("own_node", [QUICK], indirect=True)
def test_a_pod_on_a_node_whose_kubelet_is_gone_is_marked_for_deletion_and_goes_when_it_is_back(
    own_node: Rig, killed: bool
) -> None:
    kubectl = own_node.kubectl
    wait_for_account(kubectl, "default")
    apply(kubectl, "default", pod("lost", PAUSE_IMAGE, "/pause", "-P"))
    wait(kubectl, "default", "lost", "condition=Ready")
    kubelet = own_node.server("kubelet")
    with spare_node(kubectl):
        kubelet.kill9() if killed else kubelet.freeze()
        kubectl("wait", f"node/{NAME}", "--for=condition=Ready=Unknown", PATIENCE)
        wait(kubectl, "default", "lost", "condition=DisruptionTarget")
    own_node.restart("kubelet") if killed else kubelet.thaw()
    kubectl("wait", f"node/{NAME}", "--for=condition=Ready", PATIENCE)
    wait(kubectl, "default", "lost", "delete")
