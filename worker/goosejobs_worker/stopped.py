"""How a run ended that did not come to its own end: somebody cancelled it, or its time was over. Pure."""

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptResult
from goosejobs_worker.attempts import Attempts


def killed(attempts: Attempts, why: str | None) -> AttemptResult:
    """The end of a run that somebody cancelled while no goose of it ran.

    Args:
        attempts: Its attempts.
        why: What they said.
    """
    message = f"the run was cancelled: {why}" if why else "the run was cancelled"
    return _ended(attempts.latest, Outcome.KILLED, Reason.CANCELLED, message)


def out_of_time(attempts: Attempts, seconds: int, *, cut: AttemptResult | None = None) -> AttemptResult:
    """The end of a run whose `spec.runDeadlineSeconds` passed.

    Args:
        attempts: Its attempts.
        seconds: The deadline.
        cut: The attempt that was ended for it; None when no goose of the run ran.
    """
    if cut is None:
        where = _between(attempts)
    else:
        where = f"attempt {cut.attempt} was ended" + (f"; {cut.left}" if cut.left else "")
    message = f"the run did not end within {seconds} s (spec.runDeadlineSeconds): {where}"
    return _ended(cut or attempts.latest, Outcome.FAILED, Reason.DEADLINE_EXCEEDED, message)


def unknown_here(attempts: Attempts) -> AttemptResult:
    """The end of a run whose GooseJob is not there: no goose is started that nobody would hear of.

    Args:
        attempts: Its attempts.
    """
    message = (
        "there is no such GooseJob here: it was deleted, or it is of another cluster, which shares the "
        "Temporal namespace and has a pool of this name"
    )
    return _ended(attempts.latest, Outcome.FAILED, Reason.POOL_REFUSED, message)


def _between(attempts: Attempts) -> str:
    """At what the deadline met a run of which no goose ran."""
    latest, made = attempts.latest, attempts.made
    if latest is None:
        return "attempt 1 waited for a worker" if made else "no attempt was made"
    waited = f"attempt {made} waited for a worker" if latest.attempt < made else "it waited to try again"
    before = f"{waited}; attempt {latest.attempt} ended with {latest.reason}"
    return f"{before}: {latest.message}" if latest.message else before


def _ended(latest: AttemptResult | None, outcome: Outcome, reason: Reason, message: str) -> AttemptResult:
    """What goose said before it, its tokens and its session are kept."""
    kept = latest or AttemptResult(attempt=0, outcome=outcome, reason=reason)
    return kept.model_copy(update={"outcome": outcome, "reason": reason, "message": message})
