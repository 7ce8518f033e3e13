"""The workflows: a run of a GooseJob, and the reading of a recipe file for the operator.

They are replayed from history (in tests inside Temporal's sandbox), so they decide and wait, and everything
that touches the world is an activity. What may change here without breaking runs that are under way is told
by the histories in tests/histories.
"""

import asyncio
from datetime import timedelta
from typing import Final

from pydantic import Field
from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    TimeoutType,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

with workflow.unsafe.imports_passed_through():
    from goosejobs.model import names
    from goosejobs.model.execution import Mode
    from goosejobs.model.reasons import Outcome, Reason
    from goosejobs.model.run import (
        AttemptRequest,
        AttemptResult,
        Message,
        RecipeFile,
        RecordRequest,
        RunInfo,
        RunOutcome,
        RunRequest,
    )
    from goosejobs.model.spec import ConcurrencyPolicy
    from goosejobs_worker.attempts import Attempts
    from goosejobs_worker.fence import FENCE, HEARTBEAT_TIMEOUT
    from goosejobs_worker.stopped import killed, out_of_time, unknown_here

ANNOUNCE: Final = "announce"
STILL_OPEN: Final = "still_open"
EXECUTE_ATTEMPT: Final = "execute_attempt"
RECORD: Final = "record"
READ_RECIPE: Final = "read_recipe"

ATTEMPT_MARGIN: Final = timedelta(minutes=5)
"""Beyond `activeDeadlineSeconds`, which the supervisor or Kubernetes keeps: to prepare, end and report."""

JOB_HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)
JOB_START_TIMEOUT: Final = timedelta(minutes=10)
"""What holds for a Kubernetes Job when nobody could say what its pool says."""

REATTACH: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=10)
)
"""Of an attempt that is a Kubernetes Job: its activity may be executed again, and finds the Job again."""

LOCAL_TIMEOUT: Final = timedelta(seconds=5)
ANNOUNCE_TRIES: Final = 3
ANNOUNCE_PATIENCE: Final = timedelta(seconds=2)
"""How long each try of announcing a run waits for the API server; all of them fit into its time."""
LOCAL_RETRY_THRESHOLD: Final = timedelta(seconds=3)
"""A local activity that waits longer than this for its retry becomes a durable timer: otherwise it holds the
workflow task, and a cancellation waits for it."""

OUTWAIT_FIRST: Final = timedelta(seconds=1)
OUTWAIT_LONGEST: Final = timedelta(seconds=30)
"""How often a run looks whether an earlier one that it has to wait for has ended."""

RECORD_PATIENCE: Final = timedelta(seconds=5)
"""How long a run waits for the API server to take its record, before it leaves that to `GooseJobRecord`."""
RECORD_ROUND: Final = timedelta(hours=12)
"""How long one `GooseJobRecord` tries: a try adds to its history, and Temporal ends what grows too long."""

_SCHEDULED_TIME = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


class Announcement(Message):
    """What announcing a run brought back: also what the pool says about attempts."""

    wait: timedelta
    """How long processes of an earlier run of the GooseJob may still be alive."""
    mode: Mode | None = None
    """As what the pool runs goose; None in what a worker of an earlier release said."""
    heartbeat_timeout: timedelta | None = None
    start_timeout: timedelta = timedelta(0)
    """How long goose may take to start in a pod."""
    unknown: bool = False
    """There is no such GooseJob here: it is gone, or of another cluster with a pool of this name."""
    entered: bool = False
    """The run stands in `status.active`."""
    earlier: list[str] = Field(default_factory=list)
    """Workflows of runs that started before this one and are not recorded; none, said an earlier release."""


@workflow.defn(name=names.WORKFLOW_TYPE)
class GooseJobRun:
    """One run: announce it, attempt it until it is settled, record it."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        self.request = request
        self.run_info = _run_info(request)
        self.attempts = Attempts(request.retry)
        self.overdue = False
        self.announcement: Announcement | None = None
        self.entered = False

    @workflow.run
    async def run(self, request: RunRequest) -> RunOutcome:  # noqa: ARG002 - taken by __init__
        """Run to the end.

        Returns:
            The outcome, if it is Succeeded.

        Raises:
            CancelledError: The run was killed, so its workflow is Cancelled.
            ApplicationError: It failed, or nobody knows; the type is the reason, the detail the outcome.
        """
        ended = await self._settle_in_time()
        outcome = RunOutcome(
            outcome=ended.outcome,
            reason=ended.reason,
            message=ended.message,
            attempt=self.attempts.made,
            start_time=self.run_info.start_time,
            finish_time=workflow.now(),
        )
        await self._record(outcome, ended)
        if outcome.outcome is Outcome.KILLED:
            raise CancelledError(outcome.message)
        if outcome.outcome is not Outcome.SUCCEEDED:
            raise ApplicationError(outcome.message, outcome, type=outcome.reason.value, non_retryable=True)
        return outcome

    async def _settle_in_time(self) -> AttemptResult:
        """Settle the run within `spec.runDeadlineSeconds`; nothing of it is alive any more after that.

        Whoever cancels a run gets it Killed, also when its time is over before its processes are gone.
        """
        seconds = self.request.run_deadline_seconds
        if seconds is None:
            return await self._settle()
        left = workflow.info().workflow_start_time + timedelta(seconds=seconds) - workflow.now()
        if left <= timedelta(0):
            self.overdue = True
            return self._stopped()
        settling, expiring = asyncio.create_task(self._settle()), asyncio.create_task(workflow.sleep(left))
        try:
            await workflow.wait([settling, expiring], return_when=asyncio.FIRST_COMPLETED)
            self.overdue = not settling.done()
        except asyncio.CancelledError:
            pass  # passed on to what settles the run, as its deadline is
        expiring.cancel()
        settling.cancel()
        try:
            return await asyncio.shield(settling)
        except asyncio.CancelledError:
            return await settling  # somebody cancels while what was out of time is ended

    async def _settle(self) -> AttemptResult:
        """Attempt until there is nothing more to try, or until it is to stop."""
        try:
            await self._fence()
            while not (self.announcement and self.announcement.unknown):
                self.attempts.made += 1
                if self.attempts.made > 1:
                    await self._announce()
                ended = await self._attempt()
                delay = self.attempts.next_delay(ended)
                if delay is None:
                    return ended
                if self._is_to_stop():
                    return self._stopped()
                await workflow.sleep(delay)
            return unknown_here(self.attempts)
        except (asyncio.CancelledError, FailureError) as error:
            if not is_cancelled_exception(error):
                raise
            return self._stopped()

    def _is_to_stop(self) -> bool:
        """Whether the order to stop met an attempt that ended otherwise, and would be lost with that."""
        # Only runs that meet this have the patch in their history; earlier releases went on with those.
        cancelled = workflow.cancellation_reason() is not None
        return self.overdue or (cancelled and workflow.patched("a-cancelled-run-makes-no-other-attempt"))

    def _stopped(self) -> AttemptResult:
        """The end of a run that was told to stop."""
        if seconds := self._out_of_time():
            return out_of_time(self.attempts, seconds)
        return killed(self.attempts, workflow.cancellation_reason())

    def _out_of_time(self) -> int | None:
        """The deadline that passed, unless somebody cancelled the run as well."""
        if workflow.cancellation_reason() is not None or not self.overdue:
            return None
        return self.request.run_deadline_seconds

    async def _fence(self) -> None:
        """Enter the run in the status, and outwait what an earlier one may have left alive.

        When the status cannot be read, nobody knows, so wait as long as it may take.
        """
        await self._announce(attempt=1)
        if self.request.concurrency_policy is ConcurrencyPolicy.ALLOW:
            return
        if self.announcement is not None and self.announcement.earlier:
            await self._outwait(self.announcement.earlier)
            await self._announce(attempt=1)
        wait = FENCE if self.announcement is None else self.announcement.wait
        if wait > timedelta(0):
            await workflow.sleep(wait)

    async def _outwait(self, earlier: list[str]) -> None:
        """Wait for earlier runs that Temporal did not hold this one back for; with Replace, end them."""
        delay, ends = OUTWAIT_FIRST, self.request.concurrency_policy is ConcurrencyPolicy.REPLACE
        while True:
            earlier = await workflow.execute_local_activity(
                STILL_OPEN,
                args=[earlier, ends],
                result_type=list[str],
                start_to_close_timeout=LOCAL_TIMEOUT,
                local_retry_threshold=LOCAL_RETRY_THRESHOLD,
            )
            if not earlier:
                return
            await workflow.sleep(delay)
            delay = min(delay * 2, OUTWAIT_LONGEST)

    async def _announce(self, attempt: int | None = None) -> None:
        """Best effort: the API server being away does not stop a run; its record will tell all."""
        try:
            self.announcement = await workflow.execute_local_activity(
                ANNOUNCE,
                args=[self.run_info, attempt or self.attempts.made, self.attempts.ended],
                result_type=Announcement,
                start_to_close_timeout=LOCAL_TIMEOUT,
                schedule_to_close_timeout=LOCAL_TIMEOUT * 2,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=500), maximum_attempts=ANNOUNCE_TRIES
                ),
                local_retry_threshold=LOCAL_RETRY_THRESHOLD,
            )
            self.entered = self.entered or self.announcement.entered
        except FailureError as error:
            if is_cancelled_exception(error):
                raise

    async def _attempt(self) -> AttemptResult:
        """Make an attempt, and note its end: where that is the run's deadline, it says so."""
        since = workflow.now()
        ended = await self._execute()
        if ended.outcome is Outcome.KILLED and (seconds := self._out_of_time()):
            ended = out_of_time(self.attempts, seconds, cut=ended)
        self.attempts.note(ended, since, workflow.now())
        return ended

    async def _execute(self) -> AttemptResult:
        """One goose, on whichever worker of the pool has room; waits for one as long as it takes."""
        told = self.announcement or Announcement(wait=FENCE)
        as_job = (told.mode or self.request.mode) is Mode.JOB
        deadline = timedelta(seconds=self.request.active_deadline_seconds)
        if as_job:
            deadline += told.start_timeout or JOB_START_TIMEOUT
        heartbeat_timeout = told.heartbeat_timeout or (JOB_HEARTBEAT_TIMEOUT if as_job else HEARTBEAT_TIMEOUT)
        try:
            ended: AttemptResult = await workflow.execute_activity(
                EXECUTE_ATTEMPT,
                AttemptRequest(run=self.run_info, request=self.request, attempt=self.attempts.made),
                result_type=AttemptResult,
                start_to_close_timeout=deadline + ATTEMPT_MARGIN,
                heartbeat_timeout=heartbeat_timeout,
                retry_policy=REATTACH if as_job else RetryPolicy(maximum_attempts=1),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return _lost(self.attempts.made, _cause(error))
        else:
            return ended

    async def _record(self, outcome: RunOutcome, ended: AttemptResult) -> None:
        """Fold the outcome into the status, whatever else is asked meanwhile."""
        news = RecordRequest(
            run=self.run_info,
            outcome=outcome,
            result=ended.result,
            tokens=ended.tokens,
            session=ended.session,
            job_name=ended.job_name,
            attempts=self.attempts.ended,
            entered=self.entered,
        )
        recording = asyncio.create_task(self._write_record(news))
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            await recording  # Temporal cancels a workflow once: nothing interrupts this any more

    async def _write_record(self, news: RecordRequest) -> None:
        """Hand the news over when the API server is away: a run that waits for it would hold up the next."""
        try:
            await _write_record(news, RECORD_PATIENCE)
        except FailureError:
            await workflow.start_child_workflow(
                names.RECORD_WORKFLOW_TYPE,
                news,
                id=names.record_workflow_id(self.run_info.workflow_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
            )


@workflow.defn(name=names.RECORD_WORKFLOW_TYPE)
class GooseJobRecord:
    """Folds the end of a run, which could not wait, into the status: for as long as that may take."""

    @workflow.run
    async def run(self, news: RecordRequest) -> None:
        """Record it; the GooseJob being gone is as good.

        Raises:
            ApplicationError: The API server has refused it for so long that the operator is to record it.
        """
        try:
            await _write_record(news, RECORD_ROUND)
        except FailureError as error:
            cause = _cause(error)
            if is_cancelled_exception(error) or (isinstance(cause, ApplicationError) and cause.non_retryable):
                raise cause from None
            workflow.continue_as_new(news)


@workflow.defn(name=names.READ_RECIPE_WORKFLOW_TYPE)
class GooseJobReadRecipe:
    """Reads a recipe from the pool's recipe folder."""

    @workflow.run
    async def run(self, path: str, namespace: str = "") -> RecipeFile:
        """Read it.

        Args:
            path: As in `spec.recipe.path`: relative to the pool's recipe folder.
            namespace: The GooseJob's, which the pool has to serve.

        Raises:
            ApplicationError: It cannot be read; the message says why, the type is a StalledReason.
        """
        try:
            found: RecipeFile = await workflow.execute_local_activity(
                READ_RECIPE,
                args=[path, namespace],
                result_type=RecipeFile,
                start_to_close_timeout=LOCAL_TIMEOUT,
                schedule_to_close_timeout=LOCAL_TIMEOUT * 2,
                local_retry_threshold=LOCAL_RETRY_THRESHOLD,
            )
        except FailureError as error:
            raise _cause(error) from None  # the operator shows the cause, not the way it took
        else:
            return found


async def _write_record(news: RecordRequest, patience: timedelta) -> None:
    await workflow.execute_local_activity(
        RECORD,
        news,
        start_to_close_timeout=LOCAL_TIMEOUT,
        schedule_to_close_timeout=patience,
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=0
        ),
        local_retry_threshold=LOCAL_RETRY_THRESHOLD,
    )


def _run_info(request: RunRequest) -> RunInfo:
    info = workflow.info()
    scheduled = info.typed_search_attributes.get(_SCHEDULED_TIME)
    return RunInfo(
        goosejob=request.goosejob,
        id=names.run_id(scheduled),
        workflow_id=info.workflow_id,
        trigger=request.trigger_at(scheduled),
        scheduled_time=scheduled,
        start_time=info.start_time,
        first_run_id=info.first_execution_run_id,
        generation=request.generation,
    )


def _cause(error: FailureError) -> BaseException:
    """What went wrong in an activity: of a local one the SDK gives that itself, else an ActivityError."""
    return error.cause if isinstance(error, ActivityError) and error.cause else error


def _lost(attempt: int, cause: BaseException) -> AttemptResult:
    """An attempt that no worker could tell the end of."""
    reason, message = Reason.START_FAILED, f"the worker failed: {cause}"
    if isinstance(cause, TemporalTimeoutError):
        reason, message = Reason.WORKER_LOST, "the worker was lost: no heartbeat any more"
        if cause.type is TimeoutType.START_TO_CLOSE:
            reason, message = Reason.DEADLINE_EXCEEDED, "the attempt did not end within its deadline"
    return AttemptResult(attempt=attempt, outcome=Outcome.FAILED, reason=reason, message=message)
