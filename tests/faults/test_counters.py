"""What was counted stays counted when Temporal has to count anew: servers of this module's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.objects import apply, get, goosejob
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

        await self._eventually(reached, timeout=120)


async def temporals_own(client: Client, id_: str) -> int:
    """How many due times the schedule that there is has skipped itself."""
    found = await schedules.describe(client, id_)
    assert found is not None
    return found.info.overlap_skipped


async def test_a_schedule_that_was_deleted_by_hand_counts_on_where_it_stopped(
    rig: Rig, eventually: Eventually
) -> None:
    client = await schedules.connect(rig.temporal_address)
    apply(rig.kubectl, NAMESPACE, goosejob("deleted", **BUSY))
    counter = Counter(rig, eventually, "deleted")
    await counter.reaches(3)
    id_ = schedule_id(get(rig.kubectl, NAMESPACE, "deleted"))
    await client.get_schedule_handle(id_).delete()
    before = counter.seen[-1]
    await counter.reaches(before + 3)
    assert await temporals_own(client, id_) < counter.seen[-1]
    assert counter.seen == sorted(counter.seen)
    rig.kubectl("delete", "gj", "deleted", "--timeout=60s")


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
    await counter.reaches(before + 3)
    assert counter.seen == sorted(counter.seen)
    client = await schedules.connect(rig.temporal_address)
    assert await temporals_own(client, schedule_id(get(rig.kubectl, NAMESPACE, "lost"))) < counter.seen[-1]
    rig.kubectl("delete", "gj", "lost", "--timeout=60s")
