"""What Temporal wrote down of the one run of a `runOnce` GooseJob."""

import contextlib
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from goosejobs.model import names
from support.objects import Kubectl, get


def handle(temporal: Client, kubectl: Kubectl, namespace: str, name: str) -> WorkflowHandle[Any, Any]:
    """Its workflow."""
    uid = get(kubectl, namespace, name)["metadata"]["uid"]
    return temporal.get_workflow_handle(names.once_workflow_id(namespace, name, uid))


async def events(workflow: WorkflowHandle[Any, Any]) -> list[HistoryEvent]:
    """All events; waits for the last one, which comes a moment after the record."""
    with contextlib.suppress(WorkflowFailureError):
        await workflow.result()
    return list((await workflow.fetch_history()).events)


async def has(workflow: WorkflowHandle[Any, Any], kind: str) -> bool:
    """Whether there is an event of a kind by now, such as `timer_fired`."""
    history = await workflow.fetch_history()
    return any(event.HasField(f"{kind}_event_attributes") for event in history.events)  # type: ignore[arg-type]


def timers(history: list[HistoryEvent]) -> list[float]:
    """How long each durable timer was to be, in seconds, in the order in which they were set."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToMilliseconds() / 1000
        for event in history
        if event.HasField("timer_started_event_attributes")
    ]


def waits(history: list[HistoryEvent]) -> list[float]:
    """The same without those before the first attempt: a run that could not be announced waits then."""
    first = next(n for n, event in enumerate(history) if _begins_attempt(event))
    return timers(history[first:])


def _begins_attempt(event: HistoryEvent) -> bool:
    return event.HasField("activity_task_scheduled_event_attributes")
