"""Following an attempt's Job from its creation, or from wherever it is, to its end."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from goosejobs.clients.errors import ClientError, Unavailable
from goosejobs.clients.kube import Kube
from goosejobs.model import names
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptRequest, AttemptResult
from goosejobs.model.status import MAX_MESSAGE
from goosejobs_worker.executors.kubernetes.diagnose import Diagnosis
from goosejobs_worker.executors.kubernetes.ending import await_pod, end, left, patience
from goosejobs_worker.executors.kubernetes.jobs import Jobs, has_log, is_finished
from goosejobs_worker.executors.kubernetes.logs import LogFollower, better
from goosejobs_worker.executors.kubernetes.manifest import CONTAINER
from goosejobs_worker.executors.kubernetes.progress import Progress, compact
from goosejobs_worker.executors.kubernetes.template import PoolTemplate
from goosejobs_worker.executors.kubernetes.verdict import Exited, Judge, Lost, is_ending, is_running
from goosejobs_worker.executors.kubernetes.watch import Sight, Watch
from goosejobs_worker.goose.classify import classify
from goosejobs_worker.goose.command import secret_values
from goosejobs_worker.goose.stream import Transcript
from goosejobs_worker.lifeline import Lifeline

logger = logging.getLogger(__name__)

_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks when nothing has changed: some reasons are a matter of time."""
_WHILE_RUNNING: Final = 15.0
"""The same while goose runs, and nobody has asked for its end."""
_ASK_AGAIN: Final = 2.0


class Interrupted(Exception):
    """The attempt was told to stop; `Lifeline.stopped` says why."""


@dataclass
class Following:
    """One attempt whose Job was created.

    Attributes:
        attempt: What runs.
        kube: Where its log is.
        jobs: Where its Job is.
        watch: What lets it be seen.
        template: The pool's.
        sight: Its Job and its pod.
        lifeline: Its heartbeats.
        progress: How far it is.
    """

    attempt: AttemptRequest
    kube: Kube
    jobs: Jobs
    watch: Watch
    template: PoolTemplate
    sight: Sight
    lifeline: Lifeline
    progress: Progress
    _log: LogFollower | None = None

    async def to_its_end(self) -> AttemptResult:
        """Follow it until it has ended, in whatever way; nothing of it is alive when this returns.

        Raises:
            Interrupted: It is gone because the run is to end.
        """
        try:
            return await self._follow()
        finally:
            if self._log is not None:
                await self._log.close()

    async def _follow(self) -> AttemptResult:
        judge = Judge(
            start_timeout=timedelta(seconds=self.template.start_timeout_seconds),
            deadline=timedelta(seconds=self.attempt.request.active_deadline_seconds),
        )
        sight = self.sight
        while True:
            self._open_log()
            await self._keep_last_words()
            verdict = judge.look(
                sight.job,
                sight.pod,
                datetime.now(UTC),
                job_gone=sight.job_gone,
                pod_gone=sight.pod_gone,
                blind=bool(self.watch.trouble_in(self.attempt.run.goosejob.namespace)),
            )
            match verdict:
                case Exited():
                    return await self._said(verdict)
                case Diagnosis():
                    return await self._failed(verdict)
                case Lost() if await self._is_gone():
                    return await self._lost()
                case _:
                    await sight.change(_WHILE_RUNNING if is_running(sight.job, sight.pod) else _LOOK_AGAIN)

    def _open_log(self) -> None:
        pod = self.sight.pod
        if self._log is None and pod is not None and has_log(pod):
            meta = pod["metadata"]
            self._log = LogFollower(
                self.kube, meta["namespace"], meta["name"], CONTAINER, completed=self.sight.wake
            )

    async def _keep_last_words(self) -> None:
        """Once goose has said its last line, let the heartbeats carry it."""
        if self._log is not None and self._log.complete and self.progress.told is None:
            told = compact(self._log.transcript())
            self.progress = self.progress.model_copy(update={"told": told})
            await self.lifeline.tell(self.progress)
            logger.info("goose has said its last line", extra=facts(self.attempt))

    async def _said(self, exited: Exited) -> AttemptResult:
        """Goose has come to its own end: its output tells how."""
        if self._log is not None:
            await self._log.read_to_end()
        transcript = self._transcript()
        ending = classify(
            transcript,
            exited.code,
            exited.signal,
            transcript.stray,  # a container's two outputs come as one
            needs_output=self.progress.needs_output,
            secrets=secret_values(self._literal_values()),
        )
        message = ending.message
        if ending.reason is Reason.NO_OUTCOME and self._log is not None and self._log.trouble:
            message = f"{message} {self._log.trouble}"[:MAX_MESSAGE]
        return AttemptResult(
            attempt=self.attempt.attempt,
            outcome=ending.outcome,
            reason=ending.reason,
            message=message,
            result=ending.result,
            tokens=ending.tokens,
            job_name=self._job_name,
        )

    def _transcript(self) -> Transcript:
        told = self.progress.told or Transcript()
        return told if self._log is None else better(told, self._log.transcript())

    def _literal_values(self) -> dict[str, str]:
        variables = (*self.template.env, *self.attempt.request.env)
        return {variable.name: variable.value for variable in variables if variable.value is not None}

    async def _failed(self, diagnosis: Diagnosis) -> AttemptResult:
        """Kubernetes has failed it, or will never start it: see to it that nothing of it is left alive."""
        still_there = "" if diagnosis.reason is Reason.NODE_LOST else await self._finish()
        if diagnosis.reason is Reason.NODE_LOST:
            await self._let_go()
        message = f"{diagnosis.message}; {still_there}" if still_there else diagnosis.message
        return failed(self.attempt, diagnosis.reason, message, self._job_name)

    async def _finish(self) -> str:
        """Let Kubernetes finish the Job where it is about to; delete it where it is not, or does not.

        Returns:
            What may still be alive.
        """
        sight = self.sight
        loop = asyncio.get_running_loop()
        until = loop.time() + patience(sight)
        while is_ending(sight.job, sight.pod) and not sight.job_gone and sight.job is not None:
            if is_finished(sight.job):
                return left(sight)
            if loop.time() > until:
                break
            await sight.change(_LOOK_AGAIN)
        return await end(self.jobs, sight)

    async def _let_go(self) -> None:
        """Have the Job's pod ended when its node comes back; nobody can wait for that."""
        try:
            if self.sight.job is not None:
                await self.jobs.delete(self.sight.job, foreground=True)
        except ClientError as error:
            logger.warning("%s", error)

    async def _is_gone(self) -> bool:
        """Whether the Job is gone by the API server's own word; a watch may be late."""
        ref = self.attempt.run.goosejob
        while True:
            try:
                job = await self.jobs.get(ref.namespace, self._job_name)
            except Unavailable as error:
                logger.info("%s; trying again", error)
                await asyncio.sleep(_ASK_AGAIN)
            else:
                break
        if job is None or job["metadata"]["uid"] != self.progress.job_uid:
            return True
        self.sight.job_gone = False
        self.sight.attach(job)
        return False

    async def _lost(self) -> AttemptResult:
        """The Job is gone, and we did not delete it."""
        if self._transcript().complete:
            return await self._said(Exited(0, None))
        still_there = await await_pod(self.sight)
        await self.lifeline.ask(within=0)
        if self.lifeline.stopped.done():
            raise Interrupted
        message = f"somebody deleted the Kubernetes Job {self._job_name} before goose was done"
        if still_there:
            message = f"{message}; {still_there}"
        return failed(self.attempt, Reason.JOB_LOST, message, self._job_name)

    @property
    def _job_name(self) -> str:
        return job_name(self.attempt)


def facts(attempt: AttemptRequest) -> dict[str, object]:
    """What a log line about an attempt says it is about."""
    return {"run": attempt.run.workflow_id, "attempt": attempt.attempt, "job": job_name(attempt)}


def job_name(attempt: AttemptRequest) -> str:
    """The name of an attempt's Job."""
    ref = attempt.run.goosejob
    return names.job_name(ref.name, ref.uid, attempt.run.id, attempt.attempt)


def failed(attempt: AttemptRequest, reason: Reason, message: str, job: str | None = None) -> AttemptResult:
    """An attempt that failed without goose having said how."""
    return AttemptResult(
        attempt=attempt.attempt,
        outcome=Outcome.FAILED,
        reason=reason,
        message=message[:MAX_MESSAGE],
        job_name=job,
    )
