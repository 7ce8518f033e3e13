"""What an expression may say, as Kubernetes reads it, and the sentence for what it may not."""

import pytest

from goosejobs import cron
from goosejobs.cron.timetable import Calendar

DAYS = tuple(range(1, 32))
MONTHS = tuple(range(1, 13))
WEEKDAYS = tuple(range(7))


def calendar(expression: str) -> Calendar:
    (only,) = cron.parse([expression]).calendars
    return only


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ("5", (5,)),
        ("5,6,7", (5, 6, 7)),
        ("7,5,5", (5, 7)),
        ("0-5", (0, 1, 2, 3, 4, 5)),
        ("5-5", (5,)),
        ("5-6,7-7,5", (5, 6, 7)),
        ("*/20", (0, 20, 40)),
        ("?/20", (0, 20, 40)),
        ("10-30/10", (10, 20, 30)),
        ("10-29/10", (10, 20)),
        ("40/7", (40, 47, 54)),
        ("59/15", (59,)),
        ("*/90", (0,)),
        ("007", (7,)),
        ("*", tuple(range(60))),
        ("?", tuple(range(60))),
        ("3,*", tuple(range(60))),
    ],
)
def test_a_field_takes_values_ranges_steps_and_lists(minutes: str, expected: tuple[int, ...]) -> None:
    assert calendar(f"{minutes} 4 * * *").minutes == expected


@pytest.mark.parametrize(
    ("weekdays", "expected"),
    [
        ("SUN", (0,)),
        ("mon-Fri", (1, 2, 3, 4, 5)),
        ("Tue,SAT", (2, 6)),
        ("MON/2", (1, 3, 5)),
        ("1-FRI/2", (1, 3, 5)),
        ("0", (0,)),
        ("7", (0,)),
        ("7-7", (0,)),
        ("5-7", (0, 5, 6)),
        ("1-7/2", (0, 1, 3, 5)),
        ("2-7/3", (2, 5)),
        ("0-7", WEEKDAYS),
        ("0-7/2", (0, 2, 4, 6)),
    ],
)
def test_weekdays_have_names_and_sunday_is_0_or_7(weekdays: str, expected: tuple[int, ...]) -> None:
    assert calendar(f"0 4 * * {weekdays}").weekdays == expected


@pytest.mark.parametrize(
    ("months", "expected"), [("JAN", (1,)), ("oct-DEC", (10, 11, 12)), ("feb,8", (2, 8)), ("JUL/3", (7, 10))]
)
def test_months_have_names(months: str, expected: tuple[int, ...]) -> None:
    assert calendar(f"0 4 * {months} *").months == expected


@pytest.mark.parametrize(
    ("macro", "fields"),
    [
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_macro_is_the_five_fields_that_kubernetes_documents(macro: str, fields: str) -> None:
    assert cron.parse([macro]) == cron.parse([fields])


@pytest.mark.parametrize(
    ("days", "weekdays"),
    [
        ("*", "5"),
        ("?", "5"),
        ("*/1", "5"),
        ("1,*", "5"),
        ("13", "*"),
        ("13", "?"),
        ("13", "*/1"),
        ("*/2", "*"),
    ],
)
def test_a_day_field_with_a_star_does_not_restrict(days: str, weekdays: str) -> None:
    """robfig's star bit: `*` and `?`, also in a list, unless with a step above 1."""
    only = calendar(f"0 4 {days} * {weekdays}")
    assert (only.days == DAYS) != (only.weekdays == WEEKDAYS)


@pytest.mark.parametrize(
    ("days", "weekdays"), [("13", "5"), ("*/2", "5"), ("13", "*/2"), ("1-15", "MON-FRI")]
)
def test_with_both_day_fields_restricted_either_is_enough(days: str, weekdays: str) -> None:
    by_day, by_weekday = cron.parse([f"0 4 {days} * {weekdays}"]).calendars
    assert by_day == calendar(f"0 4 {days} * *")
    assert by_weekday == calendar(f"0 4 * * {weekdays}")


@pytest.mark.parametrize("both", ["1-31 * 5", "13 * 0-6", "1-31 * SUN-SAT"])
def test_a_day_field_that_names_every_day_makes_every_day_due(both: str) -> None:
    only = calendar(f"0 4 {both}")
    assert (only.days, only.weekdays) == (DAYS, WEEKDAYS)


REFUSED = [
    ("", "is empty"),
    ("   ", "is empty"),
    ("0 8 * *", "has 4 fields"),
    ("daily", "has 1 field:"),
    ("0 0 8 * * 1", "has 6 fields: seconds and years"),
    ("0 0 8 * * 1 2027", "has 7 fields: seconds and years"),
    ("60 * * * *", "60 in the minute field is out of range: write 0 to 59"),
    ("0 24 * * *", "out of range: write 0 to 23 (midnight is 0)"),
    ("0 0 0 * *", "0 in the day of month field is out of range: write 1 to 31"),
    ("0 0 1 13 *", "13 in the month field is out of range: write 1 to 12"),
    ("0 0 * * 8", "8 in the day of week field is out of range: write 0 to 6"),
    ("0 0 * * FRI-MON", "runs backwards: write two ranges, as FRI-SAT,SUN-MON"),
    ("0 0 * * SAT-SUN", "runs backwards: write two ranges, as SAT,SUN"),
    ("0 0 * NOV-FEB *", "runs backwards: write two ranges, as NOV-DEC,JAN-FEB"),
    ("0 22-4/2 * * *", "runs backwards: write two ranges, as 22-23,0-4"),
    ("0 0 * * 7-3", "starts with Sunday as 7: write 0-3"),
    ("0 0 * * 7/2", "starts with Sunday as 7: write 0/2"),
    ("0 0 L * *", "uses L (the last day)"),
    ("0 0 L-2 * *", "uses L (the last day)"),
    ("0 0 * * 5L", "uses L (the last day)"),
    ("0 0 15W * *", "uses W (the nearest working day)"),
    ("H 4 * * *", "uses H or R"),
    ("H(0-29)/10 4 * * *", "uses H or R"),
    ("0 0 * * 1#2", 'has a "#"'),
    ("0 0 * * 1 # Mondays", 'has a "#"'),
    ("*/0 * * * *", "no step that can be read: write a number from 1"),
    ("*/x * * * *", "no step that can be read"),
    ("1/2/3 * * * *", "cannot be read"),
    ("1-2-3 * * * *", "cannot be read"),
    ("*-5 * * * *", "cannot be read"),
    ("-5 * * * *", "cannot be read"),
    ("+5 * * * *", '"+5" in the minute field is not a value'),
    ("1,,2 * * * *", "has an empty entry: leave out the extra comma"),
    ("1, 2 * * *", "has an empty entry"),
    ("0 0 * * monday", "or by name (SUN to SAT)"),
    ("0 0 * janu *", "or by name (JAN to DEC)"),
    ("MON 0 * * *", '"MON" in the minute field is not a value: write it as a number from 0 to 59'),
    ("0 8 * * 1\N{EN DASH}5", "(U+2013), perhaps pasted along"),
    ("0\N{NO-BREAK SPACE}8 * * *", "(U+00A0), perhaps pasted along"),
    ("TZ=Europe/Paris 0 8 * * *", "set spec.timeZone instead"),
    ("CRON_TZ=Europe/Paris @daily", "set spec.timeZone instead"),
    ("@reboot", "to run once, set spec.runOnce: true"),
    ("@dayly", "write one of @hourly, @daily"),
    ("@Daily", "write one of @hourly, @daily"),
    ("@every", 'as in "@every 1h30m"'),
    ("@every 1d", "a day is 24h"),
    ("@every 1h 30m", "without spaces"),
    ("@every 1h!30m", "has no duration"),
    ("@every -1h", "has no duration"),
    ("@every 15", "has no duration"),
    ("@every 500ms", 'write at least "@every 1s"'),
    ("@every 1.5s", "without fractions of a second"),
    ("@every 0s", 'write at least "@every 1s"'),
    ("@every 99999999999999999999h", "longer than can be counted"),
]


@pytest.mark.parametrize(("expression", "sentence"), REFUSED)
def test_what_a_cronjob_cannot_say_is_refused_in_a_sentence(expression: str, sentence: str) -> None:
    with pytest.raises(cron.CronError) as refused:
        cron.parse([expression])
    assert sentence in refused.value.message
    assert any(advice in refused.value.message for advice in ("write", "leave", "set"))
    assert not isinstance(refused.value, cron.NeverFires)


@pytest.mark.parametrize(
    "expression",
    ["0 0 31 2 *", "0 0 30-31 FEB *", "0 0 31 4,6,9,11 ?", "@every 1200000h"],
)
def test_an_expression_that_no_moment_matches_never_fires(expression: str) -> None:
    with pytest.raises(cron.NeverFires, match="never fires"):
        cron.parse([expression])


@pytest.mark.parametrize(("expression", "months"), [("0 0 29 2 *", (2,)), ("0 0 31 1-4 *", (1, 2, 3, 4))])
def test_a_day_that_only_some_months_or_years_have_does_fire(
    expression: str, months: tuple[int, ...]
) -> None:
    assert calendar(expression).months == months


def test_a_weekday_saves_a_day_that_never_comes() -> None:
    assert cron.parse(["0 0 31 2 MON"]).calendars == (calendar("0 0 * 2 MON"),)


def test_the_error_says_which_expression_it_is() -> None:
    with pytest.raises(cron.CronError) as unreadable:
        cron.parse(["@daily", "0 8 * * *", "61 * * * *"])
    with pytest.raises(cron.NeverFires) as never:
        cron.parse(["@daily", "0 0 31 2 *"])
    assert (unreadable.value.index, never.value.index) == (2, 1)


def test_no_expression_at_all_is_refused() -> None:
    with pytest.raises(cron.CronError, match="there is no schedule"):
        cron.parse([])


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        ("", "is empty"),
        ("Local", "depends on the machine"),
        ("localtime", "depends on the machine"),
        ("/usr/share/zoneinfo/Europe/Paris", "is not an IANA time zone"),
        ("../zoneinfo/Europe/Paris", "is not an IANA time zone"),
        ("europe/paris", 'write "Europe/Paris"'),
        ("Europe/Berln", 'write "Europe/Berlin"'),
        ("right/Europe/Paris", "is not an IANA time zone"),
        ("+02:00", "is not an IANA time zone"),
    ],
)
def test_a_zone_that_is_no_iana_name_is_refused_in_a_sentence(zone: str, sentence: str) -> None:
    with pytest.raises(cron.InvalidTimeZone) as refused:
        cron.parse(["@daily"], zone)
    assert sentence in refused.value.message


def test_every_takes_go_durations() -> None:
    seconds = [
        cron.parse([f"@every {duration}"]).intervals[0].every
        for duration in ("1s", "90s", "1h30m", "1.5h", "60000ms", "24h", ".5m")
    ]
    assert seconds == [1, 90, 5400, 5400, 60, 86400, 30]
