"""How late goose starts: from the time a run is due, beside a bare Temporal schedule's empty workflow.

Both schedules are on the same server and take turns. All times are Unix times of one machine's clock.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.worker import Worker

from bench import empty
from bench.gooses import GooseWatch
from bench.ground import Ground, grounds, until
from bench.histories import Times, times
from bench.objects import goosejob, manifest
from bench.requests import requests_of
from bench.rows import NotMeasured, Row, median, p90
from goosejobs.model import names

EVERY = timedelta(seconds=4)
AIM_SECONDS = 1.0
_NAME = "bench-start"
_RUN_SECONDS = 60.0


@dataclass(frozen=True)
class Lateness:
    """Seconds after a run was due.

    Attributes:
        workflow: Temporal started the workflow.
        task: A worker got the workflow to work on.
        attempt: A worker got the attempt to work on; 0 for the empty workflow.
        goose: goose was started; 0 likewise.
        request: goose's first request reached the model; 0 likewise.
    """

    workflow: float
    task: float
    attempt: float = 0.0
    goose: float = 0.0
    request: float = 0.0


def run(runs: int) -> list[Row]:
    """Measure.

    Args:
        runs: How many runs of each schedule.

    Raises:
        NotMeasured: They did not come, or did not succeed.
    """
    with grounds() as ground:
        ground.up()
        return asyncio.run(_measure(ground, runs))


async def _measure(ground: Ground, runs: int) -> list[Row]:
    client = await Client.connect(ground.platform.temporal.address)
    gooses = GooseWatch(ground.platform.child("worker").pid)
    async with Worker(client, task_queue=empty.TASK_QUEUE, workflows=[empty.Empty]):
        with gooses:
            async with requests_of(ground, _NAME) as asked:
                bare = await empty.create(client, _NAME, EVERY, offset=EVERY / 2)
                await ground.kubectl(
                    "apply", "-f", "-", text=manifest(goosejob(_NAME, 1, f"@every {EVERY.seconds}s"))
                )
                await _ended(client, names.WORKFLOW_TYPE, runs)
                await bare.delete()
                await ground.kubectl("delete", "goosejob", _NAME)
    ours = [
        _ours(one, gooses.started, [one.time for one in asked])
        for one in await times(client, names.WORKFLOW_TYPE)
    ]
    theirs = [_bare(one) for one in await times(client, empty.NAME)]
    return _rows(ours[:runs], theirs[:runs])


async def _ended(client: Client, workflow_type: str, runs: int) -> None:
    """Wait until so many runs have succeeded."""
    query = f"WorkflowType = '{workflow_type}' AND ExecutionStatus = 'Completed'"
    count = 0

    async def ask() -> None:
        nonlocal count
        while True:
            count = (await client.count_workflows(query)).count
            await asyncio.sleep(1)

    asking = asyncio.create_task(ask())
    try:
        seconds = EVERY.total_seconds() * runs * 2 + _RUN_SECONDS
        await until(lambda: count >= runs or asking.done(), seconds, f"{runs} runs of {workflow_type}")
    finally:
        asking.cancel()


def _bare(one: Times) -> Lateness:
    return Lateness(
        workflow=one.late(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED),
        task=one.late(EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED),
    )


def _ours(one: Times, gooses: Sequence[float], requests: Sequence[float]) -> Lateness:
    began = one.first[EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED]
    ended = one.first[EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED]
    inside = [[at for at in seen if began - 0.05 <= at <= ended] for seen in (gooses, requests)]
    if not all(inside):
        raise NotMeasured(
            f"a run's goose or its request to the model was not seen, {began:.3f} to {ended:.3f}"
        )
    bare = _bare(one)
    goose, request = (min(seen) - one.due for seen in inside)
    return Lateness(bare.workflow, bare.task, began - one.due, goose, request)


def _rows(ours: Sequence[Lateness], theirs: Sequence[Lateness]) -> list[Row]:
    bare = "bare schedule to its empty workflow at a worker"
    goose, task = [one.goose for one in ours], [one.task for one in theirs]

    def row(measure: str, value: float, beside: float, yardstick: str, aim: float | None = None) -> Row:
        return Row("start", measure, value, "s", aim, yardstick, beside)

    def stage(measure: str, values: list[float], remark: str = "") -> Row:
        return Row("start", measure, median(values), "s", yardstick=remark)

    return [
        row(f"due to goose started, median of {len(ours)}", median(goose), median(task), bare, AIM_SECONDS),
        row("due to goose started, 9 of 10 within", p90(goose), p90(task), bare),
        row("due to goose started, longest", max(goose), max(task), bare),
        row(
            "of it: Temporal starts the workflow, median",
            median(one.workflow for one in ours),
            median(one.workflow for one in theirs),
            "bare schedule",
        ),
        stage("due to workflow at a worker, median", [one.task for one in ours]),
        stage("due to attempt at a worker, median", [one.attempt for one in ours], "announced by then"),
        stage("due to goose's first request, median", [one.request for one in ours], "goose's own start-up"),
    ]
