"""What somebody does by hand in Temporal, and to a GooseJob's status, past the operator."""

import dataclasses
import json
from datetime import timedelta

from temporalio.api.common.v1 import SearchAttributes, WorkflowExecution
from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ResetWorkflowExecutionRequest,
    UpdateScheduleRequest,
)
from temporalio.client import Client

from goosejobs.model import names
from goosejobs_local.progress import silent
from support.objects import Kubectl, Object
from support.rig import Rig

_TIMEOUT = timedelta(seconds=60)


async def describe(client: Client, id_: str) -> DescribeScheduleResponse:
    """All that the server tells of a schedule."""
    request = DescribeScheduleRequest(namespace=client.namespace, schedule_id=id_)
    return await client.workflow_service.describe_schedule(request, retry=True, timeout=_TIMEOUT)


async def edit(client: Client, id_: str, to: Schedule, attributes: SearchAttributes | None = None) -> None:
    """Replace a schedule, as its page in Temporal does."""
    request = UpdateScheduleRequest(
        namespace=client.namespace, schedule_id=id_, schedule=to, search_attributes=attributes
    )
    await client.workflow_service.update_schedule(request, retry=True, timeout=_TIMEOUT)


async def attribute(client: Client, id_: str) -> str | None:
    """The uid that a schedule is found by."""
    found = (await describe(client, id_)).search_attributes.indexed_fields
    return json.loads(found[names.UID_ATTRIBUTE].data) if names.UID_ATTRIBUTE in found else None


async def reset(client: Client, workflow_id: str, event: int) -> None:
    """`temporal workflow reset`: what came after a workflow task is undone, and it goes on from there."""
    found = await client.get_workflow_handle(workflow_id).describe()
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=found.run_id),
        workflow_task_finish_event_id=event,
        reason="by hand",
        request_id=f"{found.run_id}-{event}",
    )
    await client.workflow_service.reset_workflow_execution(request, retry=True, timeout=_TIMEOUT)


async def delete(client: Client, workflow_id: str) -> None:
    """`temporal workflow delete`."""
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
    )
    await client.workflow_service.delete_workflow_execution(request, retry=True, timeout=_TIMEOUT)


def write_status(kubectl: Kubectl, namespace: str, name: str, *operations: Object) -> None:
    """`kubectl edit --subresource=status`, as JSON patches it."""
    patch = json.dumps(operations)
    kubectl("patch", "-n", namespace, "gj", name, "--subresource=status", "--type=json", "-p", patch)


def wipe_status(kubectl: Kubectl, namespace: str, name: str) -> None:
    """Leave nothing of it, as a backup does that was restored without."""
    write_status(kubectl, namespace, name, {"op": "replace", "path": "/status", "value": {}})


def lose_store(rig: Rig, *left_out: str) -> None:
    """Start Temporal anew, without its data.

    Args:
        rig: Whose.
        left_out: Words of its command line that it is started without.
    """
    rig.server("temporal").kill9()
    files = list(rig.home.glob("temporal.db*"))
    assert files
    for file in files:
        file.unlink()
    part = next(each for each in rig.platform.servers() if each.name == "temporal")
    assert set(left_out) <= set(part.argv)
    argv = tuple(word for word in part.argv if word not in left_out)
    rig.platform.converge([dataclasses.replace(part, argv=argv)], silent)
