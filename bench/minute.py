"""How late runs are that are all due at one minute: beside as many CronJobs on the same control plane.

There is no node: a run has started once its Job is there, and pods stay Pending. CronJobs are due at one
minute and GooseJobs, whose Jobs are the same, at a later one, when nothing of the CronJobs is left to do. All
times are Unix times of one machine's clock.
"""

import asyncio
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from bench import audit, histories
from bench.audit import AuditLog, Change
from bench.ground import Ground, grounds, until
from bench.objects import cronjob, goosejob, manifest
from bench.ready import ready
from bench.rows import NotMeasured, Row, median, percentile
from bench.usage import usage
from goosejobs.model import names
from goosejobs_local import platform, sides

OURS, THEIRS = "bench-minute-ours", "bench-minute-cron"
IMAGE = "goose"

_EXECUTION = {"mode": "Job"}
_CONTROLLERS = (
    *("cronjob-controller", "job-controller", "ttl-after-finished-controller"),
    *("garbage-collector-controller", "namespace-controller", "serviceaccount-controller"),
    "clusterrole-aggregation-controller",
)
_AT_ONE_TIME = 1000
"""As many runs as a worker may follow; of Jobs whose pods wait for a node, none ends."""
_TEMPLATE = {"job": {"image": IMAGE}, "startTimeoutSeconds": 86400}
_MINUTE = 60.0
_AHEAD_SECONDS = 15.0
_APPLIED_SECONDS = 0.15
"""One CronJob, on a busy machine."""
_TAKEN_IN = 6
"""As long as CronJobs take to be applied, so many times it may take until as many GooseJobs are Ready."""
_PATIENCE_SECONDS = 900.0
_SETTLED_SECONDS = 5.0
_POLL_SECONDS = 1.0
_STAGES = (
    ("Temporal starts the workflow", EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED),
    ("the workflow is at a worker", EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED),
    ("announced, the attempt is asked for", EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED),
)


@dataclass(frozen=True)
class Turn:
    """One side's minute.

    Attributes:
        late: Seconds from the minute to each Job's creation.
        requests: What was asked of the API server, from the minute until all Jobs were there, and shortly
            after; reads, too.
        cpu: Processor seconds of the side's own processes in that time, as they are called.
    """

    late: list[float]
    requests: list[Change]
    cpu: dict[str, float]


def run(sizes: Sequence[int], starts: int, requests: int) -> list[Row]:
    """Measure, each size on a control plane of its own.

    Args:
        sizes: How many GooseJobs, and as many CronJobs, are due at one minute.
        starts: Scheduled runs that Temporal starts in a second, at most.
        requests: Requests in a second that a controller of kube-controller-manager makes, at most.

    Raises:
        NotMeasured: A run did not come.
    """
    rows: list[Row] = []
    for size in sizes:
        with grounds() as ground:
            _up(ground, starts, requests)
            rows += asyncio.run(_measure(ground, size))
    return rows


def _up(ground: Ground, starts: int, requests: int) -> None:
    """Start everything, with the controllers for CronJobs and Jobs, and a worker whose gooses run in pods."""
    built = ground.platform
    policy, template = ground.home / "requests.json", ground.home / "pool.yaml"
    policy.write_text(audit.policy(reads=True))
    template.write_text(json.dumps(_TEMPLATE))
    built.control_plane = dataclasses.replace(
        built.control_plane,
        flags={
            "kube-apiserver": {"audit-policy-file": str(policy)},
            "kube-controller-manager": {
                "controllers": ",".join(_CONTROLLERS),
                "kube-api-qps": str(requests),
                "kube-api-burst": str(requests * 3 // 2),
            },
        },
    )
    built.temporal = dataclasses.replace(built.temporal, starts=starts)
    to = sides.connection(built.kubeconfig, built.temporal.address)
    platform.prepare_home(ground.home)
    worker = sides.job_worker(
        built.port("worker"),
        to,
        template=template,
        recipes=_recipes(ground.home),
        GOOSEJOBS_MAX_CONCURRENT_RUNS=str(_AT_ONE_TIME),
    )
    ground.up_with(sides.operator(built.port("operator"), to), worker)


def _recipes(home: Path) -> Path:
    recipes = home / "recipes"
    recipes.mkdir()
    return recipes


async def _measure(ground: Ground, size: int) -> list[Row]:
    for namespace in (OURS, THEIRS):
        await ground.kubectl("create", "namespace", namespace)
    job = await _first_job(ground)
    theirs, took = await _cron_turn(ground, size, job)
    ours = await _goose_turn(ground, size, took * _TAKEN_IN)
    client = await Client.connect(ground.platform.temporal.address)
    stages = await histories.times(client, names.WORKFLOW_TYPE, "Running")
    return _rows(size, ours, theirs, stages, usage(ground.platform.child("worker").pid).all)


async def _first_job(ground: Ground) -> dict[str, Any]:
    """A Job that was made for a GooseJob."""
    log = AuditLog(ground.platform.control_plane.audit_log)
    first = goosejob("bench-minute-first", 0, "", _EXECUTION)
    await ground.kubectl("apply", "-f", "-", f"--namespace={OURS}", text=manifest(first))
    await _until(log, OURS, "create jobs", 1)
    [job] = json.loads(await ground.kubectl("get", "jobs", f"--namespace={OURS}", "-o", "json"))["items"]
    await ground.kubectl("delete", "goosejob", "--all", f"--namespace={OURS}")
    found: dict[str, Any] = job
    return found


async def _cron_turn(ground: Ground, size: int, job: dict[str, Any]) -> tuple[Turn, float]:
    """Their turn, and how many seconds it took to apply them."""
    minute = _minute(size * _APPLIED_SECONDS)
    jobs = [cronjob(f"cron-{number:04}", _cron(minute), job) for number in range(size)]
    for one in jobs:
        one["spec"]["timeZone"] = "Etc/UTC"
    began = time.monotonic()
    await ground.kubectl("apply", "-f", "-", f"--namespace={THEIRS}", text=manifest(*jobs))
    took = time.monotonic() - began
    return await _turn(ground, THEIRS, minute, size, ("kube-controller-manager",)), took


async def _goose_turn(ground: Ground, size: int, ahead: float) -> Turn:
    minute = _minute(ahead)
    jobs = [goosejob(f"goose-{number:04}", number, _cron(minute), _EXECUTION) for number in range(size)]
    async with ready(ground, OURS) as found:
        await ground.kubectl("apply", "-f", "-", f"--namespace={OURS}", text=manifest(*jobs))
        await until(lambda: len(found) >= size, _PATIENCE_SECONDS, f"{size} Ready GooseJobs")
    return await _turn(ground, OURS, minute, size, ("worker", "operator", "temporal"))


async def _turn(ground: Ground, namespace: str, minute: float, size: int, parts: tuple[str, ...]) -> Turn:
    """See all Jobs of a minute created, and then their pods, so that nothing disturbs what comes next."""
    if time.time() > minute - _SETTLED_SECONDS:
        raise NotMeasured(f"{size} objects in {namespace} were not taken in before their minute")
    log = AuditLog(ground.platform.control_plane.audit_log)
    await asyncio.sleep(minute - 1 - time.time())
    log.skip()
    before = {part: usage(ground.platform.child(part).pid).cpu_seconds for part in parts}
    requests = await _until(log, namespace, "create jobs", size)
    await asyncio.sleep(_SETTLED_SECONDS)
    cpu = {part: usage(ground.platform.child(part).pid).cpu_seconds - before[part] for part in parts}
    requests += _of(namespace, log.more())
    pods = size - len(_creations(requests, "create pods"))
    await _until(log, namespace, "create pods", pods)
    late: dict[str, float] = {}
    for one in _creations(requests, "create jobs"):
        late.setdefault(one.name, one.at - minute)
    return Turn(list(late.values()), [one for one in requests if one.at >= minute], cpu)


async def _until(log: AuditLog, namespace: str, what: str, number: int) -> list[Change]:
    """Read on until so many objects of a kind have been created."""
    seen: list[Change] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(created := _creations(seen, what)) < number:
        if time.monotonic() > deadline:
            raise NotMeasured(
                f"{what} in {namespace}: {len(created)} of {number} in {_PATIENCE_SECONDS:.0f} s"
            )
        await asyncio.sleep(_POLL_SECONDS)
        seen += _of(namespace, log.more())
    return seen


def _of(namespace: str, changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.namespace == namespace]


def _creations(changes: Sequence[Change], what: str) -> list[Change]:
    return [change for change in changes if change.what == what and change.accepted]


def _minute(ahead: float) -> float:
    """The first full minute that is so many seconds ahead, and a few more."""
    return (time.time() + _AHEAD_SECONDS + ahead) // _MINUTE * _MINUTE + _MINUTE


def _cron(minute: float) -> str:
    """A cron expression of that minute alone, for a year to come."""
    at = datetime.fromtimestamp(minute, UTC)
    return f"{at.minute} {at.hour} {at.day} {at.month} *"


def _rows(size: int, ours: Turn, theirs: Turn, stages: Sequence[histories.Times], memory: float) -> list[Row]:
    def both(measure: str, percent: int) -> Row:
        value, beside = percentile(ours.late, percent), percentile(theirs.late, percent)
        aim = beside if percent == 99 else None
        return Row("minute", f"{size} due: due to Job created, {measure}", value, "s", aim, "CronJob", beside)

    def stage(what: str, event: EventType.ValueType) -> Row:
        late = [one.late(event) for one in stages if event in one.first]
        measure = f"  median until {what}"
        return Row("minute", measure, median(late), "s", None, f"longest {max(late):.2f} s, of {len(late)}")

    def asked(turn: Turn, *, reads: bool) -> float:
        return sum((one.verb in audit.READS) is reads for one in turn.requests) / size

    def cost(turn: Turn) -> str:
        return ", ".join(f"{part} {1000 * seconds / size:.0f} ms" for part, seconds in turn.cpu.items())

    return [
        both("p50", 50),
        both("p99", 99),
        both("longest", 100),
        *(stage(what, event) for what, event in _STAGES),
        Row("minute", "  reads of the API server per run", asked(ours, reads=True), "", None, "CronJob",
            asked(theirs, reads=True)),
        Row("minute", "  writes, the Job controller's too", asked(ours, reads=False), "", None, "CronJob",
            asked(theirs, reads=False)),
        *_each(size, ours, theirs),
        Row("minute", "  processor time per run", 1000 * sum(ours.cpu.values()) / size, "ms", None,
            f"{cost(ours)}; CronJob: {cost(theirs)}"),
        Row("minute", "  the worker's resident memory then", memory, "MB"),
    ]  # fmt: skip


def _each(size: int, *turns: Turn) -> list[Row]:
    """Per run, each kind of request."""
    ours, theirs = (Counter((one.what, one.writer) for one in turn.requests) for turn in turns)
    return [
        Row("minute", f"    {what} by {writer}", ours[what, writer] / size, "", None, "CronJob",
            theirs[what, writer] / size)
        for what, writer in sorted(ours | theirs)
    ]  # fmt: skip
