"""How long what an earlier run left alive can outlive its workflow: a pure look at the status.

A terminated workflow is not a dead process. Its worker ends goose as soon as Temporal no longer knows the
attempt; a worker that is frozen or cut off cannot, and then goose ends with its lease. A Kubernetes Job has
no lease: the executor of the next one ends it.
"""

from datetime import datetime, timedelta
from typing import Final

from goosejobs.model import names
from goosejobs.model.reasons import Reason
from goosejobs.model.run import RunInfo
from goosejobs.model.status import ActiveRun, GooseJobStatus, RunRecord

HEARTBEAT_TIMEOUT: Final = timedelta(seconds=15)
"""After this silence an attempt is given up. Its processes are dead by then: their lease is shorter
(goosejobs_worker.lifeline). It bounds how long a lost worker goes unnoticed."""

_CUT_OFF: Final = frozenset({Reason.TERMINATED, Reason.WORKFLOW_LOST})

FENCE: Final = HEARTBEAT_TIMEOUT
"""How long processes can outlive their workflow, at most."""


def wait_before_start(
    status: GooseJobStatus, run_id: str, now: datetime, *, jobs_are_ended: bool = False
) -> timedelta:
    """How long a run must wait until no process of an earlier run of its GooseJob can be alive.

    Args:
        status: The GooseJob's.
        run_id: The run that wants to start.
        now: The time, aware.
        jobs_are_ended: The executor ends earlier runs that were Kubernetes Jobs itself.
    """

    def may_live(run: ActiveRun | RunRecord) -> bool:
        return run.id != run_id and not (jobs_are_ended and run.job_name)

    if any(may_live(other) for other in status.active):
        return FENCE  # it never recorded its end, and nobody knows since when it is gone
    gone = [run.finish_time for run in status.records if run.reason in _CUT_OFF and may_live(run)]
    return max([timedelta(0), *(finish + FENCE - now for finish in gone)])


def started_before(status: GooseJobStatus, run: RunInfo) -> list[str]:
    """The workflows of runs of the same GooseJob that started earlier; so no two wait for each other.

    Temporal holds a run back until the one before it has ended, if it knows of that: not of one that started
    under another policy, or before somebody deleted the schedule.
    """
    # A run whose workflow was reset may stand there from before: that is still when it started.
    own = [other.start_time for other in status.active if other.id == run.id]
    ref, start = run.goosejob, min([run.start_time.replace(microsecond=0), *own])
    return [
        other.workflow_id
        for other in status.active
        if (other.start_time, other.id) < (start, run.id)
        and names.is_of(other.workflow_id, ref.namespace, ref.name, ref.uid)
    ]
