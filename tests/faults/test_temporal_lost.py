"""Temporal's store is lost: a server under the same address that knows nothing of what was."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from goosejobs.model import names
from support import drift, schedules
from support.drift import lose_store
from support.events import told
from support.ledger import Ledger
from support.objects import Object, apply, condition, get, goosejob, is_true
from support.resyncs import resynced
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Any]

NAMESPACE = "default"
RUN = "goosejobs.dev/run-requested"
YEARLY = "0 0 1 1 *"


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture
def quick(rig: Rig) -> Iterator[Handle]:
    """An operator that looks at everything every second."""
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1") as handle:
        yield handle


def status(rig: Rig, name: str) -> Object:
    found: Object = get(rig.kubectl, NAMESPACE, name)["status"]
    return found


def says(rig: Rig, name: str, kind: str, reason: str) -> bool:
    found = condition(get(rig.kubectl, NAMESPACE, name), kind)
    return found is not None and found["reason"] == reason


def ask(rig: Rig, name: str, token: str) -> None:
    rig.kubectl("annotate", "-n", NAMESPACE, "--overwrite", "gj", name, f"{RUN}={token}")


async def run_once_more(rig: Rig, eventually: Eventually, name: str, token: str) -> None:
    """Have a scheduled one run now, and wait for its end."""
    await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, name), "Ready"))
    before = status(rig, name).get("lastRun")
    ask(rig, name, token)
    await eventually(lambda: status(rig, name)["lastRun"] not in (None, before))


async def test_a_temporal_that_lost_its_store_gets_everything_again_and_nothing_runs_twice(
    rig: Rig, eventually: Eventually, quick: Handle, ledger: Ledger, pool: str
) -> None:
    with rig.start_worker(), rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
        apply(
            rig.kubectl,
            NAMESPACE,
            goosejob("done"),
            ledger.goosejob("flying", pool),
            goosejob("limited", schedule=YEARLY, maxRuns=3),
            goosejob("spent", schedule=YEARLY, maxRuns=1),
            goosejob("failing", "stub: status 401", schedule=YEARLY, pauseAfterFailures=1),
            goosejob("paused", schedule=YEARLY),
            goosejob("waiting", execution={"pool": "nobody"}),
        )
        await eventually(ledger.hanging)
        await eventually(lambda: status(rig, "done")["completionTime"])
        for name in ("limited", "spent", "failing"):
            await run_once_more(rig, eventually, name, "1")
        await eventually(lambda: says(rig, "failing", "Suspended", "PausedAfterFailures"))
        await eventually(lambda: says(rig, "spent", "Ready", "Completed"))
        ids = {
            name: schedule_id(get(rig.kubectl, NAMESPACE, name)) for name in ("limited", "failing", "paused")
        }
        client = await schedules.connect(rig.temporal_address)
        await client.get_schedule_handle(ids["paused"]).pause(note="maintenance")
        await eventually(lambda: says(rig, "paused", "Suspended", "PausedInTemporal"))
        before = {name: status(rig, name) for name in ("done", "spent", "failing")}

        lose_store(rig)

        last = await eventually(lambda: status(rig, "flying")["lastRun"])
        assert (last["outcome"], last["reason"]) == ("Unknown", "WorkflowLost")
        assert "not known to Temporal any more" in last["message"]
        await eventually(lambda: not ledger.alive())
        client = await schedules.connect(rig.temporal_address)
        for name, id_ in ids.items():
            await eventually(lambda id_=id_: schedule(client, id_))
            await eventually(lambda name=name: "ScheduleRestored" in told(rig.kubectl, NAMESPACE, name))
        await resynced(quick, eventually)
        assert await remaining(client, ids["limited"]) == 2
        assert await paused(client, ids["failing"]) == "goosejobs: failures"
        assert await paused(client, ids["paused"]) == "paused before the schedule was lost"
        assert says(rig, "failing", "Suspended", "PausedAfterFailures")
        assert says(rig, "paused", "Suspended", "PausedInTemporal")
        # They may have been told meanwhile that Temporal is away.
        await eventually(lambda: says(rig, "spent", "Ready", "Completed"))
        assert await schedule(client, schedule_id(get(rig.kubectl, NAMESPACE, "spent"))) is None
        for name, was in before.items():
            now = status(rig, name)
            assert (now["lastRun"], now["counts"]) == (was["lastRun"], was["counts"])
        await eventually(lambda: says(rig, "flying", "Ready", "Completed"))
        waiting = f"{schedule_id(get(rig.kubectl, NAMESPACE, 'waiting'))}/once"  # it never began
        await eventually(lambda: schedules.open_runs(client))
        assert await schedules.open_runs(client) == {waiting}
        await run_once_more(rig, eventually, "limited", "2")
        assert status(rig, "limited")["counts"]["succeeded"] == 2
        assert ledger.entries("overlap") == []
        assert len(ledger.entries("agent")) == 1


async def test_a_new_server_is_noticed_and_set_up_without_waiting_for_a_resync(
    rig: Rig, eventually: Eventually
) -> None:
    """This operator's next resync is an hour away."""
    rig.kubectl("create", "namespace", "slow")
    with rig.start_operator(
        GOOSEJOBS_RESYNC_SECONDS="3600", GOOSEJOBS_LEASE_NAME="slow", GOOSEJOBS_NAMESPACES="slow"
    ):
        apply(rig.kubectl, "slow", goosejob("waiting", schedule=YEARLY, execution={"pool": "nobody"}))
        obj = await eventually(
            lambda: (o := get(rig.kubectl, "slow", "waiting")) and is_true(o, "Ready") and o
        )
        lose_store(rig, "--search-attribute", f"{names.UID_ATTRIBUTE}=Keyword")
        client = await schedules.connect(rig.temporal_address)
        await eventually(lambda: schedule(client, schedule_id(obj)))
        assert await drift.attribute(client, schedule_id(obj)) == obj["metadata"]["uid"]
        rig.kubectl("delete", "-n", "slow", "gj", "waiting", "--timeout=180s")


async def remaining(client: Client, id_: str) -> int:
    found = await schedule(client, id_)
    assert found is not None
    return found.state.remaining_actions


async def paused(client: Client, id_: str) -> str:
    """The note of its pause."""
    found = await schedule(client, id_)
    assert found is not None
    assert found.state.paused
    return found.state.notes
