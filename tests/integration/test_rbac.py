"""What deploy/rbac.yaml allows is what operator and worker need: they run under these accounts here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.objects import apply, condition, get, goosejob, last_run, recipe
from support.rig import Rig

Eventually = Callable[..., Any]

RBAC = Path(__file__).parents[2] / "deploy/rbac.yaml"
CAN_I = Path(__file__).parents[1] / "data/can-i.yaml"
SYSTEM = "goosejobs-system"
HOMES = {
    "goosejobs-operator": SYSTEM,
    "goosejobs-worker-job": "default",
    "goosejobs-worker-process": "default",
}


HOMES = {
    "goosejobs-operator": SYSTEM,
    "goosejobs-worker-job": "default",
    "goosejobs-worker-process": "default",
}


def kubeconfig_of(rig: Rig, account: str) -> Path:
    """A kubeconfig that has the account's token instead of the administrator's certificate."""
    token = rig.kubectl("create", "token", "-n", HOMES[account], account).stdout.strip()
    config = yaml.safe_load(rig.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = rig.home / f"{account}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def least(own_platform: Rig) -> Rig:
    own_platform.kubectl("apply", "-f", str(RBAC))
    return own_platform


async def test_a_goosejob_lives_its_whole_life_under_the_least_rights(
    least: Rig, eventually: Eventually
) -> None:
    operator_config, worker_config = (
        str(kubeconfig_of(least, f"goosejobs-{side}")) for side in ("operator", "worker-process")
    )
    recipes = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "recipes", "labels": {"goosejobs.dev/recipe": "true"}},
        "data": {"a.yaml": yaml.safe_dump(recipe("stub: answer from the map"))},
    }
    source = {"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}
    with (
        least.start_operator(KUBECONFIG=operator_config, GOOSEJOBS_LEASE_NAMESPACE=SYSTEM) as operator,
        least.start_worker(KUBECONFIG=worker_config) as worker,
    ):
        apply(least.kubectl, "default", recipes, goosejob("mapped", schedule="@every 2s", recipe=source))
        run = await eventually(lambda: last_run(get(least.kubectl, "default", "mapped")), timeout=30)
        assert (run["outcome"], run["result"]) == ("Succeeded", "from the map")
        changed = {**recipes, "data": {"a.yaml": yaml.safe_dump(recipe("stub: answer anew"))}}
        apply(least.kubectl, "default", changed)
        await eventually(
            lambda: (last_run(get(least.kubectl, "default", "mapped")) or {})["result"] == "anew", timeout=30
        )
        ready = condition(get(least.kubectl, "default", "mapped"), "Ready")
        assert ready is not None
        assert ready["status"] == "True"
        least.kubectl("delete", "gj", "mapped", "--timeout=60s")
        assert "orbidden" not in operator.log + worker.log


def rows(rig: Rig, who: str, namespace: str) -> set[str]:
    """What `kubectl auth can-i --list` says of somebody in a namespace: a line each."""
    listed = rig.kubectl("auth", "can-i", "--list", "-n", namespace, "--as", who).stdout
    return {" ".join(line.split()) for line in listed.splitlines()[1:]}


@pytest.mark.parametrize("account", HOMES)
@pytest.mark.parametrize("where", ["own", "foreign"])
def test_kubectl_lists_for_an_account_what_it_needs_and_nothing_else(
    least: Rig, account: str, where: str
) -> None:
    namespace = HOMES[account] if where == "own" else "kube-public"
    anybody = rows(least, "system:serviceaccount:kube-public:nobody", namespace)
    more = rows(least, f"system:serviceaccount:{HOMES[account]}:{account}", namespace) - anybody
    wanted = yaml.safe_load(CAN_I.read_text())[account][where]
    assert sorted(more) == sorted(wanted)
