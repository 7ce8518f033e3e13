"""What Temporal's matcher gets wrong when clocks are changed, put right for some time ahead. Pure.

A time is due whenever the zone's clocks show it: that is a CronJob's rule, too. The matcher walks over
readings of the clock, and around a change it passes by times that are shown, and makes up others (see
goosejobs.cron.matcher). What it would pass by goes to Temporal moment by moment, each as an interval as long
as the moment is after 1970: so the first time that it ends is that moment, and the next one is half a century
later. What it would make up is skipped, by what clock and calendar show then.
"""

import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from goosejobs.cron import zones
from goosejobs.cron.matcher import next_moment
from goosejobs.cron.timetable import SKIP_COMMENT, Calendar, Interval, Timetable

MOST: Final = 200
"""Moments given for one change at most: an expression for every minute would make a schedule of hundreds."""

_YEARS: Final = 2
"""This year and the next: so schedules that have such moments change once a year, at the turn of it."""

_MINUTE: Final = 60
_HOUR: Final = 3600
_BLOCK: Final = 900
"""Seconds. All offsets that zones have today, and all moments of change, are multiples of it."""
_NEAR: Final = 2 * _HOUR
"""How far from where its search begins the matcher may go wrong."""
_BEFORE: Final = 2 * _HOUR
_AFTER: Final = 25 * _HOUR
"""How far from a change the matcher may go wrong: to the end of a day whose midnight was skipped."""


def complete(timetable: Timetable, now: datetime) -> Timetable:
    """The same timetable with what is needed around the changes of this year and the next.

    Args:
        timetable: From `parse`.
        now: An aware time, of which only the year matters.
    """
    if not timetable.calendars or not zones.changes_clocks(timetable.zone):
        return timetable
    return _complete(timetable, now.astimezone(UTC).year)


@lru_cache(maxsize=8192)
def _complete(timetable: Timetable, year: int) -> Timetable:
    start, end = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + _YEARS))
    zone = zoneinfo.ZoneInfo(timetable.zone)
    lost: list[int] = []
    skip = dict.fromkeys(timetable.skip)
    for change in zones.changes(timetable.zone, start, end):
        passed_by, made_up = _astray(timetable, zone, change - _BEFORE, change + _AFTER)
        lost += passed_by
        skip |= dict.fromkeys(_readings(timetable, zone, made_up))
    intervals = (*timetable.intervals, *map(Interval, lost))
    return replace(timetable, intervals=intervals, skip=tuple(skip))


def _astray(
    timetable: Timetable, zone: zoneinfo.ZoneInfo, start: int, end: int
) -> tuple[list[int], list[int]]:
    """Where the matcher goes wrong.

    Returns:
        The named moments from the first to the last that it would pass by, wherever its search begins: at the
        one before, or, after an outage, later. And the moments that it would make up.
    """
    named = sorted({moment for each in timetable.calendars for moment in shown(each, zone, start, end)})
    lost, made_up = [], []
    after = start
    for moment in (*named, end + 1):
        while (found := next_moment(timetable, zone, after)) < moment:
            made_up.append(found)
            after = found
        begins = (
            after,
            *(each for each in range(moment - _NEAR, moment, _BLOCK) if each > after),
            moment - 1,
        )
        if moment <= end and any(next_moment(timetable, zone, begin) > moment for begin in begins):
            lost.append(moment)
        after = moment
    return [moment for moment in named if lost and lost[0] <= moment <= lost[-1]][:MOST], made_up


def _readings(timetable: Timetable, zone: zoneinfo.ZoneInfo, moments: Iterable[int]) -> Iterator[Calendar]:
    """What clock and calendar show at moments that the matcher makes up: whenever they do, nothing is named.

    Beside an `@every`, that may be due at such a moment, nothing can be taken out.
    """
    minutes: dict[tuple[int, int, int, int], set[int]] = {}
    for moment in moments if not timetable.intervals else ():
        local = datetime.fromtimestamp(moment, zone)
        hour = (local.hour, local.day, local.month, local.isoweekday() % 7)
        minutes.setdefault(hour, set()).add(local.minute)
    for (at, day, month, weekday), found in minutes.items():
        yield Calendar(tuple(sorted(found)), (at,), (day,), (month,), (weekday,), SKIP_COMMENT)


def shown(calendar: Calendar, zone: zoneinfo.ZoneInfo, start: int, end: int) -> Iterator[int]:
    """The moments at which the zone's clocks show a time of a calendar.

    Args:
        calendar: The calendar.
        zone: The zone.
        start: Seconds since the epoch; only later moments are given.
        end: Seconds since the epoch, inclusive.
    """
    for block in range(start // _BLOCK * _BLOCK, end + 1, _BLOCK):
        local = datetime.fromtimestamp(block, zone)
        if (
            local.hour in calendar.hours
            and local.day in calendar.days
            and local.month in calendar.months
            and local.isoweekday() % 7 in calendar.weekdays
        ):
            for minute in calendar.minutes:
                moment = block + (minute - local.minute) * _MINUTE
                if block <= moment < block + _BLOCK and start < moment <= end:
                    yield moment
