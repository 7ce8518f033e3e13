"""What was counted stays counted when Temporal has to count anew: servers of this module's own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.events import told
from support.objects import apply, get, goosejob, is_true
from support.requests import RUN, answer, ask
from support.rig import Rig
from support.schedules import schedule_id

Eventually = Callable[..., Any]

NAMESPACE = "default"
BUSY: dict[str, Any] = {"schedule": "@every 2s", "execution": {"pool": "nobody"}}
"""Its first run waits for a worker for ever, so that each later due time is skipped."""


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Iterator[Rig]:
    with own_platform.start_operator(GOOSEJOBS_RESYNC_SECONDS="1"):
        yield own_platform


class Counter:
    """`status.counts.skipped` of a GooseJob, as far as it was seen."""

    def __init__(self, rig: Rig, eventually: Eventually, name: str) -> None:
        self._rig = rig
        self._eventually = eventually
        self._name = name
        self.seen = [0]

    async def reaches(self, number: int) -> None:
        def reached() -> bool:
            self.seen.append(get(self._rig.kubectl, NAMESPACE, self._name)["status"]["counts"]["skipped"])
            return self.seen[-1] >= number

        await self._eventually(reached, timeout=180)


async def temporals_own(client: Client, id_: str) -> int:
    """How many due times the schedule that there is has skipped itself."""
    found = await schedules.describe(client, id_)
    assert found is not None
    return found.info.overlap_skipped


async def counts_on(rig: Rig, eventually: Eventually, counter: Counter, name: str, before: int) -> None:
    """See that what the schedule that was made anew counts comes on top of what was counted before."""
    client = await schedules.connect(rig.temporal_address)
    id_ = schedule_id(get(rig.kubectl, NAMESPACE, name))

    async def has_counted() -> bool:
        return await temporals_own(client, id_) >= 3

    await counter.reaches(before + 3)
    await eventually(has_counted)
    apply(rig.kubectl, NAMESPACE, goosejob(name, **BUSY, suspend=True))  # then its number stands still
    await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, name), "Ready"))
    await counter.reaches(before + await temporals_own(client, id_))
    assert counter.seen == sorted(counter.seen)


async def test_a_schedule_that_was_deleted_by_hand_counts_on_where_it_stopped(
    rig: Rig, eventually: Eventually
) -> None:
    client = await schedules.connect(rig.temporal_address)
    apply(rig.kubectl, NAMESPACE, goosejob("deleted", **BUSY))
    counter = Counter(rig, eventually, "deleted")
    await counter.reaches(3)
    id_ = schedule_id(get(rig.kubectl, NAMESPACE, "deleted"))
    await client.get_schedule_handle(id_).delete()
    await counts_on(rig, eventually, counter, "deleted", before=counter.seen[-1])
    rig.kubectl("delete", "gj", "deleted", "--timeout=180s")


async def test_a_temporal_that_lost_its_store_counts_on_where_the_old_one_stopped(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("lost", **BUSY))
    counter = Counter(rig, eventually, "lost")
    await counter.reaches(3)
    rig.server("temporal").kill9()
    for file in rig.home.glob("temporal.db*"):
        file.unlink()
    before = get(rig.kubectl, NAMESPACE, "lost")["status"]["counts"]["skipped"]
    rig.restart("temporal")
    await counts_on(rig, eventually, counter, "lost", before)
    rig.kubectl("delete", "gj", "lost", "--timeout=180s")


async def test_a_due_time_that_was_missed_is_counted_once_whatever_happens_before_the_next_one(
    rig: Rig, eventually: Eventually
) -> None:
    """Temporal itself counts it anew whenever it does anything for the schedule."""
    every, window = timedelta(seconds=40), timedelta(seconds=20)
    late: dict[str, Any] = {
        "schedule": "@every 40s",
        "startingDeadlineSeconds": 20,
        "concurrencyPolicy": "Allow",
    }
    apply(rig.kubectl, NAMESPACE, goosejob("missed", **late, execution={"pool": "nobody"}))
    obj = await eventually(lambda: (o := get(rig.kubectl, NAMESPACE, "missed")) and is_true(o, "Ready") and o)

    def next_due() -> datetime:
        steps = int(datetime.now(UTC).timestamp()) // int(every.total_seconds())
        return datetime.fromtimestamp(0, UTC) + (steps + 1) * every

    def left() -> timedelta:
        return next_due() - datetime.now(UTC)

    temporal = rig.server("temporal")
    while True:
        await eventually(lambda: timedelta(seconds=5) < left() < timedelta(seconds=30))
        due = next_due()
        temporal.freeze()
        if datetime.now(UTC) < due:
            break
        temporal.thaw()  # it may have come to it: this machine was stalled
    try:
        await eventually(lambda: datetime.now(UTC) - due > window + timedelta(seconds=2), timeout=120)
    finally:
        temporal.thaw()

    def status() -> Any:
        return get(rig.kubectl, NAMESPACE, "missed")["status"]

    await eventually(lambda: status()["counts"]["missed"])
    for token in ("one", "two"):
        ask(rig.kubectl, NAMESPACE, "missed", RUN, token)
        said = await answer(rig.kubectl, eventually, NAMESPACE, "missed", "run", token)
        assert said["answer"] == "Started"
    client = await schedules.connect(rig.temporal_address)

    async def went_on() -> bool:
        """A due time has come since."""
        found = await schedules.describe(client, schedule_id(obj))
        assert found is not None
        times = [each.schedule_time.ToDatetime(UTC) for each in found.info.recent_actions]
        return any(time >= due + every and time.timestamp() % every.total_seconds() == 0 for time in times)

    await eventually(went_on)
    ask(rig.kubectl, NAMESPACE, "missed", RUN, "last")  # so that the operator has looked
    await answer(rig.kubectl, eventually, NAMESPACE, "missed", "run", "last")
    assert status()["counts"]["missed"] == 1
    event = await eventually(lambda: told(rig.kubectl, NAMESPACE, "missed")["RunsMissed"])  # after the status
    assert event["count"] == 1
    assert "ScheduleRestored" not in told(rig.kubectl, NAMESPACE, "missed")
    rig.kubectl("delete", "gj", "missed", "--timeout=180s")
