"""The next times of a timetable, by the rules of the Temporal server's matcher. Pure.

The rules were read in the server's sources (1.29, service/worker/scheduler) and are held against a running
server by tests/integration/test_cron_server.py. What is odd here is odd there: this must say what it will do.

The matcher walks over the readings of the zone's clock and turns the first that matches into a moment. When
it leaves an hour, and the start of the next stands for a moment more than an hour after this one's start, it
goes through this hour once more and adds an hour of real time. That is right where a reading that comes twice
stands for its first coming. Where it stands for its second, the hour gone through again is the wrong one: the
one before the repeated. goosejobs.cron.changes makes up for it.
"""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final

from goosejobs.cron import zones
from goosejobs.cron.timetable import END, LAST_YEAR, Calendar, Interval, Timetable

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()


def upcoming(timetable: Timetable, after: datetime, count: int) -> list[datetime]:
    """The next times at which Temporal will fire, jitter apart.

    Args:
        timetable: From `parse`.
        after: An aware time; only later ones are returned.
        count: How many to return at most.

    Returns:
        Times in UTC, in order, none twice; fewer than `count` only where the years up to 2100 have no more.

    Raises:
        ValueError: `after` has no time zone.
    """
    if after.tzinfo is None:
        raise ValueError("the time to start from must have a time zone")
    moments = _moments(timetable, (after - _EPOCH) // timedelta(seconds=1))
    return [_EPOCH + timedelta(seconds=moment) for moment in islice(moments, count)]


def _moments(timetable: Timetable, after: int) -> Iterator[int]:
    """Each time is searched from the one before it, in all calendars, as the server does."""
    zone = zoneinfo.ZoneInfo(timetable.zone)
    after = max(after, -1)  # the server starts at the epoch
    end = END
    if timetable.start is not None:
        after = max(after, -((_EPOCH - timetable.start) // timedelta(seconds=1)) - 1)
    if timetable.end is not None:
        end = min(end, (timetable.end - _EPOCH) // timedelta(seconds=1) + 1)
    while True:
        after = next_moment(timetable, zone, after)
        if after >= end:
            return
        if (
            timetable.skip_dates
            and (today := datetime.fromtimestamp(after, zone).date()) in timetable.skip_dates
        ):
            after = max(after, zones.moment_of(zone, _start_of(today + timedelta(days=1))) - 1)
        elif not any(_covers(calendar, zone, after) for calendar in timetable.skip):
            yield after


def next_moment(timetable: Timetable, zone: zoneinfo.ZoneInfo, after: int) -> int:
    """The first match after a moment, whatever is to be skipped; `END` or later when there is none.

    Args:
        timetable: The calendars and intervals.
        zone: The timetable's.
        after: Seconds since the epoch, as is what it returns.
    """
    found = [_next_of_interval(interval, after) for interval in timetable.intervals]
    found += [_next_of_calendar(calendar, zone, after) for calendar in timetable.calendars]
    return min(found)


def _covers(skip: Calendar, zone: zoneinfo.ZoneInfo, moment: int) -> bool:
    """Whether a calendar to skip takes this moment out."""
    local = datetime.fromtimestamp(moment, zone)
    return (
        local.minute in skip.minutes
        and local.hour in skip.hours
        and local.day in skip.days
        and local.month in skip.months
        and local.isoweekday() % 7 in skip.weekdays
    )


def _next_of_interval(interval: Interval, after: int) -> int:
    return (max(after - interval.phase, 0) // interval.every + 1) * interval.every + interval.phase


def _next_of_calendar(calendar: Calendar, zone: zoneinfo.ZoneInfo, after: int) -> int:
    """The first moment after `after` that the server takes as a match; `END` or later when there is none."""
    reading, delay = _minute_after(zone, after)
    while True:
        matching_hour = _matching_hour(calendar, zone, reading)
        if matching_hour is None:
            return END
        if matching_hour != reading:
            reading, delay = matching_hour, 0
        hour = reading // _HOUR * _HOUR
        minute = next((minute for minute in calendar.minutes if minute * _MINUTE >= reading - hour), None)
        if minute is None:
            reading, delay = _leave_hour(zone, hour, delay)
            continue
        moment = zones.moment_of(zone, hour + minute * _MINUTE)
        if _clock_hour(zone, moment) == hour // _HOUR % 24:
            return moment + delay
        reading = hour + _HOUR  # the clock never shows this hour


def _minute_after(zone: zoneinfo.ZoneInfo, after: int) -> tuple[int, int]:
    """Where the search starts, and its delay: an hour in the second coming of an hour, else 0."""
    reading = after + zones.offset(zone, after)
    again = _clock_hour(zone, after - _HOUR) == _clock_hour(zone, after)
    delay = _HOUR if again else 0
    minute = reading // _MINUTE * _MINUTE + _MINUTE
    return (minute, delay) if minute % _HOUR else _leave_hour(zone, minute - _HOUR, delay)


def _clock_hour(zone: zoneinfo.ZoneInfo, moment: int) -> int:
    return datetime.fromtimestamp(moment, zone).hour


def _leave_hour(zone: zoneinfo.ZoneInfo, hour: int, delay: int) -> tuple[int, int]:
    """Where to go on after the last minute of an hour: at the next hour, or in the same one once more."""
    comes_twice = zones.moment_of(zone, hour + _HOUR) - zones.moment_of(zone, hour) > _HOUR
    return (hour, _HOUR) if comes_twice and delay == 0 else (hour + _HOUR, 0)


def _matching_hour(calendar: Calendar, zone: zoneinfo.ZoneInfo, reading: int) -> int | None:
    """The first reading from `reading` on in an hour of the calendar: itself, or a later hour's start."""
    while True:
        days, seconds = divmod(reading, _DAY)
        today = date.fromordinal(days + _EPOCH_ORDINAL)
        if today.year > LAST_YEAR:
            return None
        if today.month not in calendar.months:
            reading = _start_of(_next_month(today))
        elif today.day not in calendar.days or not _on_weekday(calendar, zone, reading):
            reading = _start_of(_next_day(calendar, today))
        else:
            hour = next((hour for hour in calendar.hours if hour >= seconds // _HOUR), None)
            if hour is not None:
                return max(reading, days * _DAY + hour * _HOUR)
            reading = (days + 1) * _DAY


def _on_weekday(calendar: Calendar, zone: zoneinfo.ZoneInfo, reading: int) -> bool:
    """Whether the weekday matches, as the server finds it: by the moment that the reading stands for.

    At a midnight that the clock jumps over, in the west, that moment is still in the day before.
    """
    if len(calendar.weekdays) == 7:
        return True
    moment = zones.moment_of(zone, reading)
    days = (moment + zones.offset(zone, moment)) // _DAY
    return (days + 4) % 7 in calendar.weekdays  # 1970-01-01 was a Thursday


def _next_day(calendar: Calendar, today: date) -> date:
    """The next day of the month in the calendar, or the first of the next month."""
    day = next((day for day in calendar.days if day > today.day), None)
    try:
        return _next_month(today) if day is None else today.replace(day=day)
    except ValueError:  # this month is shorter
        return _next_month(today)


def _next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def _start_of(day: date) -> int:
    return (day.toordinal() - _EPOCH_ORDINAL) * _DAY
