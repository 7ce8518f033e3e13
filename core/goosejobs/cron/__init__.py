"""When a GooseJob is due: CronJob syntax -> Temporal's calendars, and the upcoming times. Pure.

An expression has five fields, as a Kubernetes CronJob's: minute, hour, day of month, month, day of week,
with names, ranges, steps, lists, and `?` for `*`; or it is a macro (`@hourly`, `@daily`, ...); or `@every`
and a Go duration. Where both days are restricted, either is enough. 7 is Sunday, as 0 is. A time that
several expressions name is due once.

On `spec.skipDates`, days of `spec.timeZone`, nothing is due, nor before `spec.startTime` or after
`spec.endTime`; what is due at these very moments is.

`@every 7m` is due at the multiples of seven minutes since 1970-01-01 00:00 UTC, not since the GooseJob's
creation.

**Where clocks are changed** (`spec.timeZone` with summer time):

- An expression that names minutes only (`*/15 * * * *`, `@hourly`) is due at these minutes of every hour that
  passes: nothing is lost, nothing doubled. Australia/Lord_Howe, which moves its clocks by half an hour, is
  the one exception.
- All others go by what the zone's clocks show. A time that they skip in spring is not due that day.
- In autumn they show an hour twice. Where winter time is behind UTC (America/New_York), times in it are due
  twice. Elsewhere (Europe/London, Europe/Paris) an expression that names one time in it is due once, at the
  second showing; one that names several times in this or the next hour may miss some of them.
- Where it is midnight that is skipped (America/Santiago, America/Havana), an expression that names the
  weekday of that day, but not of the day before, is not due on it.
- Beside an `@every`, where winter time is not behind UTC, a time in the hour before the one shown twice may
  be due once more an hour later.

To be due exactly once a day, name an hour that no change touches, such as 04:00; or use UTC.
"""

from goosejobs.cron.errors import CronError, InvalidTimeZone, NeverFires
from goosejobs.cron.matcher import upcoming
from goosejobs.cron.timetable import Timetable, of_spec, parse

__all__ = ["CronError", "InvalidTimeZone", "NeverFires", "Timetable", "of_spec", "parse", "upcoming"]
