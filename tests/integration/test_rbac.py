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
SYSTEM = "goosejobs-system"


def kubeconfig_of(rig: Rig, account: str) -> Path:
    """A kubeconfig that has the account's token instead of the administrator's certificate."""
    token = rig.kubectl("create", "token", "-n", SYSTEM, account).stdout.strip()
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
        str(kubeconfig_of(least, f"goosejobs-{side}")) for side in ("operator", "worker")
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


@pytest.mark.parametrize(
    ("account", "question"),
    [
        ("goosejobs-worker", ("list", "goosejobs")),
        ("goosejobs-worker", ("patch", "goosejobs")),
        ("goosejobs-worker", ("get", "configmaps")),
        ("goosejobs-worker", ("create", "pods")),
        ("goosejobs-operator", ("get", "secrets")),
        ("goosejobs-operator", ("create", "pods")),
        ("goosejobs-operator", ("update", "configmaps")),
        ("goosejobs-operator", ("delete", "goosejobs")),
    ],
)
def test_what_is_not_needed_is_not_allowed(least: Rig, account: str, question: tuple[str, str]) -> None:
    who = f"system:serviceaccount:{SYSTEM}:{account}"
    answer = least.kubectl("auth", "can-i", *question, "-A", "--as", who, check=False)
    assert answer.stdout.strip() == "no"
