"""The operator killed while it acts on what people ask for: each request is answered, and acts, once."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.killing import NOBODY, QUICK, YEARLY, goosejobs, killed_and_started, ready
from support.objects import Object, apply, condition, goosejob, is_true
from support.rig import Rig
from support.schedules import schedule_id

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


@pytest.fixture
def namespace(rig: Rig, request: pytest.FixtureRequest) -> str:
    name = f"f-{abs(hash(request.node.name)) % 10**8}"
    rig.kubectl("create", "namespace", name)
    return name


def annotate(rig: Rig, namespace: str, request: str, value: str) -> None:
    """Ask the same of all GooseJobs of the namespace."""
    rig.kubectl(
        "annotate",
        "gj",
        "-n",
        namespace,
        "--all",
        "--overwrite",
        f"goosejobs.dev/{request}-requested={value}",
    )


def answered(rig: Rig, namespace: str, kind: str, value: str) -> bool:
    """Whether all GooseJobs have an answer to a request."""
    found = [obj["status"].get("handledRequests", {}).get(kind, {}) for obj in goosejobs(rig, namespace)]
    return all(each.get("token") == value and each["answer"] != "Noted" for each in found)


async def cancellations(client: Client, workflow_id: str) -> int:
    """How often a workflow was asked to end."""
    events = client.get_workflow_handle(workflow_id).fetch_history_events()
    return sum(
        [event.HasField("workflow_execution_cancel_requested_event_attributes") async for event in events]
    )


@pytest.mark.invariant("I11")
async def test_an_operator_killed_while_runs_are_to_be_ended_ends_those_and_no_later_one(
    rig: Rig, eventually: Eventually, namespace: str, client: Client
) -> None:
    chance = random.Random(4)  # noqa: S311 - to be repeated, not to be secret
    apply(
        rig.kubectl,
        namespace,
        *[goosejob(f"job-{n}", concurrencyPolicy="Allow", **YEARLY) for n in range(4)],
        *[goosejob(f"once-{n}", **NOBODY) for n in range(2)],
    )
    with rig.start_operator(**QUICK):
        await eventually(lambda: all(is_true(obj, "Ready") for obj in goosejobs(rig, namespace)))
        annotate(rig, namespace, "run", "one")  # those that run once refuse it: their run has started
        await eventually(lambda: answered(rig, namespace, "run", "one"))
    first = {obj["metadata"]["name"]: run_of(obj) for obj in goosejobs(rig, namespace)}

    annotate(rig, namespace, "kill", "all")
    await killed_and_started(
        rig, eventually, namespace, chance, lambda: answered(rig, namespace, "kill", "all")
    )
    for obj in goosejobs(rig, namespace):
        said = obj["status"]["handledRequests"]["kill"]
        assert (said["answer"], said["workflowIds"]) == ("Cancelled", [first[obj["metadata"]["name"]]])

    annotate(rig, namespace, "run", "two")
    await killed_and_started(
        rig, eventually, namespace, chance, lambda: answered(rig, namespace, "run", "two")
    )
    with rig.start_operator(**QUICK):
        # When it has done something new, it has looked at what was there before.
        apply(rig.kubectl, namespace, goosejob("later", **YEARLY))
        await ready(rig, eventually, namespace, "later")
    for obj in goosejobs(rig, namespace):
        name = obj["metadata"]["name"]
        if name == "later":
            continue
        assert await cancellations(client, first[name]) == 1
        if name.startswith("job"):
            assert run_of(obj) != first[name]
            assert await cancellations(client, run_of(obj)) == 0


def run_of(obj: Object) -> str:
    """The workflow of its one run, or of the one that was asked for last."""
    if obj["spec"].get("runOnce"):
        return str(obj["status"]["scheduleId"])
    return str(obj["status"]["handledRequests"]["run"]["workflowId"])


@pytest.mark.invariant("I11")
async def test_an_operator_killed_while_it_resumes_resumes_once(
    rig: Rig, eventually: Eventually, namespace: str
) -> None:
    chance = random.Random(5)  # noqa: S311 - to be repeated, not to be secret
    spec: Any = {"schedule": "0 0 1 1 *", "pauseAfterFailures": 1, "execution": {"pool": namespace}}
    apply(rig.kubectl, namespace, *[goosejob(f"job-{n}", "stub: status 401", **spec) for n in range(3)])

    def paused(failed: int) -> bool:
        found = goosejobs(rig, namespace)
        reasons = [(condition(obj, "Suspended") or {}).get("reason") for obj in found]
        counted = all(obj["status"].get("counts", {}).get("failed") == failed for obj in found)
        return counted and set(reasons) == {"PausedAfterFailures"}

    def resumed() -> bool:
        found = goosejobs(rig, namespace)
        free = all((condition(obj, "Suspended") or {}).get("status") == "False" for obj in found)
        return free and answered(rig, namespace, "resume", "mended")

    with rig.start_worker(pool=namespace):
        with rig.start_operator(**QUICK):
            await eventually(lambda: all(is_true(obj, "Ready") for obj in goosejobs(rig, namespace)))
            annotate(rig, namespace, "run", "one")
            await eventually(lambda: paused(1))
        annotate(rig, namespace, "resume", "mended")
        await killed_and_started(rig, eventually, namespace, chance, resumed)
        annotate(rig, namespace, "run", "two")
        await killed_and_started(rig, eventually, namespace, chance, lambda: paused(2))
    for obj in goosejobs(rig, namespace):
        said = obj["status"]["handledRequests"]["resume"]
        assert (said["answer"], said["failed"]) == ("Resumed", 1)
    with rig.start_operator(**QUICK):
        # When it has done something new, it has looked at what was there before.
        apply(rig.kubectl, namespace, goosejob("later", **YEARLY))
        await ready(rig, eventually, namespace, "later")
        rig.kubectl("delete", "gj", "-n", namespace, "later")
    assert paused(2)


@pytest.mark.invariant("I11")
async def test_an_operator_killed_while_more_runs_are_allowed_lets_no_more_start_than_that(
    rig: Rig, eventually: Eventually, namespace: str, client: Client
) -> None:
    chance = random.Random(6)  # noqa: S311 - to be repeated, not to be secret
    spec: Any = {"schedule": "@every 2s", "concurrencyPolicy": "Allow", **NOBODY}

    def completed() -> bool:
        found = goosejobs(rig, namespace)
        reasons = [(condition(obj, "Ready") or {}).get("reason") for obj in found]
        return all(is_true(obj, "Ready") for obj in found) and set(reasons) == {"Completed"}

    for most in (2, 5):
        apply(rig.kubectl, namespace, *[goosejob(f"job-{n}", maxRuns=most, **spec) for n in range(4)])
        await killed_and_started(rig, eventually, namespace, chance, completed)
        for obj in goosejobs(rig, namespace):
            found = await client.get_schedule_handle(schedule_id(obj)).describe()
            assert found.info.num_actions == most
