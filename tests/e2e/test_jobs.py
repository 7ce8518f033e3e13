"""Runs as Kubernetes Jobs on a real node, with real goose in the pods."""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, ScheduleHandle

from goosejobs.model import names
from support import job_pool, schedules
from support.job_pool import SWEPT_WITHIN, TOOLS, active_job, audited, jobs, pods
from support.objects import Kubectl, Object, apply, ended, get, goosejob, last_run, recipe
from support.pods import PATIENCE
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator", "job_worker")

KEPT_SECONDS = 7 * 24 * 3600


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, goose_image: str, node: Rig) -> Path:
    path = tmp_path_factory.mktemp("pool") / "template.yaml"
    return job_pool.write_template(path, goose_image, node.model_address)


@pytest.fixture(scope="session")
def job_worker(node: Rig, template: Path) -> Any:
    """A worker of the pool `jobs`, shared by the tests of this module: do not kill it."""
    with node.start_worker(pool="jobs", wait=True, **job_pool.environment(template)) as worker:
        yield worker


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address)


def job(name: str, prompt: str = "stub: answer hello", *, tools: bool = False, **spec: Any) -> Object:
    execution = {"pool": "jobs", **spec.pop("execution", {})}
    made = goosejob(name, prompt, execution=execution, **spec)
    if tools:
        made["spec"]["recipe"] = {"inline": recipe(prompt, extensions=TOOLS)}
    return made


async def running(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    """Wait until goose runs in a pod; the pod."""

    def runs() -> Object | None:
        found = pods(kubectl, namespace, name)
        return found[-1] if found and found[-1]["status"]["phase"] == "Running" else None

    pod: Object = await eventually(runs)
    return pod


async def failed(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    run = await ended(kubectl, eventually, namespace, name)
    assert run["outcome"] == "Failed", run
    return run


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

    await eventually(kept, timeout=SWEPT_WITHIN)


async def test_while_it_runs_the_status_names_the_job_and_kubectl_logs_shows_goose_live(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, job_pool.held("live", execution={"pool": "jobs"}))
    name = await eventually(lambda: active_job(kubectl, namespace, "live"))

    def log() -> str:
        return kubectl("logs", "-n", namespace, f"job/{name}").stdout

    await eventually(lambda: '"type":"message"' in log())
    assert '"type":"complete"' not in log()
    assert last_run(get(kubectl, namespace, "live")) is None
    job_pool.release(kubectl, namespace, await running(kubectl, eventually, namespace, "live"))
    run = await ended(kubectl, eventually, namespace, "live")
    assert (run["outcome"], run["jobName"]) == ("Succeeded", name)
    assert '"type":"complete"' in log()


async def test_a_retry_is_another_job_and_the_history_limits_say_how_long_both_are_kept(
    kubectl: Kubectl, eventually: Eventually, namespace: str, node: Rig
) -> None:
    retry = {"maxAttempts": 2, "initialIntervalSeconds": 1}
    apply(kubectl, namespace, job("again", "stub: fail 4 then answer at last", retry=retry))
    run = await ended(kubectl, eventually, namespace, "again")
    assert (run["outcome"], run["attempt"], run["result"]) == ("Succeeded", 2, "at last")
    first, second = jobs(kubectl, namespace, "again")
    assert first["metadata"]["name"].endswith("-1")
    assert run["jobName"] == second["metadata"]["name"]
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 2


async def test_a_run_that_the_history_does_not_keep_leaves_no_job(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, job("forgotten", successfulRunsHistoryLimit=0))
    run = await ended(kubectl, eventually, namespace, "forgotten")
    assert run["outcome"] == "Succeeded"
    await eventually(lambda: not jobs(kubectl, namespace, "forgotten"), timeout=SWEPT_WITHIN)


async def test_deleting_a_goosejob_ends_its_pod_before_the_goosejob_is_gone(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, job("deleted", "stub: hang"))
    await running(kubectl, eventually, namespace, "deleted")
    kubectl("delete", "-n", namespace, "gj", "deleted", PATIENCE)
    assert pods(kubectl, namespace, "deleted") == []
    assert jobs(kubectl, namespace, "deleted") == []


async def test_a_cancelled_run_is_killed_and_leaves_no_pod(
    kubectl: Kubectl, eventually: Eventually, namespace: str, temporal: Client
) -> None:
    apply(kubectl, namespace, job("cancelled", "stub: hang"))
    await running(kubectl, eventually, namespace, "cancelled")
    uid = get(kubectl, namespace, "cancelled")["metadata"]["uid"]
    workflow = temporal.get_workflow_handle(names.once_workflow_id(namespace, "cancelled", uid))
    await workflow.cancel()
    run = await ended(kubectl, eventually, namespace, "cancelled")
    assert (run["outcome"], run["reason"]) == ("Killed", "Cancelled")
    assert pods(kubectl, namespace, "cancelled") == []
    assert jobs(kubectl, namespace, "cancelled") == []


async def another_second(eventually: Eventually) -> None:
    """Temporal names a run by the second it was triggered in: two in one second are one run to us."""
    now = int(time.time())
    await eventually(lambda: int(time.time()) > now)


async def schedule_of(
    kubectl: Kubectl, eventually: Eventually, namespace: str, name: str, temporal: Client
) -> ScheduleHandle:
    id_ = await eventually(lambda: get(kubectl, namespace, name)["status"]["scheduleId"])
    return temporal.get_schedule_handle(id_)


@pytest.mark.invariant("I3")
async def test_replace_creates_the_new_runs_job_only_when_the_old_ones_pod_is_gone(
    kubectl: Kubectl, eventually: Eventually, namespace: str, temporal: Client, node: Rig
) -> None:
    policy: dict[str, Any] = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Replace"}
    apply(kubectl, namespace, job("replaced", "stub: fail 1 then hang", **policy))
    schedule = await schedule_of(kubectl, eventually, namespace, "replaced", temporal)
    await schedule.trigger()
    await running(kubectl, eventually, namespace, "replaced")
    await another_second(eventually)
    await schedule.trigger()
    await eventually(lambda: len(audited(node.audit_log, namespace, "create", "jobs")) == 2)
    _, second = audited(node.audit_log, namespace, "create", "jobs")
    gone = audited(node.audit_log, namespace, "delete", "pods")  # the kubelet's is the last: it is dead then
    assert gone
    assert max(gone) < second
    await running(kubectl, eventually, namespace, "replaced")
    # A record that is not taken at once is written later, and does not hold up the next run.
    await eventually(lambda: get(kubectl, namespace, "replaced")["status"]["counts"]["killed"] == 1)
    assert get(kubectl, namespace, "replaced")["status"]["counts"]["failed"] == 0
    kubectl("delete", "-n", namespace, "gj", "replaced", PATIENCE)


async def test_after_a_terminated_workflow_the_next_run_ends_the_old_ones_pod_first(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    temporal: Client,
    node: Rig,
    start_worker: Start,
    pool: str,
    template: Path,
) -> None:
    # The old run's worker, if it lived, would end the pod, too, and the next run waits only for one alive.
    first = start_worker(pool=pool, **job_pool.environment(template))
    execution = {"pool": pool}
    apply(kubectl, namespace, job("fenced", "stub: hang", schedule="0 0 1 1 *", execution=execution))
    schedule = await schedule_of(kubectl, eventually, namespace, "fenced", temporal)
    await schedule.trigger()
    await running(kubectl, eventually, namespace, "fenced")
    first.kill9()

    async def started() -> str:
        running = (await schedule.describe()).info.running_actions[0]
        assert isinstance(running, ScheduleActionExecutionStartWorkflow)
        return running.workflow_id

    await temporal.get_workflow_handle(await eventually(started)).terminate("by hand")
    obj = get(kubectl, namespace, "fenced")
    await eventually(lambda: schedules.idle(temporal, obj))  # else it skips what is triggered now
    await another_second(eventually)
    start_worker(pool=pool, **job_pool.environment(template))
    await schedule.trigger()
    await eventually(lambda: len(audited(node.audit_log, namespace, "create", "jobs")) == 2)
    _, second = audited(node.audit_log, namespace, "create", "jobs")
    assert max(audited(node.audit_log, namespace, "delete", "pods")) < second
    kubectl("delete", "-n", namespace, "gj", "fenced", PATIENCE)


async def test_a_job_that_somebody_deletes_is_lost_and_not_made_anew(
    kubectl: Kubectl, eventually: Eventually, namespace: str, node: Rig
) -> None:
    apply(kubectl, namespace, job("lost", "stub: hang"))
    await running(kubectl, eventually, namespace, "lost")
    [made] = jobs(kubectl, namespace, "lost")
    kubectl("delete", "-n", namespace, "job", made["metadata"]["name"], "--wait=false")
    run = await failed(kubectl, eventually, namespace, "lost")
    assert (run["reason"], run["attempt"]) == ("JobLost", 1)
    assert pods(kubectl, namespace, "lost") == []
    assert len(audited(node.audit_log, namespace, "create", "jobs")) == 1


async def test_an_image_that_is_not_there_is_named(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    image = {"image": "localhost/no/such:image", "imagePullPolicy": "Never"}
    retry = {"maxAttempts": 1}
    apply(kubectl, namespace, job("image", execution={"job": image}, retry=retry))
    run = await failed(kubectl, eventually, namespace, "image")
    assert run["reason"] == "ImagePullFailed"
    assert "localhost/no/such:image" in run["message"]
    assert pods(kubectl, namespace, "image") == []


async def test_a_goose_that_needs_more_memory_than_it_may_have_is_named(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    resources = {"limits": {"memory": "24Mi"}}
    apply(kubectl, namespace, job("oom", "stub: hang", execution={"job": {"resources": resources}}))
    run = await failed(kubectl, eventually, namespace, "oom")
    assert run["reason"] == "OOMKilled"
    assert "24Mi" in run["message"]


async def test_a_run_that_takes_too_long_is_ended_by_kubernetes(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, job("slow", "stub: hang", activeDeadlineSeconds=6))
    run = await failed(kubectl, eventually, namespace, "slow")
    assert (run["reason"], run["attempt"]) == ("DeadlineExceeded", 1)
    assert "6 s (spec.activeDeadlineSeconds)" in run["message"]
    assert [pod for pod in pods(kubectl, namespace, "slow") if pod["status"]["phase"] == "Running"] == []


async def test_a_pod_that_no_node_takes_is_given_up_after_the_start_timeout(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    goose_image: str,
    node: Rig,
    tmp_path: Path,
) -> None:
    # A pool of its own: on a slow machine other pods may take that long.
    hasty = job_pool.write_template(
        tmp_path / "template.yaml", goose_image, node.model_address, startTimeoutSeconds=20
    )
    start_worker(pool=pool, **job_pool.environment(hasty))
    execution = {"pool": pool, "job": {"nodeSelector": {"planet": "mars"}}}
    apply(kubectl, namespace, job("nowhere", execution=execution))
    run = await failed(kubectl, eventually, namespace, "nowhere")
    assert run["reason"] == "Unschedulable"
    assert jobs(kubectl, namespace, "nowhere") == []


async def test_a_secret_that_is_missing_is_named(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "nobodys", "key": "token"}}}]
    apply(kubectl, namespace, job("secretless", execution={"env": env}))
    run = await failed(kubectl, eventually, namespace, "secretless")
    assert run["reason"] == "ConfigNotFound"
    assert "nobodys" in run["message"]


async def test_an_evicted_pod_is_named(kubectl: Kubectl, eventually: Eventually, namespace: str) -> None:
    apply(kubectl, namespace, job("evicted", "stub: hang", retry={"maxAttempts": 1}))
    pod = await running(kubectl, eventually, namespace, "evicted")
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    kubectl("create", "--raw", path, "-f", "-", input=json.dumps(eviction))
    run = await failed(kubectl, eventually, namespace, "evicted")
    assert (run["reason"], run["attempt"]) == ("Evicted", 1)


async def test_what_the_api_server_refuses_is_told_in_its_words(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    apply(kubectl, namespace, quota)

    def is_enforced() -> bool:  # not as soon as the quota's status says so: the API server caches quotas
        probe = ("create", "job", "probe", "--image=none", "--dry-run=server")
        return "exceeded quota: none" in kubectl(*probe, "-n", namespace, check=False).stderr

    await eventually(is_enforced)
    apply(kubectl, namespace, job("refused", retry={"maxAttempts": 1}))
    run = await failed(kubectl, eventually, namespace, "refused")
    assert run["reason"] == "StartFailed"
    assert "exceeded quota: none" in run["message"]
    assert "jobName" not in run


async def test_a_line_of_50_mb_hides_nothing_that_follows(
    kubectl: Kubectl, eventually: Eventually, namespace: str, job_worker: Handle
) -> None:
    line = "head -c 50000000 /dev/zero | tr '\\\\0' x | tee /proc/1/fd/1 | wc -c; echo > /proc/1/fd/1"
    apply(kubectl, namespace, job("long-line", f"stub: shell {line}", tools=True))
    run = await ended(kubectl, eventually, namespace, "long-line")
    assert (run["outcome"], run["result"].strip()) == ("Succeeded", "50000000")
    assert psutil.Process(job_worker.pid).memory_info().rss < 300 * 1024 * 1024


async def test_a_pod_that_is_deleted_as_soon_as_goose_has_ended_loses_nothing(
    kubectl: Kubectl, eventually: Eventually, namespace: str, node: Rig
) -> None:
    apply(kubectl, namespace, job("gone", "stub: slow 15"))
    pod = await eventually(lambda: pods(kubectl, namespace, "gone")[0]["metadata"]["name"])
    watch = await asyncio.create_subprocess_exec(
        *node.platform.kubectl("wait", "-n", namespace, f"pod/{pod}", PATIENCE),
        "--for=jsonpath={.status.phase}=Succeeded",
        stdout=subprocess.DEVNULL,
    )
    assert await watch.wait() == 0
    kubectl("delete", "-n", namespace, "pod", pod, "--force", "--grace-period=0")
    run = await ended(kubectl, eventually, namespace, "gone")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)
    assert run["result"].endswith("here is its end.")
