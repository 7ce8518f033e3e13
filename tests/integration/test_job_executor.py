"""A worker of a pool that runs Jobs, before real API servers that refuse, break off, and forget.

There is no node here, and no Job controller: a Job stays as it was made, and what becomes of pods is shown by
tests/e2e.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiohttp import web
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from goosejobs.model import names
from goosejobs_worker import runs
from goosejobs_worker.executors.kubernetes.jobs import Jobs
from goosejobs_worker.executors.kubernetes.retention import Retention
from goosejobs_worker.executors.kubernetes.watch import Watch
from support import job_pool
from support.job_pool import audited, jobs
from support.kube_proxy import At, Cut, KubeProxy, kube_proxy
from support.objects import Kubectl, Object, apply, ended, get, goosejob, last_run, recipe
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

MANY = 100
HEARTBEAT = 20
"""Seconds: a worker that stands still for a while keeps its runs."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    template = job_pool.write_template(tmp_path / "template.yaml", "nowhere/goose:1", "http://127.0.0.1:1")
    return {**job_pool.environment(template), "GOOSEJOBS_JOB_HEARTBEAT_SECONDS": str(HEARTBEAT)}


@pytest.fixture
def proxy(platform: Rig, tmp_path: Path) -> Iterator[KubeProxy]:
    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def start_through(
    start_worker: Start, pool: str, environment: dict[str, str], proxy: KubeProxy
) -> Callable[[], Handle]:
    """A worker of the test's pool, behind the proxy."""
    return lambda: start_worker(pool=pool, **environment, KUBECONFIG=str(proxy.kubeconfig))


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


def job(name: str, pool: str, **spec: Any) -> Object:
    return goosejob(name, execution={"pool": pool}, **spec)


def refusal(status: int, message: str) -> Callable[[], web.Response]:
    return lambda: web.json_response({"kind": "Status", "message": message}, status=status)


def cut() -> NoReturn:
    raise Cut


@pytest.mark.invariant("I7")
async def test_a_job_whose_creation_nobody_heard_of_is_found_and_not_made_twice(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
    platform: Rig,
) -> None:
    proxy.plan(At.ANSWER, "POST", "/jobs$", cut)
    worker = start_through()
    apply(kubectl, namespace, job("unheard", pool))
    await eventually(lambda: "the Job is there" in worker.log)
    assert proxy.seen("POST", "/jobs") >= 2
    made = await eventually(lambda: audited(platform.audit_log, namespace, "create", "jobs"))
    assert len(made) == 1
    # The operator may not know of the worker yet: it asks again before it ends a run in its stead.
    kubectl("delete", "-n", namespace, "gj", "unheard", "--timeout=180s")
    assert jobs(kubectl, namespace, "unheard") == []


async def test_an_api_server_that_cannot_create_it_now_is_asked_again(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
) -> None:
    proxy.plan(At.REQUEST, "POST", "/jobs$", refusal(500, "etcd has no leader"), times=2)
    start_through()
    apply(kubectl, namespace, job("patient", pool))
    [made] = await eventually(lambda: jobs(kubectl, namespace, "patient"))
    assert made["metadata"]["labels"][names.ATTEMPT_LABEL] == "1"
    assert proxy.seen("POST", "/jobs") >= 3
    kubectl("delete", "-n", namespace, "gj", "patient", "--timeout=180s")


async def test_an_attempt_that_no_worker_can_cope_with_is_given_up_in_the_end(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
) -> None:
    proxy.plan(At.REQUEST, "POST", "/jobs$", lambda: web.json_response({"kind": "Job"}), times=1000)
    start_through()
    apply(kubectl, namespace, job("odd", pool, retry={"maxAttempts": 1}))
    run = await eventually(lambda: last_run(get(kubectl, namespace, "odd")), timeout=300)
    assert (run["outcome"], run["reason"]) == ("Failed", "StartFailed")
    assert "failed at it 8 times or more, at last with KeyError" in run["message"]


@pytest.mark.parametrize("status", [403, 422])
async def test_a_refusal_is_told_in_the_api_servers_words(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
    status: int,
) -> None:
    proxy.plan(At.REQUEST, "POST", "/jobs$", refusal(status, "policy no-agents: not on a Sunday"))
    start_through()
    apply(kubectl, namespace, job("refused", pool, retry={"maxAttempts": 1}))
    run = await ended(kubectl, eventually, namespace, "refused")
    assert (run["outcome"], run["reason"]) == ("Failed", "StartFailed")
    assert "policy no-agents: not on a Sunday" in run["message"]
    assert "jobName" not in run


@pytest.mark.invariant("I7")
async def test_a_job_of_the_same_name_that_is_somebody_elses_is_not_taken(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
) -> None:
    apply(kubectl, namespace, job("mine", pool, suspend=True, retry={"maxAttempts": 1}))
    uid = get(kubectl, namespace, "mine")["metadata"]["uid"]
    name = names.job_name("mine", uid, "once", 1)
    kubectl("create", "-n", namespace, "job", name, "--image=nowhere")
    start_worker(pool=pool, **environment)
    kubectl("patch", "-n", namespace, "gj", "mine", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    run = await ended(kubectl, eventually, namespace, "mine")
    assert (run["outcome"], run["reason"]) == ("Failed", "StartFailed")
    assert name in run["message"]
    kubectl("get", "-n", namespace, "job", name)


async def test_a_recipe_that_needs_files_of_the_worker_is_refused_with_a_sentence(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
) -> None:
    start_worker(pool=pool, **environment)
    obj = job("files", pool, parameters=[{"name": "notes", "value": "notes.txt"}])
    wanted = {"key": "notes", "input_type": "file", "requirement": "required", "description": "d"}
    obj["spec"]["recipe"]["inline"] = recipe("{{ notes }}", parameters=[wanted])
    apply(kubectl, namespace, obj)
    run = await ended(kubectl, eventually, namespace, "files")
    assert (run["outcome"], run["reason"]) == ("Failed", "InvalidRecipe")
    assert "needs a recipe folder" in run["message"]


async def test_a_run_that_cannot_be_announced_still_knows_how_its_pool_runs(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
    temporal: Client,
) -> None:
    away = refusal(503, "the API server is away")
    worker = start_through()

    def away_until_then() -> web.Response | None:
        return None if "the Job is there" in worker.log else away()

    proxy.plan(At.REQUEST, "GET", r"/goosejobs/", away_until_then, times=100_000)
    apply(kubectl, namespace, job("unannounced", pool))
    await eventually(lambda: "the Job is there" in worker.log)
    assert "begins unannounced" in worker.log
    uid = get(kubectl, namespace, "unannounced")["metadata"]["uid"]
    workflow = temporal.get_workflow_handle(names.once_workflow_id(namespace, "unannounced", uid))
    events = (await workflow.fetch_history()).events
    [asked] = [e for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    terms = asked.activity_task_scheduled_event_attributes
    assert terms.heartbeat_timeout.ToSeconds() == HEARTBEAT
    assert terms.retry_policy.maximum_attempts == 0
    kubectl("delete", "-n", namespace, "gj", "unannounced", "--timeout=180s")


async def test_a_job_is_looked_after_when_its_workflow_is_gone(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    start_through: Callable[[], Handle],
    temporal: Client,
) -> None:
    worker = start_through()
    for name in ("terminated", "runs"):
        apply(kubectl, namespace, job(name, pool))
        await eventually(lambda name=name: jobs(kubectl, namespace, name))
    worker.kill9()
    uid = get(kubectl, namespace, "terminated")["metadata"]["uid"]
    await temporal.get_workflow_handle(names.once_workflow_id(namespace, "terminated", uid)).terminate()
    async with proxy.client() as kube, Watch(kube, pool, [namespace]) as watch:
        await watch.listed()
        retention = Retention(Jobs(kube), watch, 60, lambda id_: runs.is_open(temporal, id_), young=0)

        async def swept() -> bool:
            await retention.sweep()
            return not jobs(kubectl, namespace, "terminated")

        await eventually(swept)
    assert len(jobs(kubectl, namespace, "runs")) == 1


async def test_a_workflow_started_by_hand_with_nonsense_fails_and_says_so(
    start_worker: Start, pool: str, environment: dict[str, str], temporal: Client
) -> None:
    start_worker(pool=pool, **environment)
    with pytest.raises(WorkflowFailureError) as wrong:
        await temporal.execute_workflow(
            names.WORKFLOW_TYPE, {"goosejob": "me"}, id=f"nonsense-{pool}", task_queue=names.task_queue(pool)
        )
    assert isinstance(wrong.value.cause, ApplicationError)
    assert "goosejob" in str(wrong.value.cause)


async def test_a_worker_says_how_it_serves_and_what_keeps_it_from_serving(
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    proxy: KubeProxy,
    eventually: Eventually,
) -> None:
    proxy.plan(At.REQUEST, "GET", r"/pods\?", refusal(403, "pods is forbidden"), times=10_000)
    worker = start_worker(pool=pool, wait=False, **environment, KUBECONFIG=str(proxy.kubeconfig))
    await eventually(lambda: "pods is forbidden" in worker.log)
    worker.stop()
    fine = start_worker(pool=pool, **environment, GOOSEJOBS_NAMESPACES="team-a,team-b")
    assert f"polling goosejobs-{pool}: mode Job, namespaces team-a, team-b" in fine.log


async def test_a_namespace_that_the_worker_may_not_look_into_keeps_no_other_from_being_served(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    proxy: KubeProxy,
) -> None:
    closed = refusal(403, "no RoleBinding in team-b")
    proxy.plan(At.REQUEST, "GET", r"/namespaces/team-b/", closed, times=10_000)
    served = {"GOOSEJOBS_NAMESPACES": f"team-b,{namespace}", "KUBECONFIG": str(proxy.kubeconfig)}
    worker = start_worker(pool=pool, **environment, **served)
    assert "no RoleBinding in team-b" in worker.log
    apply(kubectl, namespace, job("served", pool))
    await eventually(lambda: "the Job is there" in worker.log)
    kubectl("delete", "-n", namespace, "gj", "served", "--timeout=180s")


@pytest.mark.invariant("I6")
async def test_a_hundred_jobs_in_flight_are_all_found_again_by_the_next_worker(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    environment: dict[str, str],
    platform: Rig,
) -> None:
    # So nobody is taken for dead meanwhile; what Temporal still sends to the first is missed after it.
    environment["GOOSEJOBS_JOB_HEARTBEAT_SECONDS"] = "120"
    first = start_worker(pool=pool, **environment)
    apply(kubectl, namespace, *(job(f"flight-{number}", pool) for number in range(MANY)))
    await eventually(lambda: first.log.count("the Job is there") == MANY, timeout=300)
    second = start_worker(pool=pool, **environment)
    first.stop()
    await eventually(lambda: second.log.count("found the Job again") == MANY, timeout=300)
    assert len(kubectl("get", "jobs", "-n", namespace, "-o", "name").stdout.split()) == MANY
    # Fewer, where the API server had made one when the worker had stopped waiting for its answer.
    assert 0 < len(audited(platform.audit_log, namespace, "create", "jobs")) <= MANY
