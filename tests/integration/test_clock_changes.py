"""In the night in which clocks are set back, `status.nextScheduleTime` and Temporal name the same moments."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.objects import Kubectl, Object, apply, get, goosejob, is_true
from support.schedules import schedule_id

Eventually = Callable[..., Awaitable[Any]]


def night_of(year: int) -> datetime:
    """02:00 CEST on the last Sunday of October: an hour later clocks are set back to it."""
    last = date(year, 10, 31)
    sunday = last - timedelta(days=last.isoweekday() % 7)
    return datetime(sunday.year, sunday.month, sunday.day, tzinfo=UTC)


@pytest.mark.invariant("I22")
@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("30 2 * * *", [30, 90]),
        ("0 3 * * *", [120]),
        ("*/20 1-3 * * *", [20, 40, 60, 80, 100, 120, 140, 160]),
        ("*/30 * * * SUN", [30, 60, 90, 120, 150]),
        ("@every 40m", None),
    ],
)
async def test_the_object_and_temporal_tell_the_same_times_when_an_hour_comes_twice(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    temporal_address: str,
    expression: str,
    minutes: list[int] | None,
) -> None:
    night = night_of(datetime.now(UTC).year + 1)
    spec: Object = {"timeZone": "Europe/Paris", "execution": {"pool": "nobody"}}
    spec |= {"startTime": (night + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    apply(kubectl, namespace, goosejob("night", schedule=expression, **spec))
    obj = await eventually(lambda: (o := get(kubectl, namespace, "night")) and is_true(o, "Ready") and o)
    client: Client = await schedules.connect(temporal_address)
    told = (await client.get_schedule_handle(schedule_id(obj)).describe()).info.next_action_times
    if minutes is None:
        assert {later - earlier for earlier, later in pairwise(told)} == {timedelta(minutes=40)}
    else:
        assert told[: len(minutes)] == [night + timedelta(minutes=each) for each in minutes]
    assert datetime.fromisoformat(obj["status"]["nextScheduleTime"]) == told[0]
    assert len(set(told)) == len(told)
