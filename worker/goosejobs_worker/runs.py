"""Whether a run's workflow is still open, as Temporal knows."""

from datetime import timedelta
from typing import Final

from temporalio.client import Client

from goosejobs.clients.errors import NotFound
from goosejobs.clients.temporal import translated

_TIMEOUT: Final = timedelta(seconds=10)


async def is_open(client: Client, workflow_id: str) -> bool:
    """Whether there is a workflow of this id, and it has not ended.

    Raises:
        ClientError: Temporal does not tell.
    """
    try:
        with translated(f"describe workflow {workflow_id}"):
            found = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=_TIMEOUT)
    except NotFound:
        return False
    return found.close_time is None
