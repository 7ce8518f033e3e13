"""The record of a run when the API server does not take it as it is."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from goosejobs.clients.errors import Rejected
from goosejobs.clients.kube import Kube
from goosejobs.model import names
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import EndedAttempt, GooseJobRef, RecordRequest, RunInfo, RunOutcome, Trigger
from goosejobs.record import announced, recorded
from goosejobs_worker.workflow import RECORD, GooseJobRecord
from support.goose_runs import closed_port
from support.kube_proxy import At, KubeProxy, kube_proxy
from support.lifecycle_watch import Recording
from support.objects import Kubectl, Object, apply, ended, get, goosejob, is_true, last_run
from support.rig import Handle, Rig
from support.run_history import handle

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

STATUS = "/status.*fieldManager=goosejobs-worker"
ALWAYS = 1_000_000
ETCD_BYTES = 1536 * 1024
"""What etcd takes in one request."""


@pytest.fixture
def proxy(platform: Rig, tmp_path: Path) -> Iterator[KubeProxy]:
    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def kube(proxy: KubeProxy) -> AsyncIterator[Kube]:
    async with proxy.client() as kube:
        yield kube


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


def refusal(status: int, message: str) -> Callable[[], web.Response]:
    return lambda: web.json_response({"kind": "Status", "message": message}, status=status)


def ref_of(kubectl: Kubectl, namespace: str, name: str) -> GooseJobRef:
    uid = get(kubectl, namespace, name)["metadata"]["uid"]
    return GooseJobRef(namespace=namespace, name=name, uid=uid)


def news(ref: GooseJobRef, *, ago: timedelta = timedelta(0), number: int = 0, **more: Any) -> RecordRequest:
    """The end of a run that failed."""
    finish = datetime.now(UTC) - ago + timedelta(seconds=number)
    return RecordRequest(
        run=RunInfo(
            goosejob=ref,
            id=f"run-{number}",
            workflow_id="w",
            trigger=Trigger.MANUAL,
            scheduled_time=finish,
            start_time=finish,
        ),
        outcome=RunOutcome(
            outcome=Outcome.FAILED,
            reason=Reason.RATE_LIMITED,
            message=more.pop("message", ""),
            start_time=finish,
            finish_time=finish,
        ),
        **more,
    )


@pytest.mark.usefixtures("operator")
async def test_a_record_that_is_refused_for_what_is_in_it_says_at_least_how_the_run_ended(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    proxy: KubeProxy,
    temporal: Client,
) -> None:
    start_worker(pool=pool, KUBECONFIG=str(proxy.kubeconfig), GOOSEJOBS_KILL_GRACE_SECONDS="0")
    apply(kubectl, namespace, goosejob("refused", "stub: hang", execution={"pool": pool}))
    await eventually(lambda: get(kubectl, namespace, "refused")["status"].get("active"))
    proxy.plan(At.REQUEST, "PATCH", STATUS, refusal(422, "status.lastRun.session: Too long"))
    await handle(temporal, kubectl, namespace, "refused").cancel()
    run = await ended(kubectl, eventually, namespace, "refused")
    assert (run["outcome"], run["reason"], "session" in run) == ("Killed", "Cancelled", False)
    assert run["message"].startswith("the full record was refused: ")
    assert run["message"].endswith("status.lastRun.session: Too long")
    assert get(kubectl, namespace, "refused")["status"]["active"] == []


async def test_a_status_with_everything_at_its_bounds_is_taken(
    kube: Kube, kubectl: Kubectl, namespace: str, platform: Rig
) -> None:
    limits: dict[str, Any] = {"successfulRunsHistoryLimit": 25, "failedRunsHistoryLimit": 25}
    apply(kubectl, namespace, goosejob("wide", schedule="@yearly", suspend=True, **limits))
    ref, wide, now = ref_of(kubectl, namespace, "wide"), "\N{GRINNING FACE}" * 5000, datetime.now(UTC)
    attempts = [
        EndedAttempt(
            attempt=number,
            start_time=now,
            finish_time=now,
            outcome=Outcome.FAILED,
            reason=Reason.RATE_LIMITED,
            message=wide,
            job_name="j" * 63,
        )
        for number in range(1, 21)
    ]

    def fill(obj: Object) -> Object:
        """All at once: an operator that looks at it takes out what no workflow stands behind."""
        full = obj
        for number in range(32):
            busy = {"id": f"active-{number}", "workflow_id": "w" * 512}
            run = news(ref, number=number).run.model_copy(update=busy)
            full = full | {"status": announced(full, run, 21, "w" * 300, now, ended=attempts)}
        for number in range(30):
            told = news(ref, number=number, message=wide, result=wide, session="s" * 253, attempts=attempts)
            full = full | {"status": recorded(full, told, now)}
        return dict(full["status"])

    with Recording(platform, namespace, "wide") as seen:
        assert await kube.write_runs(ref, fill)
    obj = next(each for each in seen.objects if each["status"].get("active"))
    status = obj["status"]
    assert (len(status["active"]), len(status["recentRuns"])) == (32, 25)
    assert {len(run["attempts"]) for run in (*status["active"], status["lastRun"])} == {10}
    assert len(json.dumps(obj, ensure_ascii=False).encode()) < ETCD_BYTES * 2 / 3


async def test_a_record_for_which_there_is_no_room_is_refused_and_a_minimal_one_is_not(
    kube: Kube, kubectl: Kubectl, namespace: str
) -> None:
    """A GooseJob that is nearly as large as etcd takes one."""
    sizes = [*[65536] * 23, 48000]
    values = [{"name": f"p{number}", "value": "x" * size} for number, size in enumerate(sizes)]
    apply_large(kubectl, namespace, goosejob("large", suspend=True, parameters=values))
    ref, now, wide = ref_of(kubectl, namespace, "large"), datetime.now(UTC), "\N{GRINNING FACE}" * 5000
    full = news(ref, message=wide, result=wide)
    with pytest.raises(Rejected, match="too large"):
        await kube.write_runs(ref, partial(recorded, news=full, now=now))
    assert await kube.write_runs(ref, partial(recorded, news=news(ref), now=now))


def apply_large(kubectl: Kubectl, namespace: str, obj: Any) -> None:
    """Without a copy of itself in an annotation."""
    kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(obj))


async def start_record(temporal: Client, pool: str, told: RecordRequest) -> WorkflowHandle[Any, Any]:
    """As a run does that cannot wait for the API server."""
    return await temporal.start_workflow(
        names.RECORD_WORKFLOW_TYPE,
        told,
        id=f"goosejob/{uuid.uuid4()}/record",
        task_queue=names.task_queue(pool),
    )


async def test_a_record_that_may_not_be_written_is_given_up_in_the_end_with_its_reason(
    kubectl: Kubectl,
    namespace: str,
    start_worker: Start,
    pool: str,
    proxy: KubeProxy,
    temporal: Client,
) -> None:
    proxy.plan(At.REQUEST, "PATCH", STATUS, refusal(403, "the worker may not"), times=ALWAYS)
    worker = start_worker(pool=pool, KUBECONFIG=str(proxy.kubeconfig))
    apply(kubectl, namespace, goosejob("forbidden", suspend=True))
    told = news(ref_of(kubectl, namespace, "forbidden"), ago=timedelta(hours=2))
    with pytest.raises(WorkflowFailureError) as failed:
        await (await start_record(temporal, pool, told)).result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("Forbidden", True)
    assert "the worker may not" in cause.message
    assert "gave a run's record up" in worker.log


@pytest.mark.usefixtures("operator")
async def test_a_record_that_may_be_written_again_soon_enough_is_written(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    proxy: KubeProxy,
    temporal: Client,
) -> None:
    proxy.plan(At.REQUEST, "PATCH", STATUS, refusal(403, "the worker may not"), times=3)
    start_worker(pool=pool, KUBECONFIG=str(proxy.kubeconfig))
    apply(kubectl, namespace, goosejob("allowed", suspend=True, execution={"pool": "nobody"}))
    # From then on the operator has nothing to write there: a conflict would be one request more.
    await eventually(lambda: is_true(get(kubectl, namespace, "allowed"), "Suspended"))
    await (await start_record(temporal, pool, news(ref_of(kubectl, namespace, "allowed")))).result()
    assert (last_run(get(kubectl, namespace, "allowed")) or {})["reason"] == "RateLimited"
    assert proxy.seen("PATCH", "/status") == 4


@activity.defn(name=RECORD)
async def to_nobody(news: RecordRequest) -> None:
    """Write to an API server that is away."""
    nowhere = Configuration(host=f"http://127.0.0.1:{closed_port()}")
    async with Kube(ApiClient(configuration=nowhere), 1) as kube:
        await kube.write_runs(news.run.goosejob, partial(recorded, news=news, now=datetime.now(UTC)))


async def test_a_record_that_waits_for_long_starts_anew_before_its_history_is_too_long(
    eventually: Eventually, temporal: Client, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goosejobs_worker.workflow.RECORD_ROUND", timedelta(seconds=1))
    async with Worker(
        temporal,
        task_queue=names.task_queue(pool),
        workflows=[GooseJobRecord],
        activities=[to_nobody],
        workflow_runner=UnsandboxedWorkflowRunner(),  # in its sandbox it has a module of its own
    ):
        first = await start_record(temporal, pool, news(GooseJobRef(namespace="a", name="b", uid="c")))
        latest = temporal.get_workflow_handle(first.id)

        async def is_another() -> bool:
            return (await latest.describe()).run_id != first.first_execution_run_id

        await eventually(is_another)
        one = temporal.get_workflow_handle(first.id, run_id=first.first_execution_run_id)
        assert (await one.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW
        await latest.terminate()
