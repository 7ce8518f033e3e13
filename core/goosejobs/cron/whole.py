"""All that a GooseJob says about when it is due. Pure."""

from dataclasses import replace
from datetime import datetime

from goosejobs.cron.changes import complete
from goosejobs.cron.timetable import Timetable, parse
from goosejobs.model.spec import GooseJobSpec


def of_spec(spec: GooseJobSpec, now: datetime) -> Timetable:
    """When a GooseJob is due, jitter apart.

    Args:
        spec: Its spec.
        now: The time: changes of the clock are worked out for this year and the next.

    Raises:
        CronError: As `parse`.
    """
    timetable = complete(parse(spec.cron_expressions, spec.zone), now)
    if not spec.skip_dates and spec.start_time is None and spec.end_time is None:
        return timetable
    return replace(timetable, skip_dates=frozenset(spec.skip_dates), start=spec.start_time, end=spec.end_time)
