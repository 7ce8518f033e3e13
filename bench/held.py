"""The yardstick for re-attaching: as many bare activities, which a second bare worker takes over."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bench.ground import until

NAME = "Held"
TASK_QUEUE = "bench-held"
_HOLD = "hold"
_DEADLINE = timedelta(hours=1)
_AT_ONCE = timedelta(milliseconds=1)
_EXPECTED = ApplicationErrorCategory.BENIGN
_PATIENCE_SECONDS = 120.0


@workflow.defn(name=NAME)
class Held:
    """Is as long as its one activity, which goes on with the next worker."""

    @workflow.run
    async def run(self) -> None:
        """Wait for the activity."""
        await workflow.execute_activity(
            _HOLD,
            start_to_close_timeout=_DEADLINE,
            heartbeat_timeout=_DEADLINE,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
        )


class Holder:
    """The activities of one bare worker.

    Attributes:
        began: When each was begun, as Unix time.
    """

    def __init__(self) -> None:
        self.began: list[float] = []

    @activity.defn(name=_HOLD)
    async def hold(self) -> None:
        """Begin, give a sign of life, and leave when the worker does."""
        activity.heartbeat()
        self.began.append(time.time())
        await activity.wait_for_worker_shutdown()
        raise ApplicationError("the worker stops", next_retry_delay=_AT_ONCE, category=_EXPECTED)


async def measure(client: Client, number: int) -> float:
    """Seconds from a second worker's polling until it has begun so many activities.

    Args:
        client: Temporal's; the workflows are terminated at the end.
        number: How many.

    Raises:
        NotMeasured: It took too long.
    """
    started = []
    try:
        async with _worker(client, number) as holder:
            for _ in range(number):
                id_ = f"bench-held-{uuid4()}"
                started.append(await client.start_workflow(NAME, id=id_, task_queue=TASK_QUEUE))
            await until(lambda: len(holder.began) >= number, _PATIENCE_SECONDS, f"{number} bare activities")
        async with _worker(client, number) as holder:
            polling = time.time()
            await until(lambda: len(holder.began) >= number, _PATIENCE_SECONDS, "them to go on")
        return max(holder.began) - polling
    finally:
        await asyncio.gather(*(one.terminate("measured") for one in started))


@asynccontextmanager
async def _worker(client: Client, number: int) -> AsyncIterator[Holder]:
    holder = Holder()
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Held],
        activities=[holder.hold],
        max_concurrent_activities=number,
        graceful_shutdown_timeout=timedelta(seconds=5),
    )
    async with worker:
        yield holder
