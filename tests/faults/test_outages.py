"""What runs do while Temporal or the API server is away, and afterwards: servers of this module's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecution

from support.objects import Kubectl, Object, apply, condition, get, goosejob, is_true
from support.rig import Rig

Eventually = Callable[..., Any]

OUTAGE = timedelta(minutes=1)
EVERY = 45
"""Seconds: without the API server a run takes 22, more where goose is slow, and may not skip the next one."""


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    own_platform.operator()
    own_platform.worker()
    return own_platform


async def runs_of(temporal: Client, obj: Object) -> list[WorkflowExecution]:
    """All runs of a GooseJob that Temporal knows."""
    query = f"GooseJobUid = '{obj['metadata']['uid']}' AND WorkflowType = 'GooseJobRun'"
    return [execution async for execution in temporal.list_workflows(query)]


def recorded(kubectl: Kubectl, name: str) -> list[str]:
    return [run["id"] for run in get(kubectl, "default", name)["status"].get("recentRuns", [])]


async def test_while_temporal_is_away_the_object_says_so_and_recovers_by_itself(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, "default", goosejob("patient", schedule="@every 2s"))
    await eventually(lambda: recorded(rig.kubectl, "patient"))
    rig.server("temporal").kill9()
    gone = datetime.now(UTC)
    apply(rig.kubectl, "default", goosejob("patient", "stub: answer after", schedule="@every 2s"))
    apply(rig.kubectl, "default", goosejob("born-meanwhile"))
    for name in ("patient", "born-meanwhile"):
        obj = await eventually(
            lambda name=name: (
                (o := get(rig.kubectl, "default", name))
                and (condition(o, "Reconciling") or {})["reason"] == "TemporalUnavailable"
                and o
            )
        )
        ready = condition(obj, "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "TemporalUnavailable")
        assert condition(obj, "Stalled") is None
    await eventually(lambda: datetime.now(UTC) - gone > OUTAGE, timeout=OUTAGE.total_seconds() + 10)
    rig.restart("temporal")
    for name in ("patient", "born-meanwhile"):
        obj = await eventually(
            lambda name=name: (o := get(rig.kubectl, "default", name)) and is_true(o, "Ready") and o
        )
        assert condition(obj, "Reconciling") is None
    await eventually(
        lambda: get(rig.kubectl, "default", "patient")["status"]["lastRun"]["result"] == "after", timeout=90
    )
    await eventually(lambda: recorded(rig.kubectl, "born-meanwhile") == ["once"])
    rig.kubectl("delete", "gj", "patient", "--timeout=180s")


@pytest.mark.invariant("I4")
@pytest.mark.invariant("I12")
async def test_runs_due_while_the_api_server_is_away_are_neither_lost_nor_doubled(
    rig: Rig, eventually: Eventually
) -> None:
    temporal = await Client.connect(rig.temporal_address)
    apply(
        rig.kubectl, "default", goosejob("steady", schedule=f"@every {EVERY}s", successfulRunsHistoryLimit=25)
    )
    obj = await eventually(
        lambda: (o := get(rig.kubectl, "default", "steady")) and o["status"].get("lastRun") and o, timeout=180
    )
    rig.server("kube-apiserver").kill9()
    gone = datetime.now(UTC)

    async def missed_meanwhile() -> bool:
        due = [run for run in await runs_of(temporal, obj) if run.start_time > gone]
        return len(due) >= 2 and datetime.now(UTC) - gone > OUTAGE

    await eventually(missed_meanwhile, timeout=OUTAGE.total_seconds() + 3 * EVERY)
    rig.restart("kube-apiserver")

    async def all_told() -> bool:
        """Every run that is due up to one that was due after the outage stands in the record."""
        told = sorted(recorded(rig.kubectl, "steady"))
        last = datetime.strptime(told[-1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        first = datetime.strptime(told[0], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        steps = int((last - first).total_seconds()) // EVERY
        due = [(first + n * timedelta(seconds=EVERY)).strftime("%Y%m%d-%H%M%S") for n in range(steps + 1)]
        assert told == due
        return steps >= 3 and datetime.now(UTC) - last < timedelta(seconds=2 * EVERY)

    await eventually(all_told, timeout=240)
    rig.kubectl("patch", "gj", "steady", "--type=merge", "-p", '{"spec":{"suspend":true}}')

    async def settled() -> bool:
        runs = await runs_of(temporal, obj)
        counts = get(rig.kubectl, "default", "steady")["status"]["counts"]
        return (
            counts["succeeded"] == len(runs) == len(recorded(rig.kubectl, "steady")) and not counts["failed"]
        )

    await eventually(settled)
    rig.kubectl("delete", "gj", "steady", "--timeout=180s")
