"""`upcoming()` says what the Temporal server will fire, through every change of the clock in two years."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleHandle, ScheduleState

from goosejobs import cron
from goosejobs.model.spec import GooseJobSpec, Recipe
from support.due_times import Vector, vectors

MOST = 1000
"""Times that the server lists at once."""
AROUND = timedelta(hours=36)
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
SEED = 20261121

ZONES = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "America/Santiago",  # skips a midnight
    "Europe/London",  # winter time is UTC
]
TABLE = [
    ["*/15 * * * *"],
    ["@hourly"],
    ["@daily"],
    ["@weekly"],
    ["@every 7m"],
    ["30 0 * * *"],
    ["30 1 * * *"],
    ["30 2 * * *"],
    ["15,45 1-3 * * *"],
    ["*/20 0-22 * * *"],
    ["*/30 * * * SAT,SUN"],
    ["0 5 * * SUN"],
    ["0 8 13 * FRI"],
    ["0 0 29 2 *"],
    ["0 12 31 * ?"],
    ["30 1 * * *", "0 2 * * 1-5", "10 * * * *"],
    ["30 1 * * *", "@every 90m"],
]


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """The hours in which the zone's clocks are changed."""
    hour = timedelta(hours=1)
    moment = BEGIN
    while moment < END:
        if moment.astimezone(zone).utcoffset() != (moment + hour).astimezone(zone).utcoffset():
            yield moment
        moment += hour


def spans(zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The days around each change, and the whole two years, of which sparse expressions give all times."""
    return [(BEGIN, END), *((change - AROUND, change + AROUND) for change in changes(zone))]


def drawn(chance: random.Random) -> str:
    """An expression with times that lie near those at which clocks are changed."""

    def values(low: int, high: int) -> str:
        first, last = sorted(chance.sample(range(low, high + 1), 2))
        step = chance.randint(1, 20)
        return chance.choice(
            [f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"*/{step}", f"{last},{first}"]
        )

    weekdays = chance.choice(["*", "*", "*", values(0, 6)])
    days = chance.choice(["*", "*", "*", values(1, 31)])
    hours = chance.choice(["*", values(0, 4), values(0, 4), values(0, 23)])
    return f"{values(0, 59)} {hours} {days} * {weekdays}"


def whole(expressions: list[str], zone: str, now: datetime = BEGIN) -> cron.Timetable:
    """What the operator gives to Temporal."""
    return cron.of_spec(
        GooseJobSpec(schedules=expressions, time_zone=zone, recipe=Recipe(path="r.yaml")), now
    )


@asynccontextmanager
async def scheduled(client: Client, timetable: cron.Timetable) -> AsyncIterator[ScheduleHandle]:
    name = f"cron-{uuid.uuid4()}"
    action = ScheduleActionStartWorkflow("Never", id=name, task_queue="none")
    schedule = Schedule(action=action, spec=timetable.schedule_spec(), state=ScheduleState(paused=True))
    handle = await client.create_schedule(name, schedule)
    try:
        yield handle
    finally:
        await handle.delete()


async def listed(client: Client, handle: ScheduleHandle, start: datetime, end: datetime) -> list[datetime]:
    """The times after `start` and up to `end` at which the server will fire."""
    first, last = Timestamp(), Timestamp()
    first.FromDatetime(start)
    last.FromDatetime(end)
    answer = await client.workflow_service.list_schedule_matching_times(
        ListScheduleMatchingTimesRequest(
            namespace=client.namespace, schedule_id=handle.id, start_time=first, end_time=last
        ),
        retry=True,  # a server that is busy says so
        timeout=timedelta(seconds=60),
    )
    return [moment.ToDatetime(UTC) for moment in answer.start_time]


async def compare(client: Client, timetable: cron.Timetable, chance: random.Random) -> int:
    """How many times were compared; the search begins anywhere around a change."""
    compared = 0
    zone = timetable.zone
    async with scheduled(client, timetable) as handle:
        for begin, end in spans(ZoneInfo(zone)):
            start = begin + chance.choice(
                [timedelta(0), timedelta(minutes=chance.randrange(32 * 60, 37 * 60))]
            )
            server = await listed(client, handle, start, end)
            ours = [moment for moment in cron.upcoming(timetable, start, len(server) + 1) if moment <= end]
            assert ours[:MOST] == server, f"{timetable} after {start}"
            compared += len(server)
    return compared


@pytest.mark.parametrize("zone", ZONES)
async def test_upcoming_is_what_the_server_fires(zone: str, temporal_address: str) -> None:
    client = await Client.connect(temporal_address)
    chance = random.Random(f"{SEED} {zone}")  # noqa: S311 - the same expressions in every run
    cases = [
        *TABLE,
        *([drawn(chance)] for _ in range(8)),
        *([drawn(chance), drawn(chance)] for _ in range(4)),
    ]
    tables = [whole(case, zone) for case in cases]
    compared = await asyncio.gather(*(compare(client, table, chance) for table in tables))
    assert sum(compared) > 10 * MOST


@pytest.mark.parametrize("zone", ZONES)
async def test_upcoming_keeps_to_days_off_start_and_end_as_the_server_does(
    zone: str, temporal_address: str
) -> None:
    client = await Client.connect(temporal_address)
    chance = random.Random(f"{SEED} days off {zone}")  # noqa: S311 - the same dates in every run
    near = {(change + timedelta(days=days)).date() for change in changes(ZoneInfo(zone)) for days in (-1, 0)}
    dates = sorted({*near, *(BEGIN.date() + timedelta(days=chance.randrange(730)) for _ in range(60))})
    specs = [
        GooseJobSpec(
            schedules=case,
            time_zone=zone,
            skip_dates=dates,
            start_time=BEGIN + timedelta(days=40, seconds=chance.randrange(86400), milliseconds=500),
            end_time=chance.choice([None, END - timedelta(days=60, seconds=chance.randrange(86400))]),
            recipe=Recipe(path="r.yaml"),
        )
        for case in (*TABLE, [drawn(chance)], [drawn(chance), drawn(chance)])
    ]
    compared = await asyncio.gather(*(compare(client, cron.of_spec(spec, BEGIN), chance) for spec in specs))
    assert sum(compared) > 5 * MOST


async def test_the_server_fires_when_it_was_written_down(temporal_address: str) -> None:
    client = await Client.connect(temporal_address)

    async def check(vector: Vector) -> None:
        timetable = whole([vector.schedule], vector.zone, vector.start)
        async with scheduled(client, timetable) as handle:
            assert await listed(client, handle, vector.start, vector.end) == vector.moments, str(vector)

    await asyncio.gather(*map(check, vectors()))


async def test_the_server_keeps_the_spec_as_it_was_sent(temporal_address: str) -> None:
    """Else the operator, which compares the two, would write the schedule again and again."""
    client = await Client.connect(temporal_address)
    for expressions in TABLE:
        timetable = whole(expressions, "Europe/Paris")
        async with scheduled(client, timetable) as handle:
            kept = (await handle.describe()).schedule.spec
        assert kept._to_proto() == timetable.schedule_spec()._to_proto()
