"""The yardstick: a workflow that does nothing, on a schedule of its own."""

from datetime import timedelta

from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleSpec,
)

NAME = "Empty"
TASK_QUEUE = "bench"


@workflow.defn(name=NAME)
class Empty:
    """Ends as soon as it has started."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""


async def create(client: Client, name: str, every: timedelta, offset: timedelta) -> ScheduleHandle:
    """Create a schedule that starts the empty workflow again and again."""
    action = ScheduleActionStartWorkflow(NAME, id=name, task_queue=TASK_QUEUE)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every, offset=offset)])
    return await client.create_schedule(name, Schedule(action=action, spec=spec))
