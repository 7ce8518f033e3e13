"""The operator, Temporal and the API server killed and frozen: everything comes right by itself."""

import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.events import events
from support.killing import NOBODY, QUICK, YEARLY, goosejobs, killed_and_started, ready
from support.kube_proxy import At, Cut, kube_proxy
from support.objects import Object, apply, condition, get, goosejob, is_true
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


@pytest.fixture
def operator(rig: Rig) -> Iterator[Handle]:
    with rig.start_operator(**QUICK) as handle:
        yield handle


@pytest.fixture
def namespace(rig: Rig, request: pytest.FixtureRequest) -> str:
    name = f"f-{abs(hash(request.node.name)) % 10**8}"
    rig.kubectl("create", "namespace", name)
    return name


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("seed", [1, 2])
async def test_an_operator_killed_at_any_moment_converges_without_duplicates(
    rig: Rig, eventually: Eventually, namespace: str, client: Client, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret

    def all_ready(count: int) -> bool:
        found = goosejobs(rig, namespace)
        return len(found) == count and all(is_true(obj, "Ready") for obj in found)

    jobs = [goosejob(f"job-{n}", **YEARLY) for n in range(12)]
    onces = [goosejob(f"once-{n}", **NOBODY) for n in range(6)]
    apply(rig.kubectl, namespace, *jobs, *onces)
    await killed_and_started(rig, eventually, namespace, chance, lambda: all_ready(18))
    apply(rig.kubectl, namespace, *[goosejob(f"job-{n}", "new", **YEARLY) for n in range(12)])
    await killed_and_started(rig, eventually, namespace, chance, lambda: all_ready(18))
    gone = [f"job-{n}" for n in range(6)] + [f"once-{n}" for n in range(3)]
    rig.kubectl("delete", "gj", "-n", namespace, *gone, "--wait=false")
    await killed_and_started(rig, eventually, namespace, chance, lambda: len(goosejobs(rig, namespace)) == 9)

    with rig.start_operator(**QUICK):
        await eventually(lambda: all_ready(9))
        left = goosejobs(rig, namespace)
        yearly = {schedule_id(obj) for obj in left if "schedule" in obj["spec"]}
        prefix = f"goosejob/{namespace}/"

        async def settled() -> bool:
            return await schedules.schedule_ids(client, prefix) == yearly

        await eventually(settled)

    async def each_once() -> bool:
        """By Temporal's index, which lags; what it has shown stays."""
        for obj in left:
            uid = obj["metadata"]["uid"]
            runs = [run.id async for run in client.list_workflows(f"GooseJobUid = '{uid}'")]
            assert len(runs) == (0 if "schedule" in obj["spec"] else 1)
        return True

    await eventually(each_once)


@pytest.mark.invariant("I11")
async def test_an_operator_killed_while_runs_are_asked_for_starts_each_once(
    rig: Rig, eventually: Eventually, namespace: str, client: Client
) -> None:
    chance = random.Random(3)  # noqa: S311 - to be repeated, not to be secret
    policies = ("Allow", "Forbid", "Queue")
    jobs = [goosejob(f"{p.lower()}-{n}", concurrencyPolicy=p, **YEARLY) for p in policies for n in range(4)]
    apply(rig.kubectl, namespace, *jobs)
    with rig.start_operator(**QUICK):
        await eventually(lambda: all(is_true(obj, "Ready") for obj in goosejobs(rig, namespace)))

    def all_answered(value: str) -> bool:
        found = [obj["status"].get("handledRequests", {}).get("run", {}) for obj in goosejobs(rig, namespace)]
        return all(each.get("token") == value and each["answer"] != "Noted" for each in found)

    for value in ("one", "two"):
        rig.kubectl(
            "annotate", "gj", "-n", namespace, "--all", "--overwrite", f"goosejobs.dev/run-requested={value}"
        )
        await killed_and_started(rig, eventually, namespace, chance, partial(all_answered, value))
        second = {"Allow": "Started", "Forbid": "Skipped", "Queue": "Queued"}
        for obj in goosejobs(rig, namespace):
            said = obj["status"]["handledRequests"]["run"]["answer"]
            assert said == ("Started" if value == "one" else second[obj["spec"]["concurrencyPolicy"]])
    for obj in goosejobs(rig, namespace):
        found = await client.get_schedule_handle(schedule_id(obj)).describe()
        expected = 2 if obj["spec"]["concurrencyPolicy"] == "Allow" else 1
        assert (found.info.num_actions, found.info.num_actions_skipped_overlap) == (
            expected,
            1 if obj["spec"]["concurrencyPolicy"] == "Forbid" else 0,
        )


@pytest.mark.invariant("I11")
async def test_a_run_once_that_was_started_by_an_operator_that_died_of_it_is_told_in_full(
    rig: Rig, eventually: Eventually, namespace: str, tmp_path: Path
) -> None:
    apply(rig.kubectl, namespace, goosejob("calm", **NOBODY))
    with rig.start_operator(**QUICK):
        calm = await ready(rig, eventually, namespace, "calm")
    with (
        kube_proxy(rig.platform.control_plane, tmp_path) as proxy,
        rig.start_operator(wait=False, KUBECONFIG=str(proxy.kubeconfig), **QUICK) as operator,
    ):

        def dies() -> None:
            os.kill(operator.pid, signal.SIGKILL)
            raise Cut

        proxy.plan(At.REQUEST, "PATCH", "/goosejobs/once/status", dies)
        apply(rig.kubectl, namespace, goosejob("once", **NOBODY))
        await eventually(lambda: not operator.alive)
    assert "recipeDigest" not in get(rig.kubectl, namespace, "once")["status"]
    with rig.start_operator(**QUICK):
        obj = await ready(rig, eventually, namespace, "once")
    assert obj["status"]["recipeDigest"] == calm["status"]["recipeDigest"]


async def test_runs_missed_while_temporal_was_away_are_told_once(
    rig: Rig, eventually: Eventually, namespace: str
) -> None:
    job = goosejob(
        "late", schedule="@every 2s", startingDeadlineSeconds=20, concurrencyPolicy="Allow", **NOBODY
    )
    apply(rig.kubectl, namespace, job)

    def missed() -> int:
        return int(get(rig.kubectl, namespace, "late")["status"]["counts"]["missed"])

    def told() -> list[tuple[int, str]]:
        found = events(rig.kubectl, namespace, "late")
        return [(each["count"], each["message"]) for each in found if each["reason"] == "RunsMissed"]

    with rig.start_operator(**QUICK) as operator:
        await ready(rig, eventually, namespace, "late")
        assert missed() == 0
        rig.server("temporal").kill9()
        gone = time.monotonic()
        try:
            await eventually(lambda: time.monotonic() - gone > 26)
        finally:
            rig.restart("temporal")
        await eventually(missed)
        await eventually(told)
        operator.kill9()
    with rig.start_operator(**QUICK):
        apply(rig.kubectl, namespace, {**job, "spec": {**job["spec"], "suspend": True}})
        await ready(rig, eventually, namespace, "late")  # it has looked, and counted
    ((count, message),) = told()
    assert (count, message.split()[0]) == (1, str(missed()))


async def test_a_temporal_that_hangs_is_as_one_that_is_away(
    rig: Rig, eventually: Eventually, operator: Handle, namespace: str
) -> None:
    apply(rig.kubectl, namespace, goosejob("before", **YEARLY))
    await ready(rig, eventually, namespace, "before")
    server = rig.server("temporal")
    server.freeze()
    try:
        await eventually(lambda: is_true(get(rig.kubectl, namespace, "before"), "Reconciling"))
        assert operator.alive
    finally:
        server.thaw()
    await ready(rig, eventually, namespace, "before")


@pytest.mark.invariant("I15")
async def test_a_deletion_ends_while_temporal_is_away_and_what_is_left_is_swept_later(
    rig: Rig, eventually: Eventually, operator: Handle, namespace: str
) -> None:
    apply(rig.kubectl, namespace, goosejob("a", **YEARLY), goosejob("once", **NOBODY))
    scheduled = await ready(rig, eventually, namespace, "a")
    await ready(rig, eventually, namespace, "once")
    rig.server("temporal").kill9()
    try:
        rig.kubectl("delete", "gj", "-n", namespace, "--all", "--wait=false")

        def told_as_going() -> Object | bool:
            """Until then it may be told that Temporal is away."""
            obj = get(rig.kubectl, namespace, "a")
            return (condition(obj, "Reconciling") or {})["reason"] == "Deleting" and obj

        obj = await eventually(told_as_going)
        assert obj["status"]["phase"] == "Terminating"
        await eventually(lambda: not goosejobs(rig, namespace), timeout=180)
        assert "goes while Temporal is away" in operator.log
    finally:
        rig.restart("temporal")
    client = await schedules.connect(rig.temporal_address)

    async def swept() -> bool:
        return await schedule(client, schedule_id(scheduled)) is None

    await eventually(swept)


@pytest.mark.invariant("I12")
async def test_an_api_server_that_was_away_is_served_again(
    rig: Rig, eventually: Eventually, operator: Handle, namespace: str, client: Client
) -> None:
    apply(rig.kubectl, namespace, goosejob("before", **YEARLY))
    await ready(rig, eventually, namespace, "before")
    seen = operator.log.count("cannot renew")
    rig.server("kube-apiserver").kill9()
    try:
        await eventually(lambda: operator.log.count("cannot renew") >= seen + 5)
        assert operator.alive
    finally:
        rig.restart("kube-apiserver")
    apply(rig.kubectl, namespace, goosejob("after", **YEARLY), goosejob("before", "new", **YEARLY))
    for name in ("before", "after"):
        obj = await ready(rig, eventually, namespace, name)
        assert await schedule(client, schedule_id(obj)) is not None


@pytest.mark.invariant("I12")
async def test_an_operator_started_before_its_servers_waits_for_them(
    rig: Rig, eventually: Eventually, namespace: str
) -> None:
    rig.server("temporal").kill9()
    rig.server("kube-apiserver").kill9()
    try:
        with rig.start_operator(wait=False, GOOSEJOBS_LOG_FORMAT="text", **QUICK) as operator:
            await eventually(lambda: "waiting for the API server" in operator.log)
            rig.restart("kube-apiserver")
            await eventually(lambda: "waiting for Temporal" in operator.log)
            apply(rig.kubectl, namespace, goosejob("a", **YEARLY))
            await eventually(lambda: is_true(get(rig.kubectl, namespace, "a"), "Reconciling"))
            rig.restart("temporal")
            await ready(rig, eventually, namespace, "a")
            assert "Traceback" not in operator.log
    finally:
        rig.up()
