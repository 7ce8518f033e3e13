"""Runs as Kubernetes Jobs on a real node, with real goose in the pods."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import job_pool
from support.job_pool import active_job, jobs, pods
from support.objects import Kubectl, Object, apply, ended, get, goosejob, last_run
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

KEPT_SECONDS = 7 * 24 * 3600


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, goose_image: str, node: Rig) -> Path:
    path = tmp_path_factory.mktemp("pool") / "template.yaml"
    return job_pool.write_template(path, goose_image, node.model_address)


@pytest.fixture(scope="session")
def job_worker(node: Rig, template: Path) -> Any:
    """A worker of the pool `jobs`, shared by the tests of this module: do not kill it."""
    with node.start_worker(pool="jobs", **job_pool.environment(template)) as worker:
        yield worker


def job(name: str, prompt: str = "stub: answer hello", **spec: Any) -> Object:
    return goosejob(name, prompt, **{"execution": {"pool": "jobs"}, **spec})


@pytest.mark.usefixtures("job_worker")
async def test_a_recipe_runs_in_a_pod_and_its_result_stands_in_the_status(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, job("plain", "stub: answer hello from a pod"))
    run = await ended(kubectl, eventually, namespace, "plain")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Succeeded", "Completed", 1)
    assert run["result"] == "hello from a pod"
    assert run["tokens"]["total"] > 0
    [made] = jobs(kubectl, namespace, "plain")
    assert run["jobName"] == made["metadata"]["name"]

    def kept() -> bool:
        [made] = jobs(kubectl, namespace, "plain")
        return bool(made["spec"]["ttlSecondsAfterFinished"] == KEPT_SECONDS)

    await eventually(kept)
