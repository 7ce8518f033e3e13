"""Through changes of the clock: what people wrote down, and what a search finds minute by minute."""

import random
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from goosejobs import cron
from goosejobs.cron import changes, syntax, zones
from goosejobs.model.spec import GooseJobSpec, Recipe
from support.due_times import Vector, vectors

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPAN = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2026, 2028)]
SEED = 20261121
ZONES = [
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Santiago",
    "America/Havana",
    "Pacific/Chatham",
    "Africa/Cairo",
    "Asia/Beirut",
]


def due(zone: str, schedules: list[str], start: datetime, end: datetime) -> list[datetime]:
    """The times after `start` and up to `end`."""
    spec = GooseJobSpec(schedules=schedules, time_zone=zone, recipe=Recipe(path="r.yaml"))
    times = cron.upcoming(cron.of_spec(spec, start), start, 400)
    return list(takewhile(lambda moment: moment <= end, times))


@pytest.mark.parametrize("vector", vectors(), ids=str)
def test_what_is_due_is_what_was_written_down(vector: Vector) -> None:
    found = due(vector.zone, [vector.schedule], vector.start, vector.end)
    local = [moment.astimezone(ZoneInfo(vector.zone)) for moment in found]
    shown = [
        f"{moment:%Y-%m-%dT%H:%M}Z = {clock:%a %H:%M} {clock:%Z}"
        for moment, clock in zip(found, local, strict=True)
    ]
    assert shown == list(vector.due)


def test_each_zone_that_matters_is_written_down() -> None:
    assert {
        "Europe/Paris",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/Sao_Paulo",
        "Africa/Casablanca",
    } <= {vector.zone for vector in vectors()}


def drawn(chance: random.Random) -> str:
    """An expression whose times lie near those at which clocks are changed."""
    minutes = chance.choice(["0", "30", "*/15", "*/20", "5-55/10", "13", "45,15"])
    hours = chance.choice(["*", "0-3", "1-4", "*/2", "2", "1,2", "23,0,3", "0-22"])
    days, weekdays = chance.choice(
        [("*", "*"), ("*", "*"), ("1-7", "*"), ("*", "0"), ("*", "0,6"), ("*", "1-5")]
    )
    return f"{minutes} {hours} {days} * {weekdays}"


def by_the_clock(zone: str, expression: str, start: int, end: int) -> list[int]:
    """Each minute is looked at, and what the clocks show in it."""
    local = ZoneInfo(zone)
    named = syntax.read(expression)
    assert not isinstance(named, timedelta)
    assert not named.either_day
    found = []
    for minute in range(start // 60 * 60 + 60, end + 1, 60):
        clock = datetime.fromtimestamp(minute, local)
        if (
            clock.minute in named.minutes
            and clock.hour in named.hours
            and clock.day in named.days
            and clock.month in named.months
            and clock.isoweekday() % 7 in named.weekdays
        ):
            found.append(minute)
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_a_time_is_due_whenever_the_clocks_show_it_wherever_the_search_begins(zone: str) -> None:
    chance = random.Random(f"{SEED} {zone}")  # noqa: S311 - the same expressions in every run
    for change in zones.changes(zone, *SPAN):
        for _ in range(3):
            expression = drawn(chance)
            start, end = change - chance.randrange(-3600, 8 * 3600), change + 8 * 3600
            first, last = (datetime.fromtimestamp(each, UTC) for each in (start, end))
            found = [int(moment.timestamp()) for moment in due(zone, [expression], first, last)]
            assert found == by_the_clock(zone, expression, start, end), (expression, first)


def test_a_time_that_is_shown_twice_is_due_at_two_moments_an_hour_apart() -> None:
    for zone, day in (("Europe/Paris", "2026-10-25"), ("America/New_York", "2026-11-01")):
        hour = 2 if zone == "Europe/Paris" else 1
        start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
        first, second = due(zone, [f"30 {hour} * * *"], start, start + timedelta(hours=20))
        assert second - first == timedelta(hours=1)


def test_what_is_given_to_temporal_changes_once_a_year_only() -> None:
    timetable = cron.parse(["30 2 * * *"], "Europe/Paris")
    year = [changes.complete(timetable, datetime(2026, month, 28, tzinfo=UTC)) for month in range(1, 13)]
    assert len(set(year)) == 1
    assert changes.complete(timetable, datetime(2027, 1, 1, tzinfo=UTC)) != year[0]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Sao_Paulo"])
def test_where_clocks_are_never_changed_nothing_is_given(zone: str) -> None:
    timetable = cron.parse(["*/5 1-3 * * SUN"], zone)
    assert changes.complete(timetable, NOW) is timetable


@pytest.mark.parametrize(
    "expression", ["0 8 * * *", "*/15 8-18 * * 1-5", "0 4 1 * *", "@hourly", "*/15 * * * *"]
)
def test_a_schedule_that_no_change_touches_gets_nothing(expression: str) -> None:
    timetable = cron.parse([expression], "Europe/Paris")
    assert changes.complete(timetable, NOW) == timetable


def test_no_change_adds_more_than_a_schedule_can_hold() -> None:
    timetable = cron.parse(["* 0-22 * * *"], "Europe/Paris")
    added = set(changes.complete(timetable, NOW).intervals)
    assert len(added) <= 2 * changes.MOST
