"""Whether a run's workflow is still open, as Temporal knows."""

from datetime import timedelta
from typing import Final

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError

from goosejobs.clients.errors import NotFound, Unavailable
from goosejobs.clients.temporal import translated

_TIMEOUT: Final = timedelta(seconds=10)


async def is_open(client: Client, workflow_id: str) -> bool:
    """Whether there is a workflow of this id, and it has not ended.

    Raises:
        ClientError: Temporal does not tell. A namespace that is missing tells nothing about a workflow.
    """
    try:
        with translated(f"describe workflow {workflow_id}"):
            found = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=_TIMEOUT)
    except NotFound as error:
        if _is_about_namespace(error.__cause__):
            raise Unavailable(str(error)) from error
        return False
    return found.close_time is None


def _is_about_namespace(error: BaseException | None) -> bool:
    if not isinstance(error, RPCError):
        return False
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
