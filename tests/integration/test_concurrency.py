"""Runs that meet: what each concurrency policy makes of scheduled runs and of those that are asked for."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.schedule.v1 import SchedulePatch, TriggerImmediatelyRequest
from temporalio.api.workflowservice.v1 import PatchScheduleRequest
from temporalio.client import Client

from goosejobs.model.status import MAX_QUEUED
from support import schedules
from support.events import told
from support.objects import Kubectl, Object, apply, get, goosejob, is_true
from support.requests import KILL, RUN, answer, ask
from support.schedules import schedule_id

Eventually = Callable[..., Awaitable[Any]]
Start = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("operator")

HANG = "stub: hang"
QUICK_KILL = {"GOOSEJOBS_KILL_GRACE_SECONDS": "1"}


def yearly(name: str, policy: str, pool: str = "nobody", prompt: str = HANG, **spec: Any) -> Object:
    """A GooseJob that is never due while a test lasts."""
    execution = {"pool": pool}
    spec = {"schedule": "0 0 1 1 *", **spec}
    return goosejob(name, prompt, concurrencyPolicy=policy, execution=execution, **spec)


def active(kubectl: Kubectl, namespace: str, name: str) -> list[str]:
    """The ids of its active runs, oldest first."""
    return [each["id"] for each in get(kubectl, namespace, name)["status"].get("active", [])]


def count(kubectl: Kubectl, namespace: str, name: str, counter: str) -> int:
    return int(get(kubectl, namespace, name)["status"].get("counts", {}).get(counter, 0))


def run_id(said: Object) -> str:
    """The id of the run that a request was answered with."""
    at = datetime.fromisoformat(said["workflowId"][-20:])
    return at.strftime("%Y%m%d-%H%M%S")


@pytest.fixture
def asked(kubectl: Kubectl, eventually: Eventually, namespace: str) -> Callable[..., Awaitable[Object]]:
    """`await asked(name, token)`: ask for a run, and wait for the answer."""

    async def ask_for(name: str, token: str, annotation: str = RUN) -> Object:
        ask(kubectl, namespace, name, annotation, token)
        kind = "run" if annotation == RUN else "kill"
        return await answer(kubectl, eventually, namespace, name, kind, token)

    return ask_for


async def ready(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    found: Object = await eventually(
        lambda: (o := get(kubectl, namespace, name)) and is_true(o, "Ready") and o
    )
    return found


async def test_what_is_skipped_is_told_although_each_run_that_ends_moves_the_next_due_time_on(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    job = goosejob("often", "stub: slow 3", schedule="@every 2s", execution={"pool": pool})
    apply(kubectl, namespace, job)
    await eventually(lambda: count(kubectl, namespace, "often", "skipped") >= 2)
    await eventually(lambda: "RunsSkipped" in told(kubectl, namespace, "often"))


@pytest.mark.parametrize(("policy", "most"), [("Allow", 3), ("Replace", 1)])
async def test_a_due_time_starts_a_run_beside_the_active_one_or_in_its_place(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    policy: str,
    most: int,
) -> None:
    start_worker(pool=pool, **QUICK_KILL)
    apply(kubectl, namespace, yearly("due", policy, pool, schedule="@every 5s"))
    seen: list[list[str]] = []

    def started(number: int) -> bool:
        """So many runs have started that are not those before."""
        seen.append(active(kubectl, namespace, "due"))
        return len({id_ for ids in seen for id_ in ids}) >= number

    await eventually(lambda: started(3))
    assert max(map(len, seen)) >= most if policy == "Allow" else max(map(len, seen)) == most
    assert count(kubectl, namespace, "due", "skipped") == 0
    assert (count(kubectl, namespace, "due", "killed") >= 2) == (policy == "Replace")


async def test_a_due_time_is_queued_behind_a_run_that_was_asked_for_and_the_length_is_in_the_status(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    asked: Callable[..., Awaitable[Object]],
) -> None:
    start_worker(pool=pool, **QUICK_KILL)
    apply(kubectl, namespace, yearly("queue", "Queue", pool, schedule="@every 15s"))
    order: list[str] = await eventually(lambda: active(kubectl, namespace, "queue"))

    async def next_one() -> None:
        """End the active run, and wait for the one after it."""
        await asked("queue", order[-1], KILL)
        ids = await eventually(
            lambda: (ids := active(kubectl, namespace, "queue")) not in ([], order[-1:]) and ids
        )
        order.extend(ids)

    said = await asked("queue", "between")
    assert said["answer"] == "Queued"
    await eventually(lambda: count(kubectl, namespace, "queue", "queued") >= 2)
    while order[-1] != run_id(said):  # first those that were due before, on a slow machine more than one
        assert len(order) < 10, order
        await next_one()
    await next_one()
    due = [id_ for id_ in order if id_ != run_id(said)]
    assert due == sorted(set(due))
    assert due[0] < run_id(said) < due[-1]


async def test_the_length_of_the_queue_follows_it_down_to_nothing(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    asked: Callable[..., Awaitable[Object]],
) -> None:
    start_worker(pool=pool, **QUICK_KILL)
    apply(kubectl, namespace, yearly("queue", "Queue", pool))
    await ready(kubectl, eventually, namespace, "queue")
    ids = [run_id(await asked("queue", token)) for token in "abc"]
    for position, id_ in enumerate(ids):
        await eventually(lambda id_=id_: active(kubectl, namespace, "queue") == [id_])
        left = len(ids) - position - 1
        await eventually(lambda left=left: count(kubectl, namespace, "queue", "queued") == left)
        await asked("queue", id_, KILL)
    await eventually(lambda: count(kubectl, namespace, "queue", "killed") == len(ids))


async def test_to_end_all_runs_leaves_out_those_that_wait_and_the_queue_works_afterwards(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    client: Client,
    start_worker: Start,
    pool: str,
    asked: Callable[..., Awaitable[Object]],
) -> None:
    start_worker(pool=pool, **QUICK_KILL)
    apply(kubectl, namespace, yearly("queue", "Queue", pool))
    obj = await ready(kubectl, eventually, namespace, "queue")
    for token in "abc":
        await asked("queue", token)
    await eventually(lambda: active(kubectl, namespace, "queue"))
    said = await asked("queue", "all", KILL)
    assert (said["answer"], len(said["workflowIds"])) == ("Cancelled", 1)
    await eventually(lambda: not active(kubectl, namespace, "queue"))

    def counted() -> bool:
        """Those that ended are the worker's to tell, those that were left out the operator's."""
        counts = get(kubectl, namespace, "queue")["status"]["counts"]
        return (counts["queued"], counts["skipped"], counts["killed"]) == (0, 2, 1)

    await eventually(counted)
    await eventually(lambda: schedules.idle(client, obj))
    again = [await asked("queue", token) for token in "de"]
    assert [each["answer"] for each in again] == ["Started", "Queued"]
    assert "ScheduleRestored" not in told(kubectl, namespace, "queue")


async def test_a_changed_policy_holds_for_what_waits_and_for_what_is_active(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    asked: Callable[..., Awaitable[Object]],
) -> None:
    start_worker(pool=pool, **QUICK_KILL)

    async def change(policy: str) -> None:
        apply(kubectl, namespace, yearly("edited", policy, pool))
        await ready(kubectl, eventually, namespace, "edited")

    def has(**wanted: int) -> bool:
        counts = get(kubectl, namespace, "edited")["status"]["counts"]
        return all(counts[name] == number for name, number in wanted.items())

    await change("Queue")
    first = run_id(await asked("edited", "first"))
    assert (await asked("edited", "second"))["answer"] == "Queued"
    await eventually(lambda: has(queued=1) and active(kubectl, namespace, "edited") == [first])
    await change("Forbid")
    await eventually(lambda: has(queued=0, skipped=1))
    assert (await asked("edited", "third"))["answer"] == "Skipped"
    await change("Queue")
    fourth = await asked("edited", "fourth")
    assert fourth["answer"] == "Queued"
    await change("Allow")
    await eventually(lambda: active(kubectl, namespace, "edited") == [first, run_id(fourth)])
    await change("Replace")
    last = run_id(await asked("edited", "last"))
    await eventually(lambda: has(killed=2) and active(kubectl, namespace, "edited") == [last])
    assert has(queued=0, succeeded=0, failed=0)


async def test_no_more_may_wait_than_may_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, asked: Callable[..., Awaitable[Object]]
) -> None:
    apply(kubectl, namespace, yearly("two", "Queue", maxRuns=2))
    await ready(kubectl, eventually, namespace, "two")
    said = [await asked("two", token) for token in "abc"]
    assert [each["answer"] for each in said] == ["Started", "Queued", "Refused"]
    assert "spec.maxRuns" in said[2]["message"]


async def test_the_queue_is_bounded_and_what_is_beyond_that_is_skipped_or_refused(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    client: Client,
    asked: Callable[..., Awaitable[Object]],
) -> None:
    apply(kubectl, namespace, yearly("full", "Queue"))
    obj = await ready(kubectl, eventually, namespace, "full")
    dropped = await fill(client, schedule_id(obj))
    said = await asked("full", "one-more")
    assert (said["answer"], "1000 runs wait" in said["message"]) == ("Refused", True)
    counts = get(kubectl, namespace, "full")["status"]["counts"]
    assert (counts["queued"], counts["skipped"]) == (MAX_QUEUED, dropped)
    assert dropped
    await eventually(lambda: "RunsSkipped" in told(kubectl, namespace, "full"))


async def fill(client: Client, id_: str) -> int:
    """Let a schedule start runs until it keeps no more of them; says how many it has dropped."""
    moment = datetime.now(UTC).replace(microsecond=0)
    while True:
        for _ in range(50):  # one after the other: of those that come at once, Temporal takes the last
            moment -= timedelta(seconds=1)
            await trigger(client, id_, moment)
        found = await schedules.describe(client, id_)
        assert found is not None
        if found.info.buffer_dropped:
            return found.info.buffer_dropped


async def trigger(client: Client, id_: str, at: datetime) -> None:
    run = TriggerImmediatelyRequest()
    run.scheduled_time.FromDatetime(at)
    request = PatchScheduleRequest(
        namespace=client.namespace,
        schedule_id=id_,
        patch=SchedulePatch(trigger_immediately=run),
        request_id=at.isoformat(),
    )
    await client.workflow_service.patch_schedule(request, retry=True, timeout=timedelta(seconds=60))
