"""Temporal on PostgreSQL: what was scheduled and what runs survives that both are killed at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.ledger import Ledger
from support.objects import Eventually, Object, apply, get, goosejob, is_true, last_run, recipe
from support.postgres import Postgres
from support.rig import Rig
from support.schedules import schedule_id
from support.temporal_server import TemporalServer

NAMESPACE = "default"
EVERY = timedelta(seconds=12)
MOST_RECORDS = 25
"""That all are on record, the whole test must not take so many times `EVERY`."""
TOOLS = [{"type": "builtin", "name": "developer"}]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module")
async def postgres(rig: Rig) -> Postgres:
    server = Postgres(rig.home)
    server.create()
    await server.start()
    server.create_tables()
    return server


@pytest.fixture(scope="module")
async def temporal(rig: Rig, postgres: Postgres) -> TemporalServer:
    server = TemporalServer(rig.home, postgres.store)
    await server.start()
    return server


def status(rig: Rig, name: str) -> Object:
    found: Object = get(rig.kubectl, NAMESPACE, name)["status"]
    return found


def due_times(found: Object) -> list[datetime]:
    """Of all runs on record, oldest first."""
    return sorted(datetime.fromisoformat(run["scheduledTime"]) for run in found.get("recentRuns", []))


async def all_told(rig: Rig, client: Client, name: str) -> Object:
    """It, once it is suspended and all runs that Temporal has started are on record."""
    obj = get(rig.kubectl, NAMESPACE, name)
    assert is_true(obj, "Suspended")
    found = await schedules.describe(client, schedule_id(obj))
    assert found is not None
    counts = obj["status"]["counts"]
    ended = sum(counts.get(kind, 0) for kind in ("succeeded", "failed", "killed"))
    assert ended == found.info.action_count
    return obj


async def test_schedules_and_runs_survive_that_server_and_database_are_killed(
    rig: Rig, eventually: Eventually, pool: str, ledger: Ledger, postgres: Postgres, temporal: TemporalServer
) -> None:
    file = ledger.directory / "ledger"
    often = goosejob(
        "often",
        schedule=f"@every {EVERY.seconds}s",
        concurrencyPolicy="Allow",
        successfulRunsHistoryLimit=MOST_RECORDS,
        recipe={"inline": recipe(f"stub: shell echo started >>{file}", extensions=TOOLS)},
        execution={"pool": pool},
    )
    long = goosejob("long", "stub: slow 25", execution={"pool": pool})
    env: Any = temporal.environment
    with rig.start_operator(**env), rig.start_worker(pool=pool, **env):
        apply(rig.kubectl, NAMESPACE, often)
        await eventually(lambda: len(due_times(status(rig, "often"))) >= 2)
        apply(rig.kubectl, NAMESPACE, long)
        await eventually(lambda: status(rig, "long")["active"])
        before = await schedules.schedule(
            await temporal.connect(), schedule_id(get(rig.kubectl, NAMESPACE, "often"))
        )
        postgres.kill9()
        temporal.handle.kill9()
        killed = datetime.now(UTC)
        await eventually(lambda: datetime.now(UTC) > killed + 2 * EVERY)
        await postgres.start()
        await temporal.start()
        back = datetime.now(UTC)
        client, id_ = await temporal.connect(), schedule_id(get(rig.kubectl, NAMESPACE, "often"))
        # Whoever answers for schedules, a worker of the server's own, comes a while after its frontend.
        after = await eventually(lambda: schedules.schedule(client, id_))
        assert after == before

        await eventually(lambda: due_times(status(rig, "often"))[-1] > back + 2 * EVERY)
        rig.kubectl(
            "patch", "-n", NAMESPACE, "gj", "often", "--type=merge", "-p", '{"spec":{"suspend":true}}'
        )
        often = await eventually(lambda: all_told(rig, client, "often"), timeout=180)

        due = due_times(often["status"])
        assert any(killed < time < back for time in due)
        assert due == [due[0] + EVERY * n for n in range(len(due))]  # none is missing, none is there twice
        counts = often["status"]["counts"]
        assert (counts["succeeded"], counts.get("failed", 0), counts.get("missed", 0)) == (len(due), 0, 0)
        attempts = sum(run["attempt"] for run in often["status"]["recentRuns"])
        assert len(due) <= file.read_text().count("started") <= attempts

        run = await eventually(lambda: last_run(get(rig.kubectl, NAMESPACE, "long")), timeout=240)
        assert run["outcome"] == "Succeeded"
        assert status(rig, "long")["counts"]["succeeded"] == 1
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "often", "long")
