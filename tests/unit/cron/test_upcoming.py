"""The upcoming times, against two other implementations, and through changes of the clock."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from goosejobs import cron

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
STARTS = st.integers(0, 4 * 365 * 86400).map(
    lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)


@st.composite
def entries(draw: st.DrawFn, low: int, high: int) -> str:
    """One entry of a list. Not `a-a`, which croniter reads as the whole field; robfig as `a`."""
    first = draw(st.integers(low, high - 1))
    last = draw(st.integers(first + 1, high))
    step = draw(st.integers(2, 20))
    return draw(
        st.sampled_from(
            [f"{first}", f"{last}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first}/{step}"]
        )
    )


def fields(low: int, high: int, star: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(entries(low, high), min_size=1, max_size=3).map(",".join)
    return star | lists


def expressions(day_star: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    star = st.sampled_from(["*", "*/2", "*/7"])
    minutes, hours, days, months, weekdays = (
        fields(low, high, day_star if place in {2, 4} else star) for place, (low, high) in enumerate(BOUNDS)
    )
    return st.builds(lambda *parts: " ".join(parts), minutes, hours, days, months, weekdays)


def by_croniter(expression: str, after: datetime) -> Iterator[datetime]:
    found = croniter(expression, after, ret_type=datetime)
    while True:
        yield found.get_next(datetime)


def same(expression: str, after: datetime, expected: Iterator[datetime]) -> None:
    try:
        timetable = cron.parse([expression])
    except cron.NeverFires:
        assert not croniter.is_valid(expression, strict=True)
        return
    times = takewhile(lambda moment: moment.year <= 2100, expected)
    assert cron.upcoming(timetable, after, 20) == list(islice(times, 20))


@settings(max_examples=100, deadline=None)
@given(expressions(st.sampled_from(["*", "?", "*/2", "*/5"])), STARTS)
@example("0 0 29 2 *", datetime(2026, 1, 1, tzinfo=UTC))
@example("8/1,22-25 * * * *", datetime(2026, 1, 1, tzinfo=UTC))
def test_croniter_finds_the_same_times(expression: str, after: datetime) -> None:
    """In UTC. Left out is what croniter reads otherwise than robfig: that `*/1` restricts the days, that
    `0-6` beside `*/2` does not, that `?` may stand for days only."""
    days, _, weekdays = expression.split()[2:]
    named, _ = croniter.expand(f"0 0 1 1 {weekdays}")
    assume("/" not in days or len(named[4]) < 7)
    same(expression, after, by_croniter(expression, after))


@settings(max_examples=100, deadline=None)
@given(expressions(st.just("*")), STARTS)
def test_cronsim_finds_the_same_times(expression: str, after: datetime) -> None:
    """In UTC. Left out is what cronsim reads otherwise than robfig: with `*/2` in a day field both days have
    to match, as in Debian's cron; weekday `1/2` ends with 7; there is no `?`."""
    assume(not re.search(r"\b(?<!-)\d/", expression.split()[4]))
    same(expression, after, CronSim(expression, after))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(expressions(st.just("*")), min_size=1, max_size=4),
    STARTS,
    st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
)
def test_times_are_in_order_and_later_than_the_start(texts: list[str], after: datetime, zone: str) -> None:
    try:
        timetable = cron.parse(texts, zone)
    except cron.NeverFires:
        return
    times = cron.upcoming(timetable, after, 30)
    assert all(earlier < later for earlier, later in pairwise([after, *times]))
    assert cron.upcoming(timetable, after, 10) == times[:10]


def test_a_time_that_two_expressions_name_comes_once() -> None:
    timetable = cron.parse(["0 8 * * *", "0 8 1 * *", "0 */4 * * *"])
    times = cron.upcoming(timetable, datetime(2026, 11, 1, tzinfo=UTC), 6)
    assert [moment.hour for moment in times] == [4, 8, 12, 16, 20, 0]


def test_every_counts_from_the_epoch() -> None:
    after = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC)
    first, second = cron.upcoming(cron.parse(["@every 7m"]), after, 2)
    assert first.timestamp() % 420 == 0
    assert second - first == timedelta(minutes=7)
    assert timedelta(0) < first - after <= timedelta(minutes=7)


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=59)])
def test_the_start_itself_is_not_upcoming(offset: timedelta) -> None:
    due = datetime(2026, 11, 23, 8, tzinfo=UTC)
    timetable = cron.parse(["0 8 * * *"])
    assert cron.upcoming(timetable, due + offset, 1) == [due + timedelta(days=1)]
    assert cron.upcoming(timetable, due - timedelta(microseconds=1), 1) == [due]


def test_the_start_may_be_in_any_zone_but_must_have_one() -> None:
    paris = datetime(2026, 11, 23, 9, 30, tzinfo=ZoneInfo("Europe/Paris"))
    assert cron.upcoming(cron.parse(["45 8 * * *"]), paris, 1) == [datetime(2026, 11, 23, 8, 45, tzinfo=UTC)]
    with pytest.raises(ValueError, match="must have a time zone"):
        cron.upcoming(cron.parse(["@daily"]), paris.replace(tzinfo=None), 1)


def test_temporal_looks_no_further_than_2100() -> None:
    last = cron.upcoming(cron.parse(["0 0 29 2 *"]), datetime(2095, 1, 1, tzinfo=UTC), 9)
    assert last == [datetime(2096, 2, 29, tzinfo=UTC)]
    assert cron.upcoming(cron.parse(["@every 24h"]), datetime(2100, 12, 31, tzinfo=UTC), 9) == []


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "59 23 31 12 *", "0 8 * * 1-5", "* * * * *"])
def test_the_next_time_is_found_in_far_less_than_a_minute_by_minute_search_takes(expression: str) -> None:
    timetable = cron.parse([expression], "Europe/Paris")
    after = datetime(2028, 3, 1, tzinfo=UTC)  # four years before the next leap day
    begin = time.process_time()
    for _ in range(100):
        cron.upcoming(timetable, after, 1)
    assert (time.process_time() - begin) / 100 < 0.005
