"""A worker killed at each step of a run in a pod: there is one record, and one Job for each attempt."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from temporalio.client import Client

from support import job_pool
from support.job_pool import audited, jobs, pods
from support.kube_proxy import At, Cut, KubeProxy, kube_proxy
from support.objects import Kubectl, Object, apply, ended, get, goosejob
from support.pods import PATIENCE
from support.rig import Handle, Rig
from support.run_history import handle
from support.schedules import schedule_id

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

HEARTBEAT_SECONDS = "5"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, goose_image: str, node: Rig) -> dict[str, str]:
    path = tmp_path_factory.mktemp("pool") / "template.yaml"
    job_pool.write_template(path, goose_image, node.model_address)
    return {**job_pool.environment(path), "GOOSEJOBS_JOB_HEARTBEAT_SECONDS": HEARTBEAT_SECONDS}


@pytest.fixture
def proxy(node: Rig, tmp_path: Path) -> Iterator[KubeProxy]:
    with kube_proxy(node.platform.control_plane, tmp_path) as proxy:
        yield proxy


def job(name: str, pool: str, prompt: str) -> Object:
    return goosejob(name, prompt, execution={"pool": pool})


async def told(client: Client, obj: Object) -> bytes:
    """What Temporal was told of a run's attempt so far, and tells the worker that goes on with it."""
    run = await client.get_workflow_handle(f"{schedule_id(obj)}/once").describe()
    return run.raw_description.pending_activities[0].heartbeat_details.SerializeToString()


STEPS = {
    "before-create": (At.REQUEST, "POST", r"/jobs$"),
    "after-create": (At.ANSWER, "POST", r"/jobs$"),
    "while-running": (At.ANSWER, "GET", r"/log\?"),
    "after-finish": (At.END, "GET", r"/log\?"),
    "before-record": (At.REQUEST, "PATCH", r"/goosejobs/[^/]+/status"),
    "after-record": (At.ANSWER, "PATCH", r"/goosejobs/[^/]+/status"),
}
"""When the worker is killed: around which of its requests.

Of those to the status it is the record, which is the first one after the Job's: those before announce the
run, more than once where somebody else writes the status meanwhile.
"""


@pytest.mark.invariant("I6")
@pytest.mark.invariant("I7")
@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_at_any_step_leaves_one_job_and_one_record(
    step: str,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    proxy: KubeProxy,
    node: Rig,
    client: Client,
) -> None:
    first = start_worker(pool=pool, **environment, KUBECONFIG=str(proxy.kubeconfig))

    def kill() -> NoReturn:
        first.kill9()
        raise Cut

    at, method, path = STEPS[step]
    if method == "PATCH":
        proxy.plan(At.ANSWER, "POST", r"/jobs$", lambda: proxy.plan(at, method, path, kill))
    else:
        proxy.plan(at, method, path, kill)
    apply(kubectl, namespace, job("killed", pool, "stub: slow 4"))
    await eventually(lambda: not first.alive)
    start_worker(pool=pool, **environment)
    run = await ended(kubectl, eventually, namespace, "killed")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert run["result"].endswith("here is its end.")
    await handle(client, kubectl, namespace, "killed").result()  # until then it may be recorded once more
    status = get(kubectl, namespace, "killed")["status"]
    assert (status["counts"]["succeeded"], len(status["recentRuns"]), status["active"]) == (1, 1, [])
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1
    assert len(pods(kubectl, namespace, "killed")) == 1


async def test_a_worker_told_to_stop_leaves_its_jobs_to_the_next_one_at_once(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    node: Rig,
    client: Client,
) -> None:
    long_heartbeat = {**environment, "GOOSEJOBS_JOB_HEARTBEAT_SECONDS": "300"}
    first = start_worker(pool=pool, **long_heartbeat)
    apply(kubectl, namespace, job_pool.held("handed-over", execution={"pool": pool}))
    await eventually(lambda: pods(kubectl, namespace, "handed-over")[0]["status"]["phase"] == "Running")
    obj = get(kubectl, namespace, "handed-over")
    await eventually(lambda: told(client, obj))  # else the next worker would not know that there is a Job
    second = start_worker(pool=pool, **long_heartbeat)
    first.stop()
    await eventually(lambda: "found the Job again" in second.log)  # long before a heartbeat is missed
    job_pool.release(kubectl, namespace, pods(kubectl, namespace, "handed-over")[0])
    run = await ended(kubectl, eventually, namespace, "handed-over")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1


@pytest.mark.invariant("I8")
async def test_a_frozen_worker_that_wakes_leaves_alone_what_another_one_goes_on_with(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    node: Rig,
    client: Client,
) -> None:
    frozen = start_worker(pool=pool, **environment)
    apply(kubectl, namespace, job_pool.held("frozen", execution={"pool": pool}))
    await eventually(lambda: pods(kubectl, namespace, "frozen")[0]["status"]["phase"] == "Running")
    obj = get(kubectl, namespace, "frozen")
    await eventually(lambda: told(client, obj))  # else the next worker would not know that there is a Job
    frozen.freeze()
    second = start_worker(pool=pool, **environment)
    # Temporal gives it to the frozen one again and again, until none of its polls is left.
    await eventually(lambda: "found the Job again" in second.log, timeout=180)
    frozen.thaw()
    await eventually(lambda: "left the Job to another worker" in frozen.log)
    job_pool.release(kubectl, namespace, pods(kubectl, namespace, "frozen")[0])
    run = await ended(kubectl, eventually, namespace, "frozen")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1
    assert get(kubectl, namespace, "frozen")["status"]["counts"]["succeeded"] == 1


async def test_a_job_deleted_while_no_worker_lived_is_lost_and_not_made_anew(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    node: Rig,
    client: Client,
) -> None:
    first = start_worker(pool=pool, **environment)
    apply(kubectl, namespace, job("lost", pool, "stub: hang"))
    await eventually(lambda: pods(kubectl, namespace, "lost")[0]["status"]["phase"] == "Running")
    obj = get(kubectl, namespace, "lost")
    await eventually(lambda: told(client, obj))  # else it would not be known that there was a Job
    first.kill9()
    [made] = jobs(kubectl, namespace, "lost")
    kubectl("delete", "-n", namespace, "job", made["metadata"]["name"], PATIENCE)
    start_worker(pool=pool, **environment)
    run = await ended(kubectl, eventually, namespace, "lost")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "JobLost", 1)
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1


async def test_what_goose_said_last_is_known_though_worker_and_pod_are_gone(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    proxy: KubeProxy,
    client: Client,
) -> None:
    first = start_worker(pool=pool, **environment, KUBECONFIG=str(proxy.kubeconfig))
    for kind in ("jobs", "pods"):  # both are to fall silent: one that is not answered yet would not
        await eventually(lambda kind=kind: proxy.answering(rf"/{kind}\?.*watch=1"))
    silent = threading.Event()

    def hold_back() -> None:
        proxy.mute(r"watch=1")  # so that the worker knows goose's words, and not that its container has ended
        proxy.loop.call_soon_threadsafe(silent.set)

    proxy.plan(At.ANSWER, "GET", r"/log\?", hold_back)
    apply(kubectl, namespace, job_pool.held("unseen", execution={"pool": pool}))
    await eventually(silent.is_set)
    job_pool.release(kubectl, namespace, pods(kubectl, namespace, "unseen")[0])
    await eventually(lambda: pods(kubectl, namespace, "unseen")[0]["status"]["phase"] == "Succeeded")
    obj = get(kubectl, namespace, "unseen")

    async def is_kept() -> bool:
        return b"released" in await told(client, obj)

    await eventually(is_kept)
    first.kill9()
    [made] = jobs(kubectl, namespace, "unseen")
    kubectl("delete", "-n", namespace, "job", made["metadata"]["name"], PATIENCE)
    start_worker(pool=pool, **environment)
    run = await ended(kubectl, eventually, namespace, "unseen")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert run["result"].strip() == "released"
