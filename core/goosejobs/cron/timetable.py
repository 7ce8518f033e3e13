"""Expressions and a zone -> what Temporal is told: calendars and intervals, never cron strings. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby, pairwise
from math import gcd
from typing import Final

from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from goosejobs.cron import syntax, zones
from goosejobs.cron.errors import CronError, NeverFires

LAST_YEAR: Final = 2100
"""Temporal's matcher looks no further."""
END: Final = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
"""The moment from which nothing fires any more, in seconds since the epoch."""

_HOUR: Final = 3600
_MONTH_LENGTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_COMMENT_LIMIT: Final = 200
"""Temporal refuses longer comments."""
SKIP_COMMENT: Final = "not named by the schedule"
_DAY_OFF_COMMENT: Final = "spec.skipDates"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Times on the zone's clock at which all fields match, at second 0. Fields are sorted and not empty.

    Attributes:
        minutes: 0 to 59.
        hours: 0 to 23.
        days: 1 to 31.
        months: 1 to 12.
        weekdays: 0 (Sunday) to 6.
        comment: The expression it comes from, for people who look at the schedule in Temporal.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    comment: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Interval:
    """Moments `phase + n * every` seconds after the epoch, whatever the zone."""

    every: int
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a GooseJob is due: at the times of each calendar and of each interval, except those to skip.

    Attributes:
        zone: In which the calendars are read.
        calendars: Of the expressions that name hours or days.
        intervals: Of `@every`, and of the expressions that name minutes only.
        skip: Where clocks change, times that nothing names: Temporal's matcher may fire on some of them too,
            an hour or a day late, on the days of a change.
        skip_dates: Days of the zone on which nothing is due.
        start: Nothing is due before.
        end: Nothing is due after.
    """

    zone: str
    calendars: tuple[Calendar, ...]
    intervals: tuple[Interval, ...]
    skip: tuple[Calendar, ...] = ()
    skip_dates: frozenset[date] = frozenset()
    start: datetime | None = None
    end: datetime | None = None

    def schedule_spec(self) -> ScheduleSpec:
        """A new spec for a Temporal schedule, whole but for jitter."""
        return ScheduleSpec(
            calendars=[_calendar_spec(calendar) for calendar in self.calendars],
            intervals=[_interval_spec(interval) for interval in self.intervals],
            skip=[*(_calendar_spec(calendar) for calendar in self.skip), *_days_off(self.skip_dates)],
            start_at=self.start,
            end_at=self.end,
            time_zone_name=self.zone,
        )


def parse(expressions: Sequence[str], zone: str = "UTC") -> Timetable:
    """Read the expressions of a GooseJob.

    Args:
        expressions: `spec.schedule` or `spec.schedules`: five fields, macros, `@every` durations.
        zone: `spec.timeZone`, an IANA name.

    Returns:
        The timetable. The same arguments give the same object, so this costs nothing the second time.

    Raises:
        InvalidTimeZone: There is no such zone.
        NeverFires: An expression is well-formed, but no moment matches it.
        CronError: An expression cannot be read. `index` says which one.
    """
    return _parse(tuple(expressions), zone)


@lru_cache(maxsize=8192)
def _parse(expressions: tuple[str, ...], zone: str) -> Timetable:
    zones.check(zone)
    if not expressions:
        raise CronError('there is no schedule: write at least one, such as "0 8 * * 1-5"')
    calendars: dict[Calendar, None] = {}  # as ordered sets: what two expressions share counts once
    intervals: dict[Interval, None] = {}
    for index, expression in enumerate(expressions):
        try:
            more_calendars, more_intervals = _read(expression.strip(), zone)
        except CronError as error:
            error.index = index
            raise
        calendars |= dict.fromkeys(more_calendars)
        intervals |= dict.fromkeys(more_intervals)
    timetable = Timetable(zone, tuple(calendars), tuple(intervals))
    if not calendars or not zones.changes_clocks(zone):
        return timetable
    return replace(timetable, skip=tuple(_unnamed(timetable.calendars, timetable.intervals, zone)))


def _read(expression: str, zone: str) -> tuple[Sequence[Calendar], Sequence[Interval]]:
    """What one expression becomes."""
    moments = syntax.read(expression)
    if isinstance(moments, timedelta):
        return [], [_every(expression, moments)]
    past_utc = zones.minutes_past_utc(zone)
    if past_utc is not None and _is_every_hour(moments):
        return [], _hourly(moments.minutes, past_utc)
    comment = expression[:_COMMENT_LIMIT]
    calendars = [
        Calendar(moments.minutes, moments.hours, days, moments.months, weekdays, comment)
        for days, weekdays in _days(moments)
        if any(days[0] <= _MONTH_LENGTHS[month - 1] for month in moments.months)
    ]
    if not calendars:
        raise NeverFires(
            f'"{expression}" never fires: none of its months has a day {moments.days[0]}; '
            "write a day that the month has (every month has 1 to 28)"
        )
    return calendars, []


def _every(expression: str, interval: timedelta) -> Interval:
    seconds = int(interval.total_seconds())
    if seconds >= END:  # intervals are counted from the epoch
        raise NeverFires(f'"{expression}" never fires before {LAST_YEAR + 1}: write a shorter duration')
    return Interval(seconds)


def _days(moments: syntax.Moments) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The pairs of days of the month and of the week that both have to match; any of the pairs is enough."""
    if not moments.either_day:
        return [(moments.days, moments.weekdays)]
    if syntax.DAY.every == moments.days or syntax.WEEKDAY.every == moments.weekdays:
        return [(syntax.DAY.every, syntax.WEEKDAY.every)]
    return [(moments.days, syntax.WEEKDAY.every), (syntax.DAY.every, moments.weekdays)]


def _is_every_hour(moments: syntax.Moments) -> bool:
    every_day = [(syntax.DAY.every, syntax.WEEKDAY.every)]
    return (
        _days(moments) == every_day
        and moments.hours == syntax.HOUR.every
        and moments.months == syntax.MONTH.every
    )


def _hourly(minutes: Iterable[int], past_utc: int) -> list[Interval]:
    """The same minutes of every hour, as intervals: those keep on through changes of the clock.

    A schedule has one zone for all its calendars, so calendars in UTC would not do beside others in the zone.
    """
    in_utc = sorted((minute - past_utc) % 60 for minute in minutes)
    gap = 60 // len(in_utc)
    if gap * len(in_utc) == 60 and in_utc == list(range(in_utc[0], 60, gap)):
        return [Interval(gap * 60, in_utc[0] * 60)]
    return [Interval(_HOUR, minute * 60) for minute in in_utc]


def _unnamed(calendars: Sequence[Calendar], intervals: Sequence[Interval], zone: str) -> Iterator[Calendar]:
    """The times that no expression names, as far as the matcher may get them from the calendars' minutes."""
    minute, hour, day, month, weekday = (field.every for field in syntax.FIELDS)
    every = Calendar(minute, hour, day, month, weekday, SKIP_COMMENT)
    always = {minute for interval in intervals for minute in _minutes_of(interval, zone)}
    unnamed = {hour: _foreign_minutes(hour, calendars, always) for hour in every.hours}
    for minutes in filter(None, dict.fromkeys(unnamed.values())):
        yield replace(
            every, minutes=minutes, hours=tuple(hour for hour in unnamed if unnamed[hour] == minutes)
        )
    weekdays = set(every.weekdays).difference(*(calendar.weekdays for calendar in calendars))
    if weekdays and not intervals:
        yield replace(every, weekdays=tuple(sorted(weekdays)))


def _foreign_minutes(hour: int, calendars: Sequence[Calendar], always: set[int]) -> tuple[int, ...]:
    """Minutes that calendars name for other hours, and nothing for this one."""
    named = always.union(*(calendar.minutes for calendar in calendars if hour in calendar.hours))
    return tuple(sorted({minute for calendar in calendars for minute in calendar.minutes} - named))


def _minutes_of(interval: Interval, zone: str) -> Iterable[int]:
    """The minutes that clocks of the zone may show at the times of an interval."""
    past_utc = zones.minutes_past_utc(zone)
    if past_utc is None:
        return syntax.MINUTE.every
    turns = range(_HOUR // gcd(_HOUR, interval.every))
    return (((interval.phase + turn * interval.every) // 60 + past_utc) % 60 for turn in turns)


def _calendar_spec(calendar: Calendar) -> ScheduleCalendarSpec:
    return ScheduleCalendarSpec(
        minute=_ranges(calendar.minutes),
        hour=_ranges(calendar.hours),
        day_of_month=_ranges(calendar.days),
        month=_ranges(calendar.months),
        day_of_week=_ranges(calendar.weekdays),
        comment=calendar.comment,
    )


def _days_off(dates: Iterable[date]) -> Iterator[ScheduleCalendarSpec]:
    """Whole days, those of one month together."""
    for (year, month), days in groupby(sorted(dates), key=lambda day: (day.year, day.month)):
        yield ScheduleCalendarSpec(
            second=[ScheduleRange(0, 59)],
            minute=[ScheduleRange(0, 59)],
            hour=[ScheduleRange(0, 23)],
            day_of_month=_ranges([day.day for day in days]),
            month=[ScheduleRange(month)],
            year=[ScheduleRange(year)],
            comment=_DAY_OFF_COMMENT,
        )


def _interval_spec(interval: Interval) -> ScheduleIntervalSpec:
    phase = timedelta(seconds=interval.phase) if interval.phase else None
    return ScheduleIntervalSpec(every=timedelta(seconds=interval.every), offset=phase)


def _ranges(values: Sequence[int]) -> list[ScheduleRange]:
    """Sorted values as few ranges: runs with a common step; a pair only where it is adjacent."""
    ranges = []
    rest = list(values)
    while rest:
        steps = [later - earlier for earlier, later in pairwise(rest)]
        run = next((place for place, step in enumerate(steps) if step != steps[0]), len(steps)) + 1
        if run == 2 and steps[0] > 1:
            run = 1
        ranges.append(ScheduleRange(rest[0], rest[run - 1], steps[0] if run > 1 else 1))
        rest = rest[run:]
    return ranges
