"""The operator's calls to Temporal about schedules and runs; `pools` has those about server and workers."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio.api.common.v1 import Memo, Payload, Payloads, SearchAttributes, WorkflowExecution
from temporalio.api.schedule.v1 import Schedule, SchedulePatch, TriggerImmediatelyRequest
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    DescribeScheduleRequest,
    GetWorkflowExecutionHistoryRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.converter import PayloadConverter, encode_search_attributes
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from goosejobs.clients import temporal as shared
from goosejobs.clients.codec import Codec, MissingKey, Undecodable
from goosejobs.clients.errors import Conflict, NotFound
from goosejobs.model import names
from goosejobs.model.run import GooseJobRef, RunOutcome, RunRequest
from goosejobs_operator import schedule
from goosejobs_operator.caller import TIMEOUT, Caller, TemporalUnavailable
from goosejobs_operator.schedule import Described, LeftOut, WantedSchedule

_COUNTED: Final = "goosejobs-counted"
"""In a schedule's memo: what had been counted before it was made. Nobody can change a memo."""
_FORGIVEN: Final = "goosejobs-forgiven"
"""In the memo of its runs, which can be changed: see `schedule.forgiven`."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A run's workflow.

    Attributes:
        open: It has not ended.
        terminated: It was ended from outside, so that it could not record its end.
        start_time: When it started.
        close_time: When it ended.
        cancelled: It ended as it was asked to.
        outcome: How it ended, as it told Temporal; None when it did not, or that was not asked for.
    """

    open: bool
    terminated: bool
    start_time: datetime
    close_time: datetime | None
    cancelled: bool = False
    outcome: RunOutcome | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Something in Temporal that says it belongs to a GooseJob of this cluster."""

    id: str
    uid: str


class Temporal(Caller):
    """The schedules and runs of one Temporal namespace."""

    # schedules

    async def describe(self, ref: GooseJobRef) -> Described | None:
        """The GooseJob's schedule; None when there is none."""
        id_ = schedule.schedule_id(ref)
        request = DescribeScheduleRequest(namespace=self._client.namespace, schedule_id=id_)
        try:
            with self._call("describe schedule", id_):
                found = await self._client.workflow_service.describe_schedule(
                    request, retry=True, timeout=TIMEOUT
                )
        except NotFound:
            return None
        argument, unreadable = await self._argument(found.schedule)
        before, forgiven = _counted_before(found.memo), _forgiven(found.schedule)
        running = [run.workflow_id for run in found.info.running_workflows]
        recent = [each.start_workflow_result.workflow_id for each in found.info.recent_actions]
        return Described(
            schedule=found.schedule,
            token=found.conflict_token,
            request=argument,
            unreadable=unreadable,
            current=self._is_current(found.schedule),
            attributed=self._is_attributed(found.search_attributes, ref),
            counted=LeftOut(
                skipped=before.skipped + found.info.overlap_skipped + found.info.buffer_dropped,
                missed=before.missed + found.info.missed_catchup_window - forgiven,
            ),
            forgiven=forgiven,
            buffered=found.info.buffer_size,
            started=found.info.action_count,
            next_due=next((each.ToDatetime(UTC) for each in found.info.future_action_times), None),
            running=tuple(running),
            workflow_ids=tuple(dict.fromkeys([*running, *recent])),
        )

    async def _argument(self, described: Schedule) -> tuple[RunRequest | None, str]:
        """The argument, and why it cannot be read if only a key is missing."""
        return await self._decoded(described.action.start_workflow.input)

    async def _decoded(self, argument: Payloads) -> tuple[RunRequest | None, str]:
        payloads = argument.payloads
        try:
            (request,) = await self._client.data_converter.decode(payloads, [RunRequest])
        except MissingKey as error:
            return None, str(error)
        except Exception:  # noqa: BLE001 - whatever somebody put there: it is not ours, and is replaced
            return None, ""
        return (request, "") if isinstance(request, RunRequest) else (None, "")

    def _is_current(self, described: Schedule) -> bool:
        codec = self._client.data_converter.payload_codec
        payloads = described.action.start_workflow.input.payloads
        return not isinstance(codec, Codec) or all(map(codec.is_current, payloads))

    async def wanted(self, wanted: WantedSchedule, old: Described | None, now: datetime) -> Schedule:
        """The whole schedule as it should be, given the one that exists.

        An argument that is as wanted keeps its bytes: encrypted again, it would be others.

        Args:
            wanted: What it is to do.
            old: The one that exists, if any.
            now: The time by which the whole look judges what was missed.

        Raises:
            TemporalUnavailable: A key is missing here. The schedule may be as wanted, and runs go on.
        """
        if old is not None and old.unreadable:
            raise TemporalUnavailable(
                f"Temporal: cannot read the argument of schedule {wanted.id}: {old.unreadable}. Until then "
                "the schedule goes on as it is. If that key is lost, delete the schedule in Temporal: it is "
                "made anew"
            )
        if old is not None and old.current and old.request == wanted.request:
            argument = list(old.schedule.action.start_workflow.input.payloads)
        else:
            argument = await self._client.data_converter.encode([wanted.request])
        forgiven = schedule.forgiven(old, wanted.counted, now) if old else 0
        memo = {_FORGIVEN: PayloadConverter.default.to_payload(forgiven)} if forgiven else {}
        return schedule.build(
            wanted,
            argument,
            self._attributes(wanted.request.goosejob),
            Memo(fields={**self._memo(), **memo}),
            old.schedule.state if old else None,
            old.request.max_runs if old and old.request else None,
        )

    async def create(self, wanted: WantedSchedule) -> None:
        """Create the schedule.

        Raises:
            Conflict: There is one already.
        """
        request = CreateScheduleRequest(
            namespace=self._client.namespace,
            schedule_id=wanted.id,
            schedule=await self.wanted(wanted, None, datetime.now(UTC)),
            identity=self._client.identity,
            request_id=str(uuid.uuid4()),
            memo=Memo(fields={**self._memo(), _COUNTED: _as_payload(wanted.counted)}),
            search_attributes=self._attributes(wanted.request.goosejob),
        )
        with self._call("create schedule", wanted.id):
            await self._client.workflow_service.create_schedule(request, retry=True, timeout=TIMEOUT)

    async def update(
        self, id_: str, to: Schedule, token: bytes, attribute_to: GooseJobRef | None = None
    ) -> None:
        """Replace the schedule in one step.

        Nothing happens, and nothing tells so, if somebody changed it (paused it, say) after it was described.

        Args:
            id_: The schedule's.
            to: What it is to be.
            token: Of its description.
            attribute_to: Whose search attribute it is to get back; None: it has it.

        Raises:
            Conflict: Somebody removed it.
        """
        request = UpdateScheduleRequest(
            namespace=self._client.namespace,
            schedule_id=id_,
            schedule=to,
            conflict_token=token,
            identity=self._client.identity,
            search_attributes=self._attributes(attribute_to) if attribute_to else None,
        )
        try:
            with self._call("update schedule", id_):
                await self._client.workflow_service.update_schedule(request, retry=True, timeout=TIMEOUT)
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def delete(self, id_: str) -> None:
        """Delete a schedule; one that is gone is as good."""
        request = DeleteScheduleRequest(
            namespace=self._client.namespace, schedule_id=id_, identity=self._client.identity
        )
        try:
            with self._call("delete schedule", id_):
                await self._client.workflow_service.delete_schedule(request, retry=True, timeout=TIMEOUT)
        except NotFound:
            return

    async def trigger(self, id_: str, at: datetime, request_id: str) -> None:
        """Let the schedule start a run now, as its own policies allow, even while it is paused.

        Args:
            id_: The schedule's.
            at: The run's scheduled time, which names its workflow: whole seconds.
            request_id: Asking again under the same one does nothing.

        Raises:
            Conflict: Somebody removed the schedule.
        """
        trigger = TriggerImmediatelyRequest()
        trigger.scheduled_time.FromDatetime(at)
        request = PatchScheduleRequest(
            namespace=self._client.namespace,
            schedule_id=id_,
            patch=SchedulePatch(trigger_immediately=trigger),
            identity=self._client.identity,
            request_id=request_id,
        )
        try:
            with self._call("trigger schedule", id_):
                await self._client.workflow_service.patch_schedule(request, retry=True, timeout=TIMEOUT)
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def schedules(self) -> AsyncIterator[Found]:
        """All schedules of GooseJobs of this cluster."""
        with self._call("list schedules"):
            query = f"{names.UID_ATTRIBUTE} IS NOT NULL"
            async for each in await self._client.list_schedules(query=query, rpc_timeout=TIMEOUT):
                if self._ours(each.raw_entry.memo):
                    yield Found(each.id, str(each.typed_search_attributes.get(shared.UID_KEY)))

    # runs

    async def start_once(self, request: RunRequest) -> None:
        """Start the one run of a `runOnce` GooseJob; one that was started before is as good."""
        ref = request.goosejob
        id_ = names.once_workflow_id(ref.namespace, ref.name, ref.uid)
        try:
            with self._call("start workflow", id_):
                await self._client.start_workflow(
                    names.WORKFLOW_TYPE,
                    request,
                    id=id_,
                    task_queue=names.task_queue(request.pool),
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    memo=self._memo(),
                    search_attributes=self._typed(ref),
                    rpc_timeout=TIMEOUT,
                )
        except WorkflowAlreadyStartedError:
            return

    async def run_state(self, workflow_id: str) -> RunState | None:
        """A run's workflow; None when Temporal does not know it (any more)."""
        try:
            with self._call("describe workflow", workflow_id):
                found = await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=TIMEOUT)
        except NotFound:
            return None
        cut_short = {WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT}
        return RunState(
            open=found.close_time is None,
            terminated=found.status in cut_short,
            start_time=found.start_time,
            close_time=found.close_time,
            cancelled=found.status is WorkflowExecutionStatus.CANCELED,
        )

    async def request_of(self, workflow_id: str) -> RunRequest | None:
        """What a run was asked to do; None when Temporal does not know it any more, or nobody can read it."""
        asked = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            maximum_page_size=1,  # it is in the first event
        )
        try:
            with self._call("read the start of", workflow_id):
                found = await self._client.workflow_service.get_workflow_execution_history(
                    asked, timeout=TIMEOUT
                )
        except NotFound:
            return None
        started = found.history.events[0].workflow_execution_started_event_attributes
        return (await self._decoded(started.input))[0]

    async def outcome(self, workflow_id: str) -> RunOutcome | None:
        """How a run that has ended told its end; None when it did not, or nobody can read it here."""
        handle = self._client.get_workflow_handle(workflow_id, result_type=RunOutcome)
        with self._call("read result", workflow_id):
            try:
                found: RunOutcome | None = await handle.result(rpc_timeout=TIMEOUT)
            except WorkflowFailureError as error:
                return _outcome_in(error)
            except (Undecodable, ValueError):  # without the key, or nothing that a run of ours returns
                return None
            else:
                return found

    async def open_runs(self, uid: str | None = None) -> AsyncIterator[Found]:
        """Workflows that have not ended: of one GooseJob, or (uid None) of all of this cluster.

        Temporal's index lags about a second behind.
        """
        whose = f"{names.UID_ATTRIBUTE} IS NOT NULL" if uid is None else f"{names.UID_ATTRIBUTE} = '{uid}'"
        with self._call("list workflows"):
            query = f"{whose} AND ExecutionStatus = 'Running'"
            async for each in self._client.list_workflows(query, rpc_timeout=TIMEOUT):
                if self._ours(each.raw_info.memo):
                    yield Found(each.id, str(each.typed_search_attributes.get(shared.UID_KEY)))

    async def cancel(self, workflow_id: str) -> None:
        """Ask a run to end; one that has ended is as good."""
        try:
            with self._call("cancel workflow", workflow_id):
                await self._client.get_workflow_handle(workflow_id).cancel(rpc_timeout=TIMEOUT)
        except NotFound:
            return

    async def terminate(self, workflow_id: str, why: str) -> None:
        """End a run's workflow without its help; one that has ended is as good."""
        try:
            with self._call("terminate workflow", workflow_id):
                await self._client.get_workflow_handle(workflow_id).terminate(reason=why, rpc_timeout=TIMEOUT)
        except NotFound:
            return

    def _is_attributed(self, found: SearchAttributes, ref: GooseJobRef) -> bool:
        wanted = self._attributes(ref).indexed_fields[names.UID_ATTRIBUTE]
        return found.indexed_fields[names.UID_ATTRIBUTE].data == wanted.data

    def _attributes(self, ref: GooseJobRef) -> SearchAttributes:
        encoded = SearchAttributes()
        encode_search_attributes(self._typed(ref), encoded)
        return encoded

    def _typed(self, ref: GooseJobRef) -> TypedSearchAttributes:
        return TypedSearchAttributes([SearchAttributePair(shared.UID_KEY, ref.uid)])


def _forgiven(schedule: Schedule) -> int:
    payload = schedule.action.start_workflow.memo.fields.get(_FORGIVEN)
    return PayloadConverter.default.from_payload(payload, int) if payload else 0


def _as_payload(counted: LeftOut) -> Payload:
    """Not encrypted: these are numbers, and whoever lost a key still counts."""
    return PayloadConverter.default.to_payload(asdict(counted))


def _counted_before(memo: Memo) -> LeftOut:
    """Nothing, of a schedule that an earlier release made."""
    payload = memo.fields.get(_COUNTED)
    if payload is None:
        return LeftOut()
    return LeftOut(**PayloadConverter.default.from_payload(payload, dict[str, int]))


def _outcome_in(error: WorkflowFailureError) -> RunOutcome | None:
    """What the workflow gave as the detail of its failure."""
    details = error.cause.details if isinstance(error.cause, ApplicationError) else ()
    try:
        return RunOutcome.model_validate(details[0]) if details else None
    except ValueError:
        return None
