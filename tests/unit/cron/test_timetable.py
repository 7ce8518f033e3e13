"""What Temporal is told: structured calendars and intervals."""

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from goosejobs import cron
from goosejobs.cron.timetable import Interval

WHOLE_HOUR_ZONES = ["UTC", "Europe/Paris", "America/New_York", "Africa/Casablanca", "Antarctica/Troll"]


def test_a_calendar_says_what_the_fields_say() -> None:
    assert cron.parse(["*/15,7 8-18/2 1 jan,3 *"], "Asia/Kolkata").schedule_spec() == ScheduleSpec(
        calendars=[
            ScheduleCalendarSpec(
                minute=[ScheduleRange(0), ScheduleRange(7), ScheduleRange(15, 45, 15)],
                hour=[ScheduleRange(8, 18, 2)],
                day_of_month=[ScheduleRange(1)],
                month=[ScheduleRange(1), ScheduleRange(3)],
                day_of_week=[ScheduleRange(0, 6)],
                comment="*/15,7 8-18/2 1 jan,3 *",
            )
        ],
        time_zone_name="Asia/Kolkata",
    )


def test_a_cron_string_is_never_sent() -> None:
    spec = cron.parse(["0 8 * * 1-5", "@hourly", "@every 7m", "0 0 13 * 5"], "Europe/Paris").schedule_spec()
    assert not spec.cron_expressions
    assert (len(spec.calendars), len(spec.intervals)) == (3, 2)


def test_either_day_becomes_two_calendars() -> None:
    by_day, by_weekday = cron.parse(["0 0 13 * 5"]).schedule_spec().calendars
    assert (by_day.day_of_month, by_day.day_of_week) == ([ScheduleRange(13)], [ScheduleRange(0, 6)])
    assert (by_weekday.day_of_month, by_weekday.day_of_week) == ([ScheduleRange(1, 31)], [ScheduleRange(5)])


def test_every_is_an_interval_from_the_epoch() -> None:
    assert cron.parse(["@every 1h30m"], "Europe/Paris").schedule_spec() == ScheduleSpec(
        intervals=[ScheduleIntervalSpec(every=timedelta(minutes=90))], time_zone_name="Europe/Paris"
    )


@pytest.mark.parametrize("zone", WHOLE_HOUR_ZONES)
@pytest.mark.parametrize(
    ("expression", "intervals"),
    [
        ("@hourly", {Interval(3600)}),
        ("* * * * *", {Interval(60)}),
        ("*/15 */1 ? 1-12 0-6", {Interval(900)}),
        ("5,35 0-23 1-31 * 1", {Interval(1800, 300)}),
        ("7-9 * * * *", {Interval(3600, 420), Interval(3600, 480), Interval(3600, 540)}),
    ],
)
def test_minutes_of_every_hour_are_intervals_that_no_clock_change_touches(
    zone: str, expression: str, intervals: set[Interval]
) -> None:
    timetable = cron.parse([expression], zone)
    assert (set(timetable.intervals), timetable.calendars, timetable.skip) == (intervals, (), ())


@pytest.mark.parametrize(
    ("zone", "phase"),
    [
        ("Asia/Kolkata", 2400),
        ("Australia/Adelaide", 2400),
        ("America/St_Johns", 2400),
        ("Pacific/Chatham", 1500),
    ],
)
def test_so_are_they_in_zones_off_by_part_of_an_hour(zone: str, phase: int) -> None:
    assert cron.parse(["10 * * * *"], zone).intervals == (Interval(3600, phase),)


def test_but_not_where_clocks_change_by_half_an_hour() -> None:
    timetable = cron.parse(["10 * * * *"], "Australia/Lord_Howe")
    assert (len(timetable.calendars), timetable.intervals) == (1, ())


def test_times_that_nothing_names_are_skipped_where_clocks_change() -> None:
    (skip,) = cron.parse(["30 1 * * *"], "Europe/Paris").schedule_spec().skip
    assert (skip.minute, skip.hour) == ([ScheduleRange(30)], [ScheduleRange(0), ScheduleRange(2, 23)])
    assert cron.parse(["30 1 * * *"], "Asia/Kolkata").skip == ()


def test_what_another_expression_names_is_not_skipped() -> None:
    hours = {
        (calendar.minutes, hour)
        for calendar in cron.parse(["30 1 * * *", "0 2 * * *", "15 * * * *"], "Europe/Paris").skip
        for hour in calendar.hours
    }
    assert {((0, 30), 3), ((0,), 1), ((30,), 2)} <= hours
    assert not any(15 in minutes for minutes, _ in hours)
    assert cron.parse(["30 1 * * *", "@every 7m"], "Europe/Paris").skip == ()


def test_what_two_expressions_share_is_sent_once() -> None:
    timetable = cron.parse(["0 8 * * *", "0 08 ? * *", "@every 1h", "@hourly"])
    assert (len(timetable.calendars), timetable.intervals) == (1, (Interval(3600),))


def test_a_timetable_is_made_once_and_never_changes() -> None:
    timetable = cron.parse(["0 8 * * *"], "Europe/Paris")
    assert cron.parse(("0 8 * * *",), "Europe/Paris") is timetable
    assert hash(timetable) == hash(cron.parse(["0 8 * * *"], "Europe/Paris"))
    with pytest.raises(FrozenInstanceError):
        timetable.zone = "UTC"  # type: ignore[misc]
    timetable.schedule_spec().jitter = timedelta(seconds=5)
    assert timetable.schedule_spec().jitter is None
