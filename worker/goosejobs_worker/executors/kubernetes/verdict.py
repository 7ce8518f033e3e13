"""What a look at an attempt's Job and pod means for the attempt. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from goosejobs.clients.kube import Object
from goosejobs.model.reasons import Reason
from goosejobs_worker.executors.kubernetes.diagnose import Diagnosis, diagnose, is_settled
from goosejobs_worker.executors.kubernetes.jobs import (
    age,
    condition,
    exit_of,
    goose_state,
    is_doomed,
    is_finished,
)

PATIENCE: Final = timedelta(seconds=10)
"""How long the end of a pod waits for the Job's word about it, and the Job's end for the pod's."""
OVERDUE: Final = timedelta(minutes=2)
"""Beyond start timeout and deadline: nobody in Kubernetes keeps the deadline then."""


@dataclass(frozen=True)
class Exited:
    """goose came to its own end; what it said tells how."""

    code: int | None
    signal: int | None


class Lost:
    """The Job is not there any more."""


Verdict = Exited | Diagnosis | Lost | None


@dataclass
class Judge:
    """Looks at one attempt again and again.

    Attributes:
        start_timeout: The pool's.
        deadline: `spec.activeDeadlineSeconds`.
        doubt: Since when something has ended and the other side has not said a word about it.
    """

    start_timeout: timedelta
    deadline: timedelta
    doubt: datetime | None = None

    def look(
        self,
        job: Object | None,
        pod: Object | None,
        now: datetime,
        *,
        job_gone: bool,
        pod_gone: bool,
        blind: bool = False,
    ) -> Verdict:
        """What is certain by now; None: nothing yet.

        Args:
            job: The Job as it was seen last; None when it never was.
            pod: Its pod, likewise.
            now: The present, aware.
            job_gone: The Job is no longer there.
            pod_gone: The pod is no longer there.
            blind: What is seen may be out of date: that nobody says anything means nothing then.
        """
        exited = exit_of(pod)
        if exited == (0, None):
            return Exited(*exited)
        if job is None or job_gone or "deletionTimestamp" in job["metadata"]:
            return Lost() if job is None or job_gone else None
        if condition(job, "Complete"):
            return Exited(0, None)
        seen = pod if exited is not None or not pod_gone else None
        if (found := diagnose(job, seen, now, self.start_timeout)) is not None:
            return found
        return self._unexplained(job, seen, exited, now, blind)

    def _unexplained(
        self,
        job: Object,
        pod: Object | None,
        exited: tuple[int | None, int | None] | None,
        now: datetime,
        blind: bool,
    ) -> Verdict:
        """What nobody gave a reason for; where one may yet come, only after a while."""
        if exited is not None and pod is not None and is_settled(job, pod):
            return Exited(*exited)
        if blind or (exited is None and not is_finished(job)):
            self.doubt = None
            return self._overdue(job, now)
        self.doubt = self.doubt or now
        if now - self.doubt < PATIENCE:
            return None
        if exited is not None:
            return Exited(*exited)
        why = condition(job, "Failed") or {}
        return Diagnosis(
            Reason.POD_FAILED,
            f"the Kubernetes Job failed ({why.get('reason')}: {why.get('message')}); its pod tells nothing",
        )

    def _overdue(self, job: Object, now: datetime) -> Verdict:
        if age(job, now) < (self.start_timeout + self.deadline + OVERDUE).total_seconds():
            return None
        seconds = round(self.deadline.total_seconds())
        return Diagnosis(Reason.DEADLINE_EXCEEDED, f"not done after {seconds} s (spec.activeDeadlineSeconds)")


def is_ending(job: Object | None, pod: Object | None) -> bool:
    """Whether Kubernetes itself is about to finish the Job."""
    ended = pod is not None and ("deletionTimestamp" in pod["metadata"] or "terminated" in goose_state(pod))
    return ended or (job is not None and is_doomed(job))


def is_running(job: Object | None, pod: Object | None) -> bool:
    """Whether goose runs, and nothing is about to end it: then only its own end or an event is news."""
    return job is not None and "running" in goose_state(pod) and not is_ending(job, pod)
