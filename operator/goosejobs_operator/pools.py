"""The operator's calls to Temporal's server as a whole, and to the pools' workers behind it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from goosejobs.clients import temporal as shared
from goosejobs.clients.errors import ClientError
from goosejobs.model import names
from goosejobs.model.pool import Offer
from goosejobs.model.run import GooseJobRef, RecipeFile
from goosejobs_operator.caller import TIMEOUT, Caller, TemporalUnavailable

_PROBE_TIMEOUT: Final = timedelta(seconds=3)
_READ_RECIPE_TIMEOUT: Final = timedelta(seconds=20)
_POLL_AGE: Final = timedelta(seconds=90)
"""A worker polls at least once a minute; one that has not for this long is gone."""


class UnreadableRecipe(ClientError):
    """A worker looked at `spec.recipe.path` and cannot read it; str() says why."""


class Pools(Caller):
    """The server of one Temporal namespace, and the workers that poll there."""

    async def probe(self) -> str:
        """Find out whether Temporal answers and has our namespace.

        Returns:
            What tells the namespace from another one of that name: on a server with a new store, say.

        Raises:
            ClientError: Why not.
        """
        with self._call("check health"):
            async with asyncio.timeout(2 * _PROBE_TIMEOUT.total_seconds()):  # connecting may take any time
                healthy = await self._client.service_client.check_health(timeout=_PROBE_TIMEOUT)
        if not healthy:
            raise TemporalUnavailable("Temporal: it answers, and says that it does not serve")
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        with self._call("describe namespace", self._client.namespace):
            found = await self._client.workflow_service.describe_namespace(request, timeout=_PROBE_TIMEOUT)
        return str(found.namespace_info.id)

    async def prepare(self) -> None:
        """Register our search attribute if it is missing.

        Raises:
            ClientError: Why not; the message says what to do.
        """
        with self._call("prepare search attributes"):
            await shared.ensure_search_attribute(self._client)

    async def offers(self, pool: str) -> frozenset[Offer | None]:
        """What the workers that polled the pool's task queue lately take; None: one that does not say."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=names.task_queue(pool)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        with self._call("describe task queue", names.task_queue(pool)):
            found = await self._client.workflow_service.describe_task_queue(
                request, retry=False, timeout=_PROBE_TIMEOUT
            )
        oldest = datetime.now(UTC) - _POLL_AGE
        return frozenset(
            Offer.of(poller.identity)
            for poller in found.pollers
            if poller.last_access_time.ToDatetime(UTC) > oldest
        )

    async def read_recipe(self, ref: GooseJobRef, pool: str, path: str) -> RecipeFile:
        """Let a worker of the pool read a file in its recipe folder.

        Raises:
            UnreadableRecipe: A worker cannot read it.
            TimeoutError: No worker answered in time.
        """
        id_ = names.read_recipe_workflow_id(ref.namespace, ref.name, ref.uid)
        try:
            with self._call("read recipe", path):
                found: RecipeFile = await self._client.execute_workflow(
                    names.READ_RECIPE_WORKFLOW_TYPE,
                    args=[path, ref.namespace],
                    id=id_,
                    task_queue=names.task_queue(pool),
                    result_type=RecipeFile,
                    execution_timeout=_READ_RECIPE_TIMEOUT,
                    id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
                    memo=self._memo(),
                    rpc_timeout=TIMEOUT,
                )
        except WorkflowFailureError as error:
            if isinstance(error.cause, ApplicationError):
                raise UnreadableRecipe(error.cause.message) from error
            raise TimeoutError from error
        else:
            return found
