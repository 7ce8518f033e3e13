"""The charts' whole life on a real node: installed, used, upgraded and rolled back under a run, taken away.

One story, told test by test: each begins where the one before it ended.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs_local import imagebuild, sides
from goosejobs_local.imagebuild import CHECKOUT, OPERATOR, WORKER, WORKER_SLIM, Image
from support import job_pool
from support.helm import CHARTS, helm
from support.objects import Object, apply, ended, get, goosejob, is_true, recipe
from support.pods import PATIENCE
from support.rig import Rig

Eventually = Callable[..., Any]

pytestmark = pytest.mark.timeout(1800)  # images are built; the first time, all in them is fetched

SYSTEM, TEAM = "goosejobs-system", "team-a"
WAIT = ("--wait", "--timeout=300s")
KEYS = "goosejobs-keys"


def image(of: Image) -> list[str]:
    """What makes a chart use an image of this machine."""
    repository, _, tag = of.reference.rpartition(":")
    return ["--set", f"image.repository={repository}", "--set", f"image.tag={tag}"]


class Cluster:
    """A node, and Helm for it."""

    def __init__(self, rig: Rig, runs: str) -> None:
        self.rig = rig
        self.kubectl = rig.kubectl
        temporal = ["--set", f"temporal.address={rig.temporal_address}"]
        keys = ["--set", f"encryption.secretName={KEYS}"]
        self.operator = [*image(OPERATOR), *temporal, *keys, "--set", "replicas=2"]
        provider = ["--set", "provider.secretName=goose-provider"]
        self.worker = [*temporal, *keys, *provider]
        self.jobs = [*self.worker, *image(WORKER_SLIM), "--set", f"template.job.image={runs}"]

    def helm(self, *arguments: str, namespace: str = "default") -> str:
        """Run it; when it fails, the error tells how the namespace's pods are."""
        try:
            return helm(*arguments, "--namespace", namespace, kubeconfig=self.rig.kubeconfig).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(self.kubectl("describe", "pods", "-n", namespace).stdout)
            logs = ("logs", "-n", namespace, "--all-containers", "--prefix", "--tail=30")
            error.add_note(
                self.kubectl(*logs, "-l", "app.kubernetes.io/part-of=goosejobs", check=False).stdout
            )
            raise

    def chart(self, name: str) -> str:
        return str(CHARTS / name)

    def revision(self, release: str, namespace: str) -> int:
        [found] = json.loads(self.helm("list", "--filter", f"^{release}$", "-o", "json", namespace=namespace))
        return int(found["revision"])

    def pods_of(self, release: str, namespace: str) -> set[str]:
        selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component!=test"
        found = self.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "name").stdout
        return set(found.split())


@pytest.fixture(scope="module")
def cluster(own_node: Rig) -> Cluster:
    """A node with our images and without the CRD."""
    built = imagebuild.build([OPERATOR, WORKER_SLIM])
    for each in built.values():
        own_node.import_image(each)
    own_node.kubectl("delete", "crd", "goosejobs.goosejobs.dev")
    provider = [f"--from-literal={k}={v}" for k, v in sides.stub_provider(own_node.model_address).items()]
    key = "--from-literal=keys=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    for namespace in (SYSTEM, TEAM, "team-b"):
        own_node.kubectl("create", "namespace", namespace)
        own_node.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        own_node.kubectl("create", "secret", "generic", KEYS, "-n", namespace, key)
        own_node.kubectl("create", "secret", "generic", "goose-provider", "-n", namespace, *provider)
    return Cluster(own_node, own_node.goose_image())


async def in_flight(cluster: Cluster, eventually: Eventually, name: str) -> Object:
    """A GooseJob whose pod runs until it is released; the pod."""
    apply(cluster.kubectl, TEAM, job_pool.held(name))

    def runs() -> Object | None:
        found = job_pool.pods(cluster.kubectl, TEAM, name)
        return found[0] if found and found[0]["status"]["phase"] == "Running" else None

    pod: Object = await eventually(runs)
    return pod


def has_ended(cluster: Cluster, name: str) -> bool:
    """Whether its one pod has ended well."""
    [pod] = job_pool.pods(cluster.kubectl, TEAM, name)
    return bool(pod["status"]["phase"] == "Succeeded")


def release(cluster: Cluster, pod: Object) -> None:
    """Let the run in a pod come to its end."""
    job_pool.release(cluster.kubectl, TEAM, pod)


def pods_of_both(cluster: Cluster) -> set[str]:
    """The pods of pool and operator."""
    return cluster.pods_of("pool", TEAM) | cluster.pods_of("goosejobs", SYSTEM)


async def replaced(cluster: Cluster, eventually: Eventually, before: set[str]) -> None:
    """Wait until none of the pods that there were is left: Helm does not wait for those that go."""
    await eventually(lambda: before.isdisjoint(pods_of_both(cluster)))


async def survived(cluster: Cluster, eventually: Eventually, name: str, pod: Object) -> None:
    """The run ended well in the pod that it began in, and was recorded once."""
    run = await ended(cluster.kubectl, eventually, TEAM, name)
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1), run
    status = get(cluster.kubectl, TEAM, name)["status"]
    assert len(status["recentRuns"]) == status["counts"]["succeeded"] == 1
    [same] = job_pool.pods(cluster.kubectl, TEAM, name)
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]


def test_all_is_installed_and_becomes_ready(cluster: Cluster) -> None:
    cluster.helm("install", "goosejobs-crds", cluster.chart("goosejobs-crds"))
    cluster.helm(
        "install", "goosejobs", cluster.chart("goosejobs"), *cluster.operator, *WAIT, namespace=SYSTEM
    )
    cluster.helm("install", "pool", cluster.chart("goosejobs-worker"), *cluster.jobs, *WAIT, namespace=TEAM)
    assert len(cluster.pods_of("goosejobs", SYSTEM)) == 2


def test_helm_test_says_that_it_is_well(cluster: Cluster) -> None:
    said = cluster.helm("test", "goosejobs", "--logs", namespace=SYSTEM)
    assert "Phase:          Succeeded" in said
    assert '{"status": "ok"}' in said
    said = cluster.helm("test", "pool", "--logs", namespace=TEAM)
    assert "Phase:          Succeeded" in said
    assert "polling goosejobs-default" in said


def test_every_line_of_their_logs_is_json(cluster: Cluster) -> None:
    for release, namespace in (("goosejobs", SYSTEM), ("pool", TEAM)):
        for pod in cluster.pods_of(release, namespace):
            lines = cluster.kubectl("logs", "-n", namespace, pod).stdout.splitlines()
            assert lines
            assert all(json.loads(line)["message"] for line in lines)


async def test_the_example_runs_in_a_pod(cluster: Cluster, eventually: Eventually) -> None:
    cluster.kubectl("apply", "-n", TEAM, "-f", str(CHECKOUT / "examples/hello.yaml"))
    run = await ended(cluster.kubectl, eventually, TEAM, "hello")
    assert run["outcome"] == "Succeeded", run
    assert run["result"]
    assert run["tokens"]["total"] > 0
    await eventually(lambda: has_ended(cluster, "hello"))
    [pod] = job_pool.pods(cluster.kubectl, TEAM, "hello")
    assert run["jobName"] == pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]


async def test_a_run_survives_an_upgrade_of_pool_and_operator(
    cluster: Cluster, eventually: Eventually
) -> None:
    before = pods_of_both(cluster)
    pod = await in_flight(cluster, eventually, "upgraded")
    changed = ["--set", "template.job.labels.generation=two"]
    cluster.helm(
        "upgrade", "pool", cluster.chart("goosejobs-worker"), *cluster.jobs, *changed, *WAIT, namespace=TEAM
    )
    changed = ["--set", "log.level=DEBUG"]
    cluster.helm(
        "upgrade",
        "goosejobs",
        cluster.chart("goosejobs"),
        *cluster.operator,
        *changed,
        *WAIT,
        namespace=SYSTEM,
    )
    await replaced(cluster, eventually, before)
    release(cluster, pod)
    await survived(cluster, eventually, "upgraded", pod)


async def test_the_upgraded_pool_makes_other_pods(cluster: Cluster, eventually: Eventually) -> None:
    apply(cluster.kubectl, TEAM, goosejob("labelled", schedule="0 0 1 1 *"))
    await eventually(lambda: is_true(get(cluster.kubectl, TEAM, "labelled"), "Ready"))
    pod = await in_flight(cluster, eventually, "second")
    assert pod["metadata"]["labels"]["generation"] == "two"
    release(cluster, pod)


async def test_a_run_survives_a_rollback(cluster: Cluster, eventually: Eventually) -> None:
    before = pods_of_both(cluster)
    pod = await in_flight(cluster, eventually, "rolled-back")
    cluster.helm("rollback", "pool", "1", *WAIT, namespace=TEAM)
    cluster.helm("rollback", "goosejobs", "1", *WAIT, namespace=SYSTEM)
    assert cluster.revision("pool", TEAM) == cluster.revision("goosejobs", SYSTEM) == 3
    await replaced(cluster, eventually, before)
    release(cluster, pod)
    await survived(cluster, eventually, "rolled-back", pod)
    pod = await in_flight(cluster, eventually, "third")
    assert "generation" not in pod["metadata"]["labels"]
    release(cluster, pod)
    cluster.helm("test", "goosejobs", namespace=SYSTEM)


async def test_a_pool_that_serves_another_namespace_may_work_there(
    cluster: Cluster, eventually: Eventually
) -> None:
    before = cluster.pods_of("pool", TEAM)
    served = ["--set", f"namespaces={{{TEAM},team-b}}"]
    cluster.helm(
        "upgrade", "pool", cluster.chart("goosejobs-worker"), *cluster.jobs, *served, *WAIT, namespace=TEAM
    )
    await replaced(cluster, eventually, before)  # an old worker would refuse that namespace
    apply(cluster.kubectl, "team-b", goosejob("guest", "stub: answer from afar"))
    run = await ended(cluster.kubectl, eventually, "team-b", "guest")
    assert (run["outcome"], run["result"]) == ("Succeeded", "from afar"), run


async def test_a_pool_of_processes_runs_its_recipe_folder_with_the_secret_that_it_may_read(
    cluster: Cluster, eventually: Eventually, tmp_path: Path
) -> None:
    cluster.rig.import_image(imagebuild.build([WORKER])[WORKER])
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump({"recipes": {"files": {"a.yaml": json.dumps(recipe("stub: answer ok"))}}})
    )
    cluster.kubectl("create", "secret", "generic", "mail", "-n", "team-b", "--from-literal=PASSWORD=hunter22")
    processes = ["--set", "mode=Process,pool=quick", "--set", "process.secrets={mail}"]
    cluster.helm(
        *("install", "quick", cluster.chart("goosejobs-worker"), "-f", str(values)),
        *(*cluster.worker, *image(WORKER), *processes, *WAIT),
        namespace="team-b",
    )
    execution = {"pool": "quick", "envFrom": [{"secretRef": {"name": "mail"}}]}
    apply(
        cluster.kubectl,
        "team-b",
        goosejob("quick", execution=execution, recipe={"path": "a.yaml"}),
        goosejob("curious", execution={**execution, "envFrom": [{"secretRef": {"name": KEYS}}]}),
    )
    run = await ended(cluster.kubectl, eventually, "team-b", "quick")
    assert (run["outcome"], run["result"]) == ("Succeeded", "ok"), run
    run = await ended(cluster.kubectl, eventually, "team-b", "curious")
    assert run["outcome"] == "Failed"
    assert "process.secrets" in run["message"]
    cluster.helm("test", "quick", namespace="team-b")
    cluster.helm("uninstall", "quick", "--wait", namespace="team-b")


async def test_runs_outlive_their_pool_and_are_recorded_by_the_next_one(
    cluster: Cluster, eventually: Eventually
) -> None:
    before = cluster.pods_of("pool", TEAM)
    pod = await in_flight(cluster, eventually, "orphan")
    cluster.helm("uninstall", "pool", "--wait", namespace=TEAM)
    await replaced(cluster, eventually, before)
    release(cluster, pod)
    await eventually(lambda: has_ended(cluster, "orphan"))
    assert "lastRun" not in get(cluster.kubectl, TEAM, "orphan")["status"]
    cluster.helm("install", "pool", cluster.chart("goosejobs-worker"), *cluster.jobs, *WAIT, namespace=TEAM)
    await survived(cluster, eventually, "orphan", pod)


async def test_what_was_uninstalled_in_order_leaves_the_crd_and_nothing_of_ours(
    cluster: Cluster, eventually: Eventually
) -> None:
    for namespace in (TEAM, "team-b"):
        cluster.kubectl("delete", "goosejobs", "--all", "-n", namespace, PATIENCE)
    cluster.helm("uninstall", "pool", "--wait", namespace=TEAM)
    cluster.helm("uninstall", "goosejobs", "--wait", namespace=SYSTEM)
    assert "goosejobs.goosejobs.dev" in cluster.helm("uninstall", "goosejobs-crds")
    cluster.kubectl("get", "crd", "goosejobs.goosejobs.dev")
    kinds = "deployments,pods,jobs,services,configmaps,serviceaccounts,roles,rolebindings"
    selector = "app.kubernetes.io/part-of=goosejobs,app.kubernetes.io/component!=test"
    for namespace in (SYSTEM, TEAM, "team-b"):
        left = ("get", kinds, "-n", namespace, "-l", selector, "-o", "name")
        await eventually(lambda left=left: not cluster.kubectl(*left).stdout)
    clusterwide = cluster.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name").stdout
    assert "goosejobs" not in clusterwide


def test_a_goosejob_that_is_deleted_without_an_operator_goes_as_the_readme_says(cluster: Cluster) -> None:
    held = goosejob("held", schedule="@daily")
    held["metadata"]["finalizers"] = ["goosejobs.dev/cleanup"]
    apply(cluster.kubectl, TEAM, held)
    cluster.kubectl("delete", "gj", "held", "-n", TEAM, "--wait=false")
    assert "deletionTimestamp" in get(cluster.kubectl, TEAM, "held")["metadata"]
    readme = (CHARTS / "goosejobs/README.md").read_text()
    patch = """-p '{"metadata":{"finalizers":null}}'"""
    assert patch in readme
    cluster.kubectl(
        *("patch", "gj", "held", "-n", TEAM, "--type=merge"), "-p", '{"metadata":{"finalizers":null}}'
    )
    assert cluster.kubectl("get", "gj", "-n", TEAM, "-o", "name").stdout == ""
