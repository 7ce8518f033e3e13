"""What ties an attempt to Temporal: heartbeats until its last process is gone, and the news they bring."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self

from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from goosejobs_worker.executors.local.supervisor import boot_time

logger = logging.getLogger(__name__)

LEASE_SHARE = 2 / 3
"""The lease, of the heartbeat timeout: when Temporal gives an attempt up, its processes are dead."""
BEATS = 6
"""Heartbeats per heartbeat timeout."""


class Stop(StrEnum):
    """Why an attempt has to end before goose is done."""

    CANCELLED = "Cancelled"
    """A person, a deletion or `concurrencyPolicy: Replace`."""
    GONE = "Gone"
    """Temporal no longer knows the attempt: its workflow was terminated, or it was given up or reset."""
    SHUTDOWN = "Shutdown"
    """The worker stops and the time to finish is over."""


class Lifeline:
    """Heartbeats of one attempt.

    The SDK's `activity.heartbeat()` only queues a heartbeat and cannot tell when Temporal answered. The lease
    needs that, so heartbeats go out as plain requests; the SDK's own go along at its throttled pace, because
    it would believe the activity dead without them.

    Args:
        client: Temporal's.
        info: The activity's.
        beats: Heartbeats per heartbeat timeout.

    Attributes:
        details: What heartbeats carry to whoever executes the attempt next; at first, what the last one did.
        tries: How often the attempt was begun or taken up, this time included.
        lease: Boot time (seconds) until which the processes may live, by what Temporal answered so far.
        stopped: Done as soon as the attempt has to end; says why.
    """

    def __init__(self, client: Client, info: activity.Info, beats: int = BEATS) -> None:
        if info.heartbeat_timeout is None:
            raise ValueError("an attempt needs a heartbeat timeout")
        self._client = client
        self._token = info.task_token
        self._seconds = info.heartbeat_timeout.total_seconds() * LEASE_SHARE
        self._interval = info.heartbeat_timeout.total_seconds() / beats
        self._renewed: Callable[[float], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._answered = 0.0
        self.details: list[Any] = list(info.heartbeat_details)
        self.tries = info.attempt
        self.lease = 0.0
        self.stopped: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        """The first heartbeat: a worker that was frozen since it got the task learns that it lost it."""
        await self._beat()
        self._task = asyncio.create_task(self._beat_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def on_renewal(self, renewed: Callable[[float], None]) -> None:
        """Call this with each new lease, and with the one that stands."""
        self._renewed = renewed
        renewed(self.lease)

    async def tell(self, details: Any) -> None:
        """Let heartbeats carry this from now on, beginning with one at once; best effort, as all of them."""
        self.details = [details]
        await self._beat()

    async def ask(self, within: float) -> None:
        """Make sure that Temporal's view of the attempt is known, `stopped` that is, as it was lately.

        Args:
            within: How many seconds old that knowledge may be.
        """
        if boot_time() - self._answered > within:
            await self._beat()

    def stop(self, why: Stop) -> None:
        """End the attempt; the first reason counts."""
        if not self.stopped.done():
            self.stopped.set_result(why)

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._beat()
            except Exception:
                # Else the lease would run out, or another worker go on, and nobody could say why.
                logger.exception("a heartbeat failed; the next one tries again")

    async def _beat(self) -> None:
        sent = boot_time()  # before the request: it may take long, and the worker may be frozen meanwhile
        try:
            with contextlib.suppress(RuntimeError):  # the activity's task has just ended
                activity.heartbeat(*self.details)
            details = Payloads(payloads=await self._client.data_converter.encode(self.details))
            answer = await self._client.workflow_service.record_activity_task_heartbeat(
                RecordActivityTaskHeartbeatRequest(
                    namespace=self._client.namespace,
                    task_token=self._token,
                    identity=self._client.identity,
                    details=details if self.details else None,
                ),
                retry=False,
                timeout=timedelta(seconds=self._seconds / 2),
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                self.stop(Stop.GONE)
            else:
                logger.warning("Temporal did not take a heartbeat: %s", error.message)
            return
        self._answered = sent
        self.lease = sent + self._seconds
        if self._renewed is not None:
            self._renewed(self.lease)
        if answer.cancel_requested:
            self.stop(Stop.CANCELLED)
        elif answer.activity_reset:
            self.stop(Stop.GONE)
