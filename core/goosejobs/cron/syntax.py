"""A CronJob schedule as text -> the minutes, hours, days, months and weekdays it names. Pure.

The rules are those of the parser that Kubernetes uses (robfig/cron v3, `ParseStandard`). They are checked
here, so that what is wrong gets a sentence of its own; croniter then expands the fields, which by now say
only what croniter and robfig read alike. Stricter than robfig, which lets them pass: an empty entry in a list
(`1,,2`), a sign (`+5`), `*-5`. More lenient: 7 is Sunday, as in the crontab manual, for many people write it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import durationpy
from croniter import croniter

from goosejobs.cron.errors import CronError

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIVE_FIELDS: Final = "five fields (minute, hour, day of month, month, day of week)"


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields: its bounds, and the names its values may have instead of numbers."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[int, ...]:
        """All values of the field."""
        return tuple(range(self.low, self.high + 1))


MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY: Final = Field("day of month", 1, 31)
MONTH: Final = Field(
    "month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
)
WEEKDAY: Final = Field("day of week", 0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
FIELDS: Final = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)

_SUNDAY_AS_7: Final = 7
_ENTRY = re.compile(r"(?P<low>[^-/]+)(?:-(?P<high>[^-/]+))?(?:/(?P<step>[^-/]+))?")
_GO_DURATION = re.compile(r"(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_OTHER_DIALECTS: Final = (
    (re.compile(r"L|LW|L-\d+|\d{1,2}L|[A-Z]{3}L", re.IGNORECASE), "L (the last day)"),
    (re.compile(r"\d{1,2}W|W\d{1,2}", re.IGNORECASE), "W (the nearest working day)"),
    (re.compile(r"[HR](\(.*\))?", re.IGNORECASE), "H or R (a value spread by hash or at random)"),
)


@dataclass(frozen=True, slots=True)
class Moments:
    """What the five fields name: sorted values, none of the fields empty.

    Attributes:
        minutes: 0 to 59.
        hours: 0 to 23.
        days: Days of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 0 (Sunday) to 6.
        either_day: Both day fields are restricted, so a day that matches one of them is enough. As in robfig,
            a field is unrestricted when it has a `*` or `?` without a step above 1; `*/2` restricts.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool


def read(expression: str) -> Moments | timedelta:
    """Read one expression.

    Args:
        expression: Five fields, a macro, or `@every` and a Go duration.

    Returns:
        The moments named; for `@every` the interval, in whole seconds, at least one.

    Raises:
        CronError: It is none of these; the message says what to write.
    """
    text = expression.strip()
    if not text:
        raise CronError(
            f'the schedule is empty: write {FIVE_FIELDS} as in "0 8 * * 1-5", or a macro as "@daily"'
        )
    if "TZ=" in text:
        raise CronError(
            f'"{text}" sets a time zone in the schedule: leave that out and set spec.timeZone instead'
        )
    if text.startswith("@every"):
        return _read_every(text)
    if text.startswith("@"):
        text = _read_macro(text)
    return _read_fields(text)


def _read_macro(text: str) -> str:
    if text == "@reboot":
        raise CronError(
            '"@reboot" has no meaning here, for nothing reboots: to run once, set spec.runOnce: true'
        )
    if text not in MACROS:
        known = ", ".join(MACROS)
        raise CronError(
            f'"{text}" is not a known macro: write one of {known}, or "@every 15m", or {FIVE_FIELDS}'
        )
    return MACROS[text]


def _read_every(text: str) -> timedelta:
    duration = text.removeprefix("@every").strip()
    if not _GO_DURATION.fullmatch(duration):
        raise CronError(
            f'"{text}" has no duration that can be read: write hours, minutes and seconds without spaces, '
            'as in "@every 1h30m" (a day is 24h)'
        )
    try:
        interval: timedelta = durationpy.from_str(duration)
    except durationpy.DurationError:
        raise CronError(f'"{text}" is longer than can be counted: write a shorter duration') from None
    if interval < timedelta(seconds=1) or interval % timedelta(seconds=1):
        raise CronError(
            f'"{text}" is not in whole seconds: write at least "@every 1s", without fractions of a second'
        )
    return interval


def _read_fields(text: str) -> Moments:
    if "#" in text:
        raise CronError(
            f'"{text}" has a "#": a CronJob schedule has neither the nth weekday of a month nor comments; '
            f"write {FIVE_FIELDS} without it"
        )
    strange = next((character for character in text if not character.isascii()), None)
    if strange:
        raise CronError(
            f'"{text}" has a "{strange}" (U+{ord(strange):04X}), perhaps pasted along: write {FIVE_FIELDS} '
            "in plain ASCII"
        )
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise CronError(_wrong_count(text, len(parts)))
    checked = [_check_field(field, part) for field, part in zip(FIELDS, parts, strict=True)]
    expanded, _ = croniter.expand(" ".join(checked))
    minutes, hours, days, months, weekdays = (
        field.every if "*" in values else tuple(sorted(value for value in values if isinstance(value, int)))
        for field, values in zip(FIELDS, expanded, strict=True)
    )
    either_day = not _unrestricted(parts[2]) and not _unrestricted(parts[4])
    return Moments(minutes, hours, days, months, weekdays, either_day)


def _wrong_count(text: str, count: int) -> str:
    if count in {6, 7}:
        return f'"{text}" has {count} fields: seconds and years cannot be said here; write {FIVE_FIELDS}'
    return f'"{text}" has {count} field{"s" * (count != 1)}: write {FIVE_FIELDS}, or a macro such as "@daily"'


def _unrestricted(part: str) -> bool:
    return any(re.fullmatch(r"[*?](/0*1)?", entry) for entry in part.split(","))


def _check_field(field: Field, part: str) -> str:
    """The field in the few forms that mean the same to croniter as to robfig: `*`, `*/n`, `a`, `a-b/n`."""
    return ",".join(_check_entry(field, entry, part) for entry in part.split(","))


def _check_entry(field: Field, entry: str, part: str) -> str:
    if not entry:
        raise CronError(f'"{part}" in the {field.name} field has an empty entry: leave out the extra comma')
    match = _ENTRY.fullmatch(entry)
    low, high, step = match.group("low", "high", "step") if match else ("", None, None)
    if not match or (low in {"*", "?"} and high):
        _refuse_other_dialects(field, entry)
        raise CronError(
            f'"{entry}" in the {field.name} field cannot be read: write a value, a range '
            f"as {field.low}-{field.high}, or a step as */2"
        )
    every = _step(field, entry, step)
    if low in {"*", "?"}:
        return f"*/{every}" if step else "*"
    return _span(field, entry, _bounds(field, entry, low, high, stepped=step is not None), every)


def _span(field: Field, entry: str, bounds: tuple[int, int], step: int) -> str:
    first, last = bounds
    if first > last:
        low, high = entry.split("/", maxsplit=1)[0].split("-")
        named = low.upper() in field.names
        top, bottom = (field.names[-1], field.names[0]) if named else (str(field.high), str(field.low))
        forward = f"{_range(low, top)},{_range(bottom, high)}"
        raise CronError(f'"{entry}" in the {field.name} field runs backwards: write two ranges, as {forward}')
    return str(first) if first == last else f"{first}-{last}/{step}"


def _range(low: str, high: str) -> str:
    return low if low.upper() == high.upper() else f"{low}-{high}"


def _bounds(field: Field, entry: str, low: str, high: str | None, *, stepped: bool) -> tuple[int, int]:
    first = _value(field, entry, low)
    last = first if high is None else _value(field, entry, high)
    if first > field.high and (stepped or last != first):
        sunday = f"0{entry[len(low) :]}"
        raise CronError(f'"{entry}" in the {field.name} field starts with Sunday as 7: write {sunday}')
    # As in robfig, "5/10" is "5-59/10".
    return first, field.high if stepped and high is None else last


def _value(field: Field, entry: str, text: str) -> int:
    if text.upper() in field.names:
        return field.low + field.names.index(text.upper())
    if not _DIGITS.fullmatch(text):
        _refuse_other_dialects(field, entry)
        names = f" or by name ({field.names[0]} to {field.names[-1]})" if field.names else ""
        raise CronError(
            f'"{text}" in the {field.name} field is not a value: write it as a number '
            f"from {field.low} to {field.high}{names}"
        )
    value = int(text)
    if field is WEEKDAY and value == _SUNDAY_AS_7:
        return value
    if not field.low <= value <= field.high:
        hint = " (midnight is 0)" if field is HOUR and value == field.high + 1 else ""
        raise CronError(
            f"{text} in the {field.name} field is out of range: write {field.low} to {field.high}{hint}"
        )
    return value


def _step(field: Field, entry: str, step: str | None) -> int:
    if step is None:
        return 1
    if not _DIGITS.fullmatch(step) or int(step) == 0:
        raise CronError(
            f'"{entry}" in the {field.name} field has no step that can be read: write a number from 1 on'
        )
    return int(step)


def _refuse_other_dialects(field: Field, entry: str) -> None:
    stem = entry.split("/", maxsplit=1)[0]
    for pattern, name in _OTHER_DIALECTS:
        if pattern.fullmatch(stem):
            raise CronError(
                f'"{entry}" in the {field.name} field uses {name}, which a CronJob schedule does not have: '
                f"write values from {field.low} to {field.high}"
            )
