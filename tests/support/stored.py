"""All that Temporal has of our runs, as bytes: past every converter, as whoever owns the server sees it."""

from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeScheduleRequest, DescribeWorkflowExecutionRequest
from temporalio.client import Client

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
            described = await client.workflow_service.describe_workflow_execution(request)
            found.append(described.SerializeToString())
            handle = client.get_workflow_handle(each.id, run_id=each.run_id)
            found.extend([event.SerializeToString() async for event in handle.fetch_history_events()])
    async for listed in await client.list_schedules():
        found.append(listed.raw_entry.SerializeToString())
        asked = DescribeScheduleRequest(namespace=client.namespace, schedule_id=listed.id)
        found.append((await client.workflow_service.describe_schedule(asked)).SerializeToString())
    return b"\n".join(found)


def kept(directory: Path) -> bytes:
    """What the development server has on disk: its database and the changes that are not yet in it."""
    return b"\n".join(file.read_bytes() for file in sorted(directory.glob("temporal.db*")))
