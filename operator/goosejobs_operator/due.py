"""When Temporal is to be asked about a GooseJob although nothing but its status changed. Pure.

A due time that a run was started for is told by that run, which costs nothing here. One that passed while an
earlier run was active is told by nobody: then it was skipped, or waits.
"""

from datetime import datetime
from typing import Final

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_spec, read_status
from goosejobs.model.reasons import ReadyReason
from goosejobs.model.spec import ConcurrencyPolicy

NEXT_GRACE_SECONDS: Final = 10.0
"""A worker that starts a run writes the next due time; if none did for so long, the operator does."""

SOON_SECONDS: Final = 3.0
"""How long after a due time it is surely decided in Temporal what becomes of it."""

_END_GRACE_SECONDS: Final = 1.0
"""After `spec.endTime`, so that it has passed by every clock."""

_DECIDED: Final = (ConcurrencyPolicy.ALLOW, ConcurrencyPolicy.REPLACE)
"""With these a run starts at each due time, whatever is active."""


def next_due(obj: Object) -> float:
    """`status.nextScheduleTime` in seconds since 1970; 0 when there is none, or it makes no sense."""
    return _seconds(obj, "nextScheduleTime")


def until_due(obj: Object, now: datetime, *, busy: bool) -> float | None:
    """In how many seconds `status.nextScheduleTime` will have passed unnoticed; None when there is none.

    While nothing is due, nobody tells that `spec.endTime` has passed, either: then it is that time.

    Args:
        obj: The GooseJob.
        now: The time.
        busy: A due time that comes now finds a run active.
    """
    if not (obj.get("status") or {}).get("nextScheduleTime"):
        return _until_over(obj, now)
    due = next_due(obj)
    return due - now.timestamp() + (SOON_SECONDS if busy else NEXT_GRACE_SECONDS) if due else 0.0


def _until_over(obj: Object, now: datetime) -> float | None:
    if not (obj.get("spec") or {}).get("endTime"):
        return None  # asked at each event of each object: most need not be read for it
    spec, ready = read_spec(obj), read_status(obj).condition("Ready")
    served = ready is not None and ready.status == "True" and ready.reason != ReadyReason.COMPLETED
    if spec is None or spec.end_time is None or spec.run_once or not served:
        return None
    return spec.end_time.timestamp() - now.timestamp() + _END_GRACE_SECONDS


def is_busy(obj: Object, *, runs: bool) -> bool:
    """Whether a run that is due now would be skipped, or would wait.

    Args:
        obj: The GooseJob.
        runs: Temporal knows of an active run, though no worker has told of it.
    """
    policy = (obj.get("spec") or {}).get("concurrencyPolicy")
    return policy not in _DECIDED and (runs or bool((obj.get("status") or {}).get("active")))


def is_left_out(obj: Object, due: float, now: datetime) -> bool:
    """Whether a due time has passed, and the status went on to the next one with no run for it.

    Args:
        obj: The GooseJob.
        due: The next due time as it stood there before, as `next_due` gives it.
        now: The time.
    """
    passed = 0 < due <= now.timestamp() and next_due(obj) != due
    return passed and _seconds(obj, "lastScheduleTime") != due


def waited_for(obj: Object) -> tuple[str, ...] | None:
    """The ids of the active runs, if others wait for them to end; None when none waits."""
    if (obj.get("spec") or {}).get("concurrencyPolicy") != ConcurrencyPolicy.QUEUE:
        return None
    status = read_status(obj)
    return tuple(run.id for run in status.active) if status.counts.queued else None


def _seconds(obj: Object, field: str) -> float:
    text = (obj.get("status") or {}).get(field)
    try:
        moment = datetime.fromisoformat(text) if text else None
    except (ValueError, TypeError):
        return 0.0
    return moment.timestamp() if moment and moment.tzinfo else 0.0
