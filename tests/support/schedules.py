"""Temporal as tests look at it: past the operator, through the SDK."""

from datetime import timedelta

from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import DescribeScheduleRequest, DescribeScheduleResponse
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from goosejobs.model import names
from goosejobs.model.run import RunRequest
from support.objects import Object


async def connect(address: str) -> Client:
    """A client."""
    return await Client.connect(address, data_converter=pydantic_data_converter)


def schedule_id(obj: Object) -> str:
    """The id of a GooseJob's schedule."""
    meta = obj["metadata"]
    return names.schedule_id(meta["namespace"], meta["name"], meta["uid"])


async def describe(client: Client, id_: str) -> DescribeScheduleResponse | None:
    """All that the server tells of a schedule; None when there is none."""
    try:
        return await client.workflow_service.describe_schedule(
            DescribeScheduleRequest(namespace=client.namespace, schedule_id=id_),
            retry=True,  # a server that is busy says so
            timeout=timedelta(seconds=60),
        )
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise AssertionError(f"Temporal tells nothing of {id_}: {error}") from error


async def schedule(client: Client, id_: str) -> Schedule | None:
    """The schedule as the server tells it; None when there is none."""
    found = await describe(client, id_)
    return found.schedule if found else None


async def argument(client: Client, found: Schedule) -> RunRequest:
    """What its runs are asked to do."""
    payloads = found.action.start_workflow.input.payloads
    (request,) = await client.data_converter.decode(payloads, [RunRequest])
    assert isinstance(request, RunRequest)
    return request


async def idle(client: Client, obj: Object) -> bool:
    """Whether Temporal knows of no run that is active or waits; it hears of an end after the record of it.

    Until then a run that is asked for meets another one, as its concurrencyPolicy says.
    """
    found = await describe(client, schedule_id(obj))
    return found is not None and not (found.info.running_workflows or found.info.buffer_size)


async def schedule_ids(client: Client, prefix: str = "goosejob/") -> set[str]:
    """All schedules of GooseJobs, by Temporal's index, which lags a little."""
    query = f"{names.UID_ATTRIBUTE} IS NOT NULL"
    return {each.id async for each in await client.list_schedules(query=query) if each.id.startswith(prefix)}


async def open_runs(client: Client, prefix: str = "goosejob/") -> set[str]:
    """All runs that have not ended, by Temporal's index, which lags a little."""
    query = f"{names.UID_ATTRIBUTE} IS NOT NULL AND ExecutionStatus = 'Running'"
    return {each.id async for each in client.list_workflows(query) if each.id.startswith(prefix)}


async def pause(client: Client, id_: str, note: str) -> None:
    """Pause a schedule in Temporal, as a person would."""
    await client.get_schedule_handle(id_).pause(note=note)
