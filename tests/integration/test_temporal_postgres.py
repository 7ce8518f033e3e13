"""Temporal on PostgreSQL: what was scheduled and what runs survives that both are killed at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support import schedules
from support.ledger import Ledger
from support.objects import Eventually, Object, apply, get, goosejob, last_run, recipe
from support.postgres import Postgres
from support.rig import Rig
from support.schedules import schedule_id
from support.temporal_server import TemporalServer

NAMESPACE = "default"
EVERY = timedelta(seconds=5)
MOST_RECORDS = 25
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


def due_times(rig: Rig, name: str) -> list[datetime]:
    """Of all runs on record, oldest first."""
    recorded = status(rig, name).get("recentRuns", [])
    return sorted(datetime.fromisoformat(run["scheduledTime"]) for run in recorded)


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
        apply(rig.kubectl, NAMESPACE, often, long)
        await eventually(lambda: len(due_times(rig, "often")) >= 2)
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
        after = await schedules.schedule(
            await temporal.connect(), schedule_id(get(rig.kubectl, NAMESPACE, "often"))
        )
        assert after == before

        await eventually(lambda: due_times(rig, "often")[-1] > back + 2 * EVERY)
        rig.kubectl(
            "patch", "-n", NAMESPACE, "gj", "often", "--type=merge", "-p", '{"spec":{"suspend":true}}'
        )
        await eventually(lambda: not status(rig, "often").get("active"))

        due = due_times(rig, "often")
        assert any(killed < time < back for time in due)
        assert due == [due[0] + EVERY * n for n in range(len(due))]  # none is missing, none is there twice
        counts = status(rig, "often")["counts"]
        assert (counts["succeeded"], counts.get("failed", 0), counts.get("missed", 0)) == (len(due), 0, 0)
        attempts = sum(run["attempt"] for run in status(rig, "often")["recentRuns"])
        assert len(due) <= file.read_text().count("started") <= attempts

        run = await eventually(lambda: last_run(get(rig.kubectl, NAMESPACE, "long")), timeout=120)
        assert run["outcome"] == "Succeeded"
        assert status(rig, "long")["counts"]["succeeded"] == 1
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "often", "long")
