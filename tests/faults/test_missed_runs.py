"""What becomes of due times that pass while Temporal or the operator is away; see docs/schedules.md."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from support.events import told
from support.objects import Object, apply, get, goosejob, is_true
from support.rig import Handle, Rig

Eventually = Callable[..., Awaitable[Any]]

EVERY = timedelta(seconds=10)
STRICT = 15
"""Seconds: more than what is due is late on a slow machine that nobody is taken away from."""
OUTAGE = timedelta(seconds=45)
NEVER = "0 8 1 1 *"


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    own_platform.worker()
    return own_platform


@pytest.fixture(scope="module")
def operator(rig: Rig) -> Handle:
    return rig.operator()


def due_times(obj: Object) -> list[datetime]:
    """Of the runs on record, oldest first."""
    found = obj["status"].get("recentRuns", [])
    return sorted(datetime.fromisoformat(run["scheduledTime"]) for run in found)


def is_gapless(moments: list[datetime]) -> bool:
    return {later - earlier for earlier, later in pairwise(moments)} == {EVERY}


def late(name: str, deadline: int, schedule: str = "@every 10s") -> Object:
    return goosejob(
        name,
        schedule=schedule,
        startingDeadlineSeconds=deadline,
        concurrencyPolicy="Allow",
        successfulRunsHistoryLimit=25,
    )


async def outage(rig: Rig, eventually: Eventually, *names: str) -> datetime:
    """Take Temporal away for longer than the shorter deadline, once each has run; returns when it went."""
    for name in names:
        await eventually(lambda name=name: due_times(get(rig.kubectl, "default", name)))
    rig.server("temporal").kill9()
    gone = datetime.now(UTC)
    await eventually(lambda: datetime.now(UTC) - gone > OUTAGE)
    rig.restart("temporal")
    return gone


@pytest.mark.invariant("I4")
@pytest.mark.invariant("I5")
@pytest.mark.usefixtures("operator")
async def test_what_was_due_while_temporal_was_away_runs_within_the_deadline_and_is_missed_beyond_it(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, "default", late("patient", 3600), late("strict", STRICT))
    gone = await outage(rig, eventually, "patient", "strict")
    back = datetime.now(UTC)

    def look(name: str) -> Object | bool:
        obj = get(rig.kubectl, "default", name)
        return due_times(obj)[-1] > back and obj

    for name in ("patient", "strict"):
        await eventually(lambda name=name: look(name), timeout=180)
    # Then no more come, and all that have started end.
    apply(rig.kubectl, "default", late("patient", 3600, NEVER), late("strict", STRICT, NEVER))

    def settled(name: str) -> Object | bool:
        obj = get(rig.kubectl, "default", name)
        return is_true(obj, "Ready") and not obj["status"].get("active") and obj

    def complete() -> Object | bool:
        """Every due time has run; a run that is about to begin is not active yet."""
        obj = get(rig.kubectl, "default", "patient")
        assert is_gapless(due_times(obj))
        return settled("patient") and obj

    patient: Object = await eventually(complete, timeout=180)
    assert sum(gone < moment < back for moment in due_times(patient)) >= 4
    assert patient["status"]["counts"]["missed"] == 0

    def counted() -> Object | bool:
        """Every due time has run, or is counted as missed."""
        obj = get(rig.kubectl, "default", "strict")
        found = due_times(obj)
        between = (found[-1] - found[0]) // EVERY + 1
        return settled("strict") and obj["status"]["counts"]["missed"] == between - len(found) > 0 and obj

    strict: Object = await eventually(counted, timeout=180)
    ran = due_times(strict)
    gaps = [(earlier, later) for earlier, later in pairwise(ran) if later - earlier != EVERY]
    ((last_before, first_after),) = gaps  # the oldest of the outage are missed, those within the deadline ran
    assert last_before <= gone < first_after
    event = await eventually(lambda: told(rig.kubectl, "default", "strict").get("RunsMissed"))
    assert str(strict["status"]["counts"]["missed"]) in event["message"]
    assert "RunsMissed" not in told(rig.kubectl, "default", "patient")
    rig.kubectl("delete", "gj", "patient", "strict", "--timeout=180s")


async def test_runs_start_when_they_are_due_while_no_operator_is_there(
    rig: Rig, eventually: Eventually, operator: Handle
) -> None:
    apply(rig.kubectl, "default", late("served", 60))
    await eventually(lambda: due_times(get(rig.kubectl, "default", "served")))
    operator.kill9()
    gone = datetime.now(UTC)

    def ran_on() -> bool:
        """Every due time has run, up to the third one since; later ones may overtake each other."""
        moments = due_times(get(rig.kubectl, "default", "served"))
        third = [moment for moment in moments if moment > gone][2]
        return is_gapless([moment for moment in moments if moment <= third])

    await eventually(ran_on, timeout=180)
    assert not operator.alive
    assert get(rig.kubectl, "default", "served")["status"]["nextScheduleTime"]
