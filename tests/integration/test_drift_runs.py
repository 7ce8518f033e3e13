"""What somebody does to runs in Temporal past us: docs/drift.md has the rules."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import Client, ScheduleBackfill
from temporalio.client import ScheduleOverlapPolicy as ScheduleOverlap

from support import drift, schedules
from support.drifting import KILL, NAMESPACE, RUN, ask, ready, restored
from support.ledger import Ledger
from support.objects import Object, apply, get, goosejob
from support.rig import Handle, Rig
from support.schedules import schedule_id

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module", autouse=True)
def quick(rig: Rig) -> Iterator[Handle]:
    """An operator that looks at everything every second."""
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1") as handle:
        yield handle


@pytest.fixture(scope="module")
def worker(rig: Rig) -> Iterator[Handle]:
    with rig.start_worker() as handle:
        yield handle


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_run_that_is_reset_by_hand_never_has_two_gooses_and_one_record(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str, frozen: bool
) -> None:
    """The worker that had it may be frozen, so that its goose lives until the end of its lease."""
    with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1") as first:
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool))
        await eventually(ledger.hanging)
        workflow_id = f"{schedule_id(get(rig.kubectl, NAMESPACE, pool))}/once"
        with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
            if frozen:
                first.freeze()
            await drift.reset(client, workflow_id, 3)
            await eventually(lambda: ledger.hanging(2))
            assert ledger.entries("overlap") == []
            if frozen:
                first.thaw()
            status = get(rig.kubectl, NAMESPACE, pool)["status"]
            assert [run["id"] for run in status["active"]] == ["once"]
            ask(rig, pool, KILL, "once")
            last = await eventually(lambda: get(rig.kubectl, NAMESPACE, pool)["status"]["lastRun"])
    assert (last["outcome"], last["reason"]) == ("Killed", "Cancelled")
    # A worker that was thawed may have announced the run once more: what it had taken before it was frozen.
    await eventually(lambda: get(rig.kubectl, NAMESPACE, pool)["status"]["active"] == [])
    status = get(rig.kubectl, NAMESPACE, pool)["status"]
    assert (status["counts"]["killed"], len(status["recentRuns"])) == (1, 1)
    assert not ledger.alive()


@pytest.mark.usefixtures("worker")
async def test_a_schedule_that_is_triggered_and_backfilled_by_hand_has_its_runs_recorded(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("triggered", schedule="30 12 1 1 *"))
    obj = await ready(rig, eventually, "triggered")
    handle = client.get_schedule_handle(schedule_id(obj))
    await handle.trigger()
    newest = await eventually(lambda: get(rig.kubectl, NAMESPACE, "triggered")["status"]["lastRun"])

    def older() -> list[Object]:
        found: list[Object] = get(rig.kubectl, NAMESPACE, "triggered")["status"]["recentRuns"][1:]
        return found

    for _ in range(2):  # the same due time twice, as a person may
        before = older()

        async def backfilled(before: list[Object] = before) -> bool:
            """Temporal loses a request that meets another one: ask until it is heard."""
            await handle.backfill(
                ScheduleBackfill(
                    start_at=datetime(2025, 12, 31, tzinfo=UTC),
                    end_at=datetime(2026, 1, 2, tzinfo=UTC),
                    overlap=ScheduleOverlap.BUFFER_ALL,
                )
            )
            await eventually(lambda: older() not in (before, []), timeout=30)
            return True

        await eventually(backfilled)
    status = get(rig.kubectl, NAMESPACE, "triggered")["status"]
    assert [run["id"] for run in status["recentRuns"]] == [newest["id"], "20260101-123000"]
    assert status["counts"]["succeeded"] == 2
    assert status["recentRuns"][1]["trigger"] == "Schedule"
    assert status["lastRun"] == newest


async def test_a_run_whose_workflow_is_deleted_by_hand_ends_and_is_told_as_lost(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str
) -> None:
    with rig.start_worker(pool=pool):
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool))
        await eventually(ledger.hanging)
        workflow_id = f"{schedule_id(get(rig.kubectl, NAMESPACE, pool))}/once"
        await drift.delete(client, workflow_id)
        last = await eventually(lambda: get(rig.kubectl, NAMESPACE, pool)["status"]["lastRun"])
        assert last["reason"] in {"Terminated", "WorkflowLost"}  # it is terminated first, and goes then
        await eventually(lambda: not ledger.alive())
        obj = await ready(rig, eventually, pool)
        assert (obj["status"]["phase"], len(ledger.entries("agent"))) == ("Completed", 1)


async def test_a_run_whose_schedule_is_deleted_by_hand_is_not_overtaken_by_the_next_one(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str
) -> None:
    """The schedule that is made anew does not know of it."""
    with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool, schedule="0 0 1 1 *"))
        obj = await ready(rig, eventually, pool)
        ask(rig, pool, RUN, "1")
        await eventually(ledger.hanging)
        await client.get_schedule_handle(schedule_id(obj)).delete()
        await restored(rig, eventually, pool)
        ask(rig, pool, RUN, "2")

        def started() -> bool:
            """Where Temporal is slow, Skipped may be said before."""
            run = get(rig.kubectl, NAMESPACE, pool)["status"]["handledRequests"]["run"]
            return bool((run["token"], run["answer"]) == ("2", "Started"))

        await eventually(started)
        await eventually(lambda: len(get(rig.kubectl, NAMESPACE, pool)["status"]["active"]) == 2)
        first = get(rig.kubectl, NAMESPACE, pool)["status"]["active"][0]["id"]
        assert ledger.hanging()
        ask(rig, pool, KILL, first)
        await eventually(lambda: ledger.hanging(2))
        assert ledger.entries("overlap") == []
        rig.kubectl("delete", "-n", NAMESPACE, "gj", pool, "--timeout=180s")


@pytest.mark.usefixtures("worker")
async def test_a_run_that_is_reset_after_its_end_has_one_record_of_what_came_last(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("again", "stub: answer once"))
    obj = await eventually(
        lambda: (o := get(rig.kubectl, NAMESPACE, "again")) and o["status"]["lastRun"] and o
    )
    first = obj["status"]["lastRun"]
    await drift.reset(client, f"{schedule_id(obj)}/once", 3)
    last = await eventually(
        lambda: (r := get(rig.kubectl, NAMESPACE, "again")["status"]["lastRun"]) and r != first and r
    )
    assert (last["id"], last["outcome"]) == ("once", "Succeeded")
    status = get(rig.kubectl, NAMESPACE, "again")["status"]
    assert (status["counts"]["succeeded"], len(status["recentRuns"])) == (1, 1)
