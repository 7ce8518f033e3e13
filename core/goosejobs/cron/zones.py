"""Time zones as the Temporal server reads them: valid names, and the moment that a reading means. Pure.

Zones come from the system's IANA data, or else from the tzdata package.
"""

import difflib
import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from goosejobs.cron.errors import InvalidTimeZone

HOUR: Final = 3600
_SURVEY_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SURVEY_END: Final = datetime(2101, 1, 1, tzinfo=UTC)
_SURVEY_STEP: Final = 7
"""Days. No zone keeps an offset for less than the month of Ramadan (Africa/Casablanca)."""


def check(name: str) -> None:
    """Make sure that a zone exists.

    Args:
        name: As in `spec.timeZone`; upper and lower case matter, as they do to Kubernetes and Temporal.

    Raises:
        InvalidTimeZone: It is no IANA name.
    """
    if name.casefold() in {"local", "localtime"}:
        raise InvalidTimeZone(f'"{name}" depends on the machine: write an IANA name such as "Europe/Paris"')
    if name in _names():
        return
    if not name:
        raise InvalidTimeZone(
            'the time zone is empty: write an IANA name such as "Europe/Paris", or leave it out for UTC'
        )
    raise InvalidTimeZone(f'"{name}" is not an IANA time zone: write {_suggestion(name)}')


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _suggestion(name: str) -> str:
    by_folded = {known.casefold(): known for known in sorted(_names())}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.8)
    return f'"{by_folded[close[0]]}"' if close else 'a name such as "Europe/Paris" or "America/New_York"'


def changes_clocks(name: str) -> bool:
    """Whether the zone's clocks are ever set forward or back, from 2026 on."""
    return len(_offsets(name)) > 1


def minutes_past_utc(name: str) -> int | None:
    """By how many minutes the zone's minute hand is ahead of UTC's, if that is the same all year round.

    Returns:
        0 for whole-hour zones, 30 for Asia/Kolkata or Australia/Adelaide; None for Australia/Lord_Howe, which
        moves its clocks by half an hour.
    """
    remainders = {seconds % HOUR for seconds in _offsets(name)}
    only = remainders.pop()
    return None if remainders or only % 60 else only // 60


@lru_cache(maxsize=1024)
def changes(name: str, start: int, end: int) -> tuple[int, ...]:
    """The moments at which the zone's clocks are set forward or back.

    Args:
        name: The zone.
        start: Seconds since the epoch.
        end: Likewise; a change at this very moment is not among them.
    """
    zone = zoneinfo.ZoneInfo(name)
    week = _SURVEY_STEP * 86400
    found = []
    for early in range(start, end, week):
        before, after = early, min(early + week, end) - 1
        if offset(zone, before - 1) == offset(zone, after):
            continue
        while before < after:
            middle = (before + after) // 2
            if offset(zone, middle) == offset(zone, early - 1):
                before = middle + 1
            else:
                after = middle
        found.append(before)
    return tuple(found)


@lru_cache(maxsize=1024)
def _offsets(name: str) -> frozenset[int]:
    zone = zoneinfo.ZoneInfo(name)
    days = range(0, (_SURVEY_END - _SURVEY_START).days, _SURVEY_STEP)
    moments = (_SURVEY_START + timedelta(days=day) for day in days)
    return frozenset(offset(zone, int(moment.timestamp())) for moment in moments)


def offset(zone: zoneinfo.ZoneInfo, moment: int) -> int:
    """How far the zone's clocks are ahead of UTC at a moment.

    Args:
        zone: The zone.
        moment: Seconds since the epoch.

    Returns:
        Seconds.
    """
    ahead = datetime.fromtimestamp(moment, zone).utcoffset()
    assert ahead is not None  # noqa: S101 - a ZoneInfo always knows its offset
    return ahead.days * 86400 + ahead.seconds


def moment_of(zone: zoneinfo.ZoneInfo, reading: int) -> int:
    """The moment at which the zone's clocks show a reading, as Go's `time.Date` resolves it.

    A reading that comes twice, when clocks are set back, is resolved to its first coming where winter time is
    behind UTC, else to its second. One that never comes, when clocks are set forward, becomes a moment with
    another reading.

    Args:
        zone: The zone.
        reading: A clock's reading, in seconds since it read 1970-01-01 00:00.

    Returns:
        Seconds since the epoch.
    """
    guess = reading - offset(zone, reading)
    return reading - offset(zone, guess)
