"""What operator and worker cost that have many GooseJobs and nothing to do; how soon they come and go."""

import asyncio
import math
import statistics
import time
import urllib.request
from dataclasses import dataclass, field

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleRange,
)
from temporalio.client import ScheduleSpec as Spec

from bench import empty
from bench.audit import AuditLog, Change, by_resource
from bench.ground import Ground, grounds, until
from bench.objects import goosejob, manifest
from bench.ready import ready
from bench.rows import NotMeasured, Row
from bench.usage import Usage, usage
from goosejobs.model import names
from goosejobs_operator.settings import OperatorSettings

READY_AIM_SECONDS = 90.0
CPU_AIM_PERCENT = 1.0
MEMORY_AIM_MB = 150.0
RESYNC_SECONDS = float(OperatorSettings.model_fields["resync_seconds"].default)
"""The operator's own default. A shorter measurement has a shorter one, so that it sees a resync, too."""

_NEXT_YEAR = "0 0 1 1 *"
_PATIENCE_SECONDS = 600.0
_EARLY_SECONDS = 1.0
_INDEXED_SECONDS = 5.0
"""Temporal's index lags a little."""
_AT_ONE_TIME = 16
"""As many as the operator works on at one time by default."""

_LAST_RESYNC = "goosejobs_last_resync_timestamp_seconds "


@dataclass
class Idle:
    """What was seen of a process while there was nothing to do.

    Attributes:
        seconds: How long it did nothing.
        cpu_seconds: Processor time used in that.
        resyncs: The seconds that each look at everything took after it, and its processor time.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    resyncs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Of a core, while nothing happens at all."""
        return 100 * self.cpu_seconds / self.seconds

    @property
    def resync(self) -> tuple[float, float]:
        """The mean of the resyncs."""
        seconds, cost = zip(*self.resyncs, strict=True)
        return statistics.mean(seconds), statistics.mean(cost)

    @property
    def percent_over_hours(self) -> float:
        """Of a core, with a resync as often as there is one by default."""
        took, cost = self.resync
        return 100 * (self.cpu_seconds / self.seconds * RESYNC_SECONDS + cost) / (RESYNC_SECONDS + took)


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        objects: How many GooseJobs there were.
        applied: Seconds until kubectl had applied them.
        ready: Seconds until all were Ready.
        bare: Seconds for as many bare schedules.
        taken_in: What was written until then.
        idle: The operator's idle time.
        controllers: The controller manager's in the same time.
        changes: What was written in the idle time, resyncs included.
        empty_handed: The operator's memory before the first object, in megabytes.
        memory: The operator and its child at the end.
        controllers_memory: The controller manager at the end.
        worker: The worker's idle time.
        worker_memory: The worker at the end.
        gone: Seconds until all were deleted, with their schedules, by the API server's word.
        left: Schedules that Temporal has after that.
    """

    objects: int
    applied: float
    ready: float
    bare: float
    taken_in: list[Change]
    idle: Idle
    controllers: Idle
    changes: list[Change]
    empty_handed: Usage
    memory: Usage
    controllers_memory: Usage
    worker: Idle
    worker_memory: Usage
    gone: float
    left: int


def run(objects: int, seconds: float) -> list[Row]:
    """Measure.

    Args:
        objects: How many GooseJobs.
        seconds: How long to watch the idle operator.

    Raises:
        NotMeasured: They did not become Ready.
    """
    interval = min(seconds, RESYNC_SECONDS)
    with grounds() as ground:
        ground.up(GOOSEJOBS_RESYNC_SECONDS=str(interval))
        return asyncio.run(_measure(ground, objects, seconds, interval))


async def _measure(ground: Ground, objects: int, seconds: float, interval: float) -> list[Row]:
    operator = ground.platform.child("operator").pid
    controllers = ground.platform.child("kube-controller-manager").pid
    worker = ground.platform.child("worker").pid
    log = AuditLog(ground.platform.control_plane.audit_log)
    empty_handed = usage(operator)
    log.skip()
    applied, ready = await _take_in(ground, objects)
    taken_in = log.read()
    await _next_resync(ground)
    log.skip()
    idle = Idle(), Idle(), Idle()
    for _ in range(math.ceil(seconds / interval)):
        await _watch(ground, (operator, controllers, worker), idle, interval)
    changes, memory = log.read(), usage(operator)
    controllers_memory, worker_memory = usage(controllers), usage(worker)
    bare = await _bare_schedules(ground, objects)
    gone, left = await _delete(ground)
    measured = Measured(
        objects=objects,
        applied=applied,
        ready=ready,
        taken_in=taken_in,
        idle=idle[0],
        controllers=idle[1],
        changes=changes,
        empty_handed=empty_handed,
        memory=memory,
        controllers_memory=controllers_memory,
        bare=bare,
        worker=idle[2],
        worker_memory=worker_memory,
        gone=gone,
        left=left,
    )
    return [*_taking_in(measured), *_idling(measured), *_memory(measured)]


def _taking_in(seen: Measured) -> list[Row]:
    writes = sum(change.of_goosejob and change.accepted for change in seen.taken_in) - seen.objects
    bare = f"{seen.objects} bare schedules alone"
    return [
        Row("idle", f"apply to all {seen.objects} Ready", seen.ready, "s", READY_AIM_SECONDS,
            "kubectl apply alone", seen.applied),
        Row("idle", "of it: after kubectl has ended", seen.ready - seen.applied, "s", None, bare, seen.bare),
        Row("idle", "the operator's writes per GooseJob", writes / seen.objects, "", None,
            by_resource(seen.taken_in)),
        Row("idle", f"all deleted with their schedules ({_PATIENCE_SECONDS:.0f}: given up)", seen.gone, "s"),
        Row("idle", "schedules of GooseJobs left then", seen.left, "", 0),
    ]  # fmt: skip


def _idling(seen: Measured) -> list[Row]:
    idle, resyncs = seen.idle, len(seen.idle.resyncs)
    ours = sum(change.of_goosejob for change in seen.changes)
    took, cost = idle.resync
    controllers = "kube-controller-manager"
    return [
        Row("idle", f"writes on GooseJobs in {idle.seconds:.0f} s and {resyncs} resyncs", ours, "", 0,
            by_resource(seen.changes)),
        Row("idle", "of a core, between resyncs", idle.percent, "%", None, controllers,
            seen.controllers.percent),
        Row("idle", "processor time of a resync", cost, "s", None, f"it takes {took:.0f} s"),
        Row("idle", "of a core, the worker", seen.worker.percent, "%"),
        Row("idle", f"of a core, with a resync every {RESYNC_SECONDS:.0f} s", idle.percent_over_hours, "%",
            CPU_AIM_PERCENT, controllers, seen.controllers.percent_over_hours),
    ]  # fmt: skip


def _memory(seen: Measured) -> list[Row]:
    return [
        Row("idle", "resident, operator and its child", seen.memory.all, "MB", MEMORY_AIM_MB,
            "kube-controller-manager", seen.controllers_memory.all),
        Row("idle", "of it: the child, which checks recipes", seen.memory.children, "MB"),
        Row("idle", "before the first GooseJob", seen.empty_handed.all, "MB"),
        Row("idle", "resident, worker", seen.worker_memory.all, "MB"),
    ]  # fmt: skip


async def _take_in(ground: Ground, objects: int) -> tuple[float, float]:
    """Apply them; seconds until kubectl was done, and until all were Ready."""
    text = manifest(*(goosejob(f"bench-{number:05}", number, _NEXT_YEAR) for number in range(objects)))
    async with ready(ground) as found:
        began = time.monotonic()
        await ground.kubectl("apply", "-f", "-", text=text)
        applied = time.monotonic() - began
        seen = await until(lambda: len(found) >= objects, _PATIENCE_SECONDS, f"{objects} Ready GooseJobs")
    return applied, seen - began


async def _watch(
    ground: Ground, pids: tuple[int, int, int], idle: tuple[Idle, Idle, Idle], interval: float
) -> None:
    """Watch from the end of one resync to the end of the next, which begins `interval` seconds later."""
    start, before = time.monotonic(), [usage(pid) for pid in pids]
    await asyncio.sleep(interval - _EARLY_SECONDS)
    quiet, between = time.monotonic(), [usage(pid) for pid in pids]
    done = await _next_resync(ground)
    after = [usage(pid) for pid in pids]
    for one, *(first, second, third) in zip(idle, before, between, after, strict=True):
        one.seconds += quiet - start
        one.cpu_seconds += second.cpu_seconds - first.cpu_seconds
        one.resyncs.append((done - quiet - _EARLY_SECONDS, third.cpu_seconds - second.cpu_seconds))


async def _next_resync(ground: Ground) -> float:
    """Wait for the end of the resync that comes next."""
    before = await asyncio.to_thread(_last_resync, ground)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        if await asyncio.to_thread(_last_resync, ground) != before:
            return time.monotonic()
    raise NotMeasured(f"no resync ended in {_PATIENCE_SECONDS:.0f} s")


def _last_resync(ground: Ground) -> float:
    with urllib.request.urlopen(f"http://{ground.address('operator')}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(_LAST_RESYNC))


async def _delete(ground: Ground) -> tuple[float, int]:
    """Delete all GooseJobs; seconds until they are gone, or given up, and how many schedules are left."""
    began = time.monotonic()
    deadline = began + _PATIENCE_SECONDS
    await ground.kubectl("delete", "goosejobs", "--all", "--wait=false")
    while await ground.kubectl("get", "goosejobs", "-o", "name"):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(1)
    took = time.monotonic() - began
    await asyncio.sleep(_INDEXED_SECONDS)
    client = await Client.connect(ground.platform.temporal.address)
    query = f"{names.UID_ATTRIBUTE} IS NOT NULL"
    return took, len([each async for each in await client.list_schedules(query=query)])


async def _bare_schedules(ground: Ground, number: int) -> float:
    """Seconds to create as many schedules directly."""
    client = await Client.connect(ground.platform.temporal.address)
    turns = asyncio.Semaphore(_AT_ONE_TIME)
    once = [ScheduleRange(1)]
    spec = Spec(calendars=[ScheduleCalendarSpec(month=once, day_of_month=once)])

    async def create(name: str) -> None:
        action = ScheduleActionStartWorkflow(empty.NAME, id=name, task_queue=empty.TASK_QUEUE)
        async with turns:
            await client.create_schedule(name, Schedule(action=action, spec=spec))

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for each in range(number):
            group.create_task(create(f"bare-{each}"))
    return time.monotonic() - began
