"""When a GooseJob is due: CronJob syntax -> Temporal's calendars, and the upcoming times. Pure.

An expression has five fields, as a Kubernetes CronJob's: minute, hour, day of month, month, day of week,
with names, ranges, steps, lists, and `?` for `*`; or it is a macro (`@hourly`, `@daily`, ...); or `@every`
and a Go duration. Where both days are restricted, either is enough. 7 is Sunday, as 0 is. A time that
several expressions name is due once.

On `spec.skipDates`, days of `spec.timeZone`, nothing is due, nor before `spec.startTime` or after
`spec.endTime`; what is due at these very moments is.

`@every 7m` is due at the multiples of seven minutes since 1970-01-01 00:00 UTC, not since the GooseJob's
creation.

**Where clocks are changed** (`spec.timeZone` with summer time), a time is due whenever the clocks show it,
as for a CronJob: what they skip in spring is not due that day, what they show twice in autumn is due twice,
an hour apart. `@every` does not look at clocks. To be due exactly once a day, name an hour that no change
touches, such as 04:00; or use UTC.

Temporal's matcher alone would not keep to this (goosejobs.cron.changes). Two oddities are left. Where an
expression names more than 200 times around a change, it may miss the rest. Beside an `@every`, a time near a
change may be due once more an hour later.
"""

from goosejobs.cron.errors import CronError, InvalidTimeZone, NeverFires
from goosejobs.cron.matcher import upcoming
from goosejobs.cron.timetable import Timetable, parse
from goosejobs.cron.whole import of_spec

__all__ = ["CronError", "InvalidTimeZone", "NeverFires", "Timetable", "of_spec", "parse", "upcoming"]
