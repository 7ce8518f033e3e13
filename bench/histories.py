"""When what happened in a workflow, as Temporal's history has it."""

from collections.abc import Mapping
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey

_DUE = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@dataclass(frozen=True)
class Times:
    """Unix times of the first event of each type in a workflow's history.

    Attributes:
        id: The workflow's.
        due: When a schedule wanted it to run.
        first: The times, by the events' types.
    """

    id: str
    due: float
    first: Mapping[int, float]

    def late(self, event: EventType.ValueType) -> float:
        """Seconds from when it was due to an event."""
        return self.first[event] - self.due


async def times(client: Client, workflow_type: str, status: str = "Completed") -> list[Times]:
    """Of all workflows of a type that schedules have started, and that are of a status, as they were due."""
    query = f"WorkflowType = '{workflow_type}' AND ExecutionStatus = '{status}'"
    found = [await _times(client, one) async for one in client.list_workflows(query)]
    return sorted((one for one in found if one is not None), key=lambda one: one.due)


async def _times(client: Client, one: WorkflowExecution) -> Times | None:
    due = one.typed_search_attributes.get(_DUE)
    if due is None:
        return None
    history = await client.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()
    first: dict[int, float] = {}
    for event in history.events:
        first.setdefault(event.event_type, event.event_time.ToNanoseconds() / 1e9)
    return Times(one.id, due.timestamp(), first)
