"""deploy/overlays/dev on a real node: all in pods, Temporal too, from the first apply to a run's result."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs_local import baseimage, imagebuild, images, sides
from goosejobs_local.imagebuild import CHECKOUT, OPERATOR, WORKER_SLIM
from goosejobs_local.resolve import Resolver
from support import job_pool
from support.objects import apply, ended, goosejob, recipe
from support.pods import PATIENCE
from support.rig import Rig

Eventually = Callable[..., Any]

pytestmark = pytest.mark.timeout(900)  # images are built, if they have to be

TEMPORAL = "localhost/temporalio/temporal"
PUBLISHED = {
    "ghcr.io/goosejobs/operator": OPERATOR.reference,
    "ghcr.io/goosejobs/worker": WORKER_SLIM.reference,
}
POOL = "agents"


def temporal_image(folder: Path) -> tuple[str, Path]:
    """An image like temporalio/temporal: the CLI as the entry point, as user 1000."""
    binary = Resolver().resolve(["temporal"])["temporal"]
    layer = folder / "layer.tar"
    images.layer([images.Entry(binary.path.resolve(), "/usr/local/bin/temporal")], layer)
    reference, target = f"{TEMPORAL}:{binary.version}", folder / "temporal.tar"
    settings = {"Entrypoint": ["/usr/local/bin/temporal"], "User": "1000:1000"}
    images.archive(reference, [baseimage.base_layer(), layer], settings, target)
    return reference, target


def overlay(folder: Path, temporal: str, goose: str) -> Path:
    """What a user would lay over the overlay: other images, another template of the pool."""
    for part in ("base", "overlays"):
        shutil.copytree(CHECKOUT / "deploy" / part, folder / part)
    settings = folder / "overlays/ours"
    settings.mkdir()
    template = {"envFrom": [{"secretRef": {"name": "goose-provider"}}], "job": {"image": goose}}
    (settings / "template.yaml").write_text(yaml.safe_dump(template))
    replaced = {**PUBLISHED, "temporalio/temporal": temporal}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../dev"],
        "images": [
            {"name": name, "newName": new.rpartition(":")[0], "newTag": new.rpartition(":")[2]}
            for name, new in replaced.items()
        ],
        "configMapGenerator": [
            {
                "name": "goosejobs-pool",
                "namespace": POOL,
                "behavior": "merge",
                "files": ["template.yaml"],
            }
        ],
    }
    (settings / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return settings


@pytest.fixture(scope="module")
def deployed(own_node: Rig, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """The overlay, applied; all of its Deployments are available."""
    folder = tmp_path_factory.mktemp("deploy")
    temporal, archive = temporal_image(folder)
    built = imagebuild.build([OPERATOR, WORKER_SLIM])
    for each in (archive, *built.values()):
        own_node.import_image(each)
    settings = overlay(folder / "copy", temporal, own_node.goose_image())
    own_node.kubectl("apply", "--server-side", "-k", str(settings))
    provider = [
        f"--from-literal={name}={value}"
        for name, value in sides.stub_provider(own_node.model_address).items()
    ]
    own_node.kubectl("create", "secret", "generic", "goose-provider", "-n", POOL, *provider)
    for namespace in ("goosejobs-system", POOL):
        own_node.kubectl(
            *("wait", "-n", namespace, "deployment", "--all"),
            *("--for=condition=Available", "--timeout=400s"),
        )
    return own_node


async def test_a_goosejob_runs_in_a_pod(deployed: Rig, eventually: Eventually) -> None:
    apply(deployed.kubectl, POOL, goosejob("hello", "stub: answer hello from the overlay"))
    run = await ended(deployed.kubectl, eventually, POOL, "hello")
    assert (run["outcome"], run["result"]) == ("Succeeded", "hello from the overlay"), run
    assert run["tokens"]["total"] > 0
    [job] = job_pool.jobs(deployed.kubectl, POOL, "hello")
    assert run["jobName"] == job["metadata"]["name"]


async def test_a_scheduled_goosejob_with_its_recipe_in_a_config_map_runs_again_and_again(
    deployed: Rig, eventually: Eventually
) -> None:
    recipes = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "recipes", "labels": {"goosejobs.dev/recipe": "true"}},
        "data": {"a.yaml": yaml.safe_dump(recipe("stub: answer from the map"))},
    }
    source = {"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}
    apply(deployed.kubectl, POOL, recipes, goosejob("again", schedule="@every 5s", recipe=source))

    def runs() -> Any:
        found = deployed.kubectl("get", "-n", POOL, "goosejob", "again", "-o", "json").stdout
        recent = json.loads(found)["status"]["recentRuns"]
        return recent if len(recent) >= 2 else None

    recent = await eventually(runs, timeout=180)
    assert {(run["outcome"], run["result"]) for run in recent} == {("Succeeded", "from the map")}
    deployed.kubectl("delete", "-n", POOL, "goosejob", "again", PATIENCE)


async def test_no_part_was_restarted_or_refused_anything(deployed: Rig) -> None:
    for namespace in ("goosejobs-system", POOL):
        pods = json.loads(
            deployed.kubectl(
                *("get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name!=goose", "-o", "json")
            ).stdout
        )["items"]
        assert pods
        for pod in pods:
            [status] = pod["status"]["containerStatuses"]
            log = deployed.kubectl("logs", "-n", namespace, pod["metadata"]["name"]).stdout
            assert status["restartCount"] == 0, log
            assert "orbidden" not in log
