"""A worker is told to stop in the moment in which it gets something to do."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from support.objects import Kubectl, apply, ended, goosejob
from support.rig import Handle, Rig
from support.run_history import handle
from support.slow_link import slow_link

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

UNDER_WAY = 0.4
"""Seconds: long enough to see that Temporal has sent it off, and to stop the worker before it is there."""


@pytest.mark.usefixtures("operator")
@pytest.mark.invariant("I6")
async def test_an_attempt_that_is_on_its_way_to_a_worker_that_stops_is_not_lost(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, platform: Rig
) -> None:
    temporal = await Client.connect(platform.temporal_address, data_converter=pydantic_data_converter)
    async with slow_link(platform.temporal_address, UNDER_WAY) as slow:
        worker = start_worker(pool=pool, TEMPORAL_ADDRESS=slow, wait=False)
        await eventually(lambda: "polling" in worker.log)
        apply(kubectl, namespace, goosejob("handed", "stub: slow 1", execution={"pool": pool}))
        run = handle(temporal, kubectl, namespace, "handed")
        await eventually(lambda: _is_handed_over(run))  # asks nobody else, which would hold up the link
        os.kill(worker.pid, signal.SIGTERM)
        await eventually(lambda: not worker.alive)
    start_worker(pool=pool)  # the record is the next worker's
    record = await ended(kubectl, eventually, namespace, "handed")
    assert [one["reason"] for one in record["attempts"]] == ["Completed"]


async def _is_handed_over(run: WorkflowHandle[Any, Any]) -> bool:
    try:
        seen = await run.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:  # the operator has not started it yet
            return False
        raise
    started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return any(one.state == started for one in seen.raw_description.pending_activities)
