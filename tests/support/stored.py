"""All that Temporal has of our runs, as bytes: past every converter, as whoever owns the server sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeScheduleRequest, DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

_TIMEOUT = timedelta(seconds=60)
_RUNS = ""
_SCHEDULERS = "TemporalNamespaceDivision = 'TemporalScheduler'"


async def told(client: Client) -> bytes:
    """What the API tells: descriptions and every event of all workflows, schedules and what drives them.

    Args:
        client: One without a codec.
    """
    found = []
    for query in (_RUNS, _SCHEDULERS):
        async for each in client.list_workflows(query):
            found.append(each.raw_info.SerializeToString())
            request = DescribeWorkflowExecutionRequest(namespace=client.namespace)
            request.execution.workflow_id, request.execution.run_id = each.id, each.run_id
            handle = client.get_workflow_handle(each.id, run_id=each.run_id)
            with _unless_gone():
                described = await client.workflow_service.describe_workflow_execution(
                    request, retry=True, timeout=_TIMEOUT
                )
                found.append(described.SerializeToString())
                found.extend([event.SerializeToString() async for event in handle.fetch_history_events()])
    async for listed in await client.list_schedules():
        found.append(listed.raw_entry.SerializeToString())
        asked = DescribeScheduleRequest(namespace=client.namespace, schedule_id=listed.id)
        with _unless_gone():
            schedule = await client.workflow_service.describe_schedule(asked, retry=True, timeout=_TIMEOUT)
            found.append(schedule.SerializeToString())
    return b"\n".join(found)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """The index lists for a while what somebody has deleted."""
    try:
        yield
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def kept(directory: Path) -> bytes:
    """What the development server has on disk: its database and the changes that are not yet in it."""
    return b"\n".join(file.read_bytes() for file in sorted(directory.glob("temporal.db*")))
