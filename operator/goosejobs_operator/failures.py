"""When failures pause a GooseJob: `spec.pauseAfterFailures`. Pure."""

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status
from goosejobs.model.reasons import ReadyReason
from goosejobs.model.status import Answer, HandledResume
from goosejobs_operator.schedule import Described


def limit(obj: Object) -> int:
    """`spec.pauseAfterFailures`, also of a spec that is refused for something else; 0: never."""
    value = (obj.get("spec") or {}).get("pauseAfterFailures")
    return value if isinstance(value, int) and value > 0 else 0


def is_reached(obj: Object) -> bool:
    """Whether so many runs in a row have failed, since it was last resumed."""
    most = limit(obj)
    if not most:
        return False
    counts, resumed = read_status(obj).counts, resume_of(obj)
    return min(counts.consecutive_failures, counts.failed - (resumed.failed if resumed else 0)) >= most


def pauses(obj: Object, *, is_paused: bool) -> bool:
    """Whether its schedule is to be paused because of failures.

    A later success of a run that was active, or asked for, does not lift the pause: somebody has to.

    Args:
        obj: The GooseJob.
        is_paused: Whether it is so now.
    """
    resumed = resume_of(obj)
    resuming = resumed is not None and resumed.answer is Answer.NOTED
    return limit(obj) > 0 and not resuming and (is_paused or is_reached(obj))


def was_paused(obj: Object) -> bool:
    """Whether the status says that it is paused because of failures."""
    suspended = read_status(obj).condition("Suspended")
    reason = suspended.reason if suspended and suspended.status == "True" else ""
    return reason == ReadyReason.PAUSED_AFTER_FAILURES


def unpaused_outside(obj: Object, described: Described | None) -> bool:
    """Whether somebody lifted that pause in Temporal, which is as good as asking for it by annotation."""
    return described is not None and not described.schedule.state.paused and was_paused(obj)


def resume_of(obj: Object) -> HandledResume | None:
    """The newest `resume-requested` that was seen."""
    handled = read_status(obj).handled_requests
    return handled.resume if handled else None
