"""What becomes of due times while no worker is there, and while it is suspended; see docs/schedules.md."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import Client

from support.events import told
from support.objects import Kubectl, Object, apply, get, goosejob, is_true
from support.rig import Handle
from support.schedules import describe, schedule_id

Eventually = Callable[..., Awaitable[Any]]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

NEVER = "0 8 1 1 *"
EVERY = timedelta(seconds=4)
DEADLINE = 20
"""Longer than Temporal takes to come to a due time, also where it stands still for a while."""
AWAY = timedelta(seconds=7 * 4)
"""Longer than the deadline, so that it is seen that it does not matter here."""


def runs(obj: Object) -> list[tuple[datetime, str]]:
    """The due times and outcomes of the runs on record, oldest first."""
    found = [(run["scheduledTime"], run["outcome"]) for run in obj["status"].get("recentRuns", [])]
    return sorted((datetime.fromisoformat(moment), outcome) for moment, outcome in found)


def steps(moments: list[datetime]) -> bool:
    """Whether not one due time between the first and the last is left out."""
    return all(later - earlier == EVERY for earlier, later in pairwise(moments))


async def without_workers(
    client: Client, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, policy: str
) -> datetime:
    """Let due times pass with no worker, then let no more come; returns a time at which all had passed."""
    spec: Object = {"schedule": "@every 4s", "startingDeadlineSeconds": DEADLINE}
    spec |= {"concurrencyPolicy": policy, "execution": {"pool": pool}}
    spec |= {"successfulRunsHistoryLimit": 25, "failedRunsHistoryLimit": 25}
    apply(kubectl, namespace, goosejob("waits", **spec))
    await eventually(lambda: is_true(get(kubectl, namespace, "waits"), "Ready"))
    begun = datetime.now(UTC)
    await eventually(lambda: datetime.now(UTC) - begun > AWAY)
    handle = client.get_schedule_handle(schedule_id(get(kubectl, namespace, "waits")))

    async def has_come_to_all() -> bool:
        """What Temporal has not come to yet is lost with an edit."""
        return (await handle.describe()).info.next_action_times[0] > datetime.now(UTC)

    await eventually(has_come_to_all)
    # Not suspended: what waits in a queue would go, too.
    apply(kubectl, namespace, goosejob("waits", **(spec | {"schedule": NEVER})))
    obj = await eventually(lambda: (o := get(kubectl, namespace, "waits")) and is_true(o, "Ready") and o)
    assert runs(obj) == []
    return begun


async def worked_off(
    client: Client, kubectl: Kubectl, eventually: Eventually, namespace: str
) -> list[tuple[datetime, str]]:
    """The runs once all that Temporal has started are on record and none waits."""

    async def look() -> list[tuple[datetime, str]] | bool:
        obj = get(kubectl, namespace, "waits")
        found = await describe(client, schedule_id(obj))
        assert found is not None
        assert (len(runs(obj)), found.info.buffer_size) == (found.info.action_count, 0)
        return runs(obj)

    found: list[tuple[datetime, str]] = await eventually(look, timeout=180)
    return found


async def test_forbid_starts_the_first_due_run_once_workers_are_back_however_late_and_skips_the_others(
    client: Client, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, start_worker: Start
) -> None:
    begun = await without_workers(client, kubectl, eventually, namespace, pool, "Forbid")
    start_worker(pool=pool)
    ((moment, outcome),) = await worked_off(client, kubectl, eventually, namespace)
    assert outcome == "Succeeded"
    assert moment - begun <= EVERY
    run = get(kubectl, namespace, "waits")["status"]["lastRun"]
    assert datetime.fromisoformat(run["finishTime"]) - moment > timedelta(seconds=DEADLINE)
    counts = get(kubectl, namespace, "waits")["status"]["counts"]
    assert counts["skipped"] >= AWAY // EVERY - 2
    assert counts["missed"] == 0
    assert "RunsMissed" not in told(kubectl, namespace, "waits")


@pytest.mark.parametrize("policy", ["Allow", "Queue"])
async def test_allow_and_queue_lose_no_run_that_was_due_while_all_workers_were_away(
    client: Client,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    start_worker: Start,
    policy: str,
) -> None:
    begun = await without_workers(client, kubectl, eventually, namespace, pool, policy)
    start_worker(pool=pool)
    found = await worked_off(client, kubectl, eventually, namespace)
    moments = [moment for moment, _ in found]
    assert {outcome for _, outcome in found} == {"Succeeded"}
    assert moments[0] - begun <= EVERY
    assert steps(moments)
    assert len(moments) >= AWAY // EVERY - 1
    counts = get(kubectl, namespace, "waits")["status"]["counts"]
    assert (counts["missed"], counts["skipped"]) == (0, 0)


async def test_replace_runs_the_newest_of_those_that_were_due_while_all_workers_were_away(
    client: Client, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, start_worker: Start
) -> None:
    begun = await without_workers(client, kubectl, eventually, namespace, pool, "Replace")
    start_worker(pool=pool)
    found = await worked_off(client, kubectl, eventually, namespace)
    outcomes = [outcome for _, outcome in found]
    assert outcomes[-1] == "Succeeded"
    assert set(outcomes[:-1]) == {"Killed"}
    assert found[0][0] - begun <= EVERY
    assert found[-1][0] - begun >= AWAY - 2 * EVERY
    assert get(kubectl, namespace, "waits")["status"]["counts"]["missed"] == 0


@pytest.mark.usefixtures("worker")
async def test_what_was_due_while_it_was_suspended_is_not_made_up_for(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    spec: Object = {"schedule": "@every 2s", "startingDeadlineSeconds": 3600, "concurrencyPolicy": "Allow"}
    spec |= {"successfulRunsHistoryLimit": 25}
    apply(kubectl, namespace, goosejob("rests", suspend=True, **spec))
    await eventually(lambda: is_true(get(kubectl, namespace, "rests"), "Suspended"))
    begun = datetime.now(UTC)
    await eventually(lambda: datetime.now(UTC) - begun > timedelta(seconds=12))
    lifted = datetime.now(UTC)
    apply(kubectl, namespace, goosejob("rests", suspend=False, **spec))
    obj = await eventually(lambda: (o := get(kubectl, namespace, "rests")) and len(runs(o)) >= 2 and o)
    assert all(moment > lifted - timedelta(seconds=2) for moment, _ in runs(obj))
    assert (obj["status"]["counts"]["missed"], obj["status"]["counts"]["skipped"]) == (0, 0)
    assert "RunsMissed" not in told(kubectl, namespace, "rests")
