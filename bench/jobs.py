"""How late goose starts in a pod, and what is written for that: beside a CronJob with the same pod.

GooseJobs are due at even minutes and CronJobs at odd ones, as many of each, so both start as many pods at one
time and neither disturbs the other. All times are Unix times of one machine's clock.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from bench import histories, nodes
from bench.audit import AuditLog, Change
from bench.containers import ContainerWatch
from bench.ground import Ground
from bench.histories import Times
from bench.objects import cronjob, goosejob, manifest
from bench.requests import Request, requests_of
from bench.rows import NotMeasured, Row, median, p90
from goosejobs.model import names

LATER_AIM_SECONDS = 0.5
GOOSEJOB_WRITES_AIM = 2.0
JOB_CREATES_AIM = 1.0
MORE_EVENTS_AIM = 1.0

_MARK = "bench-jobs"
_EXECUTION = {"mode": "Job"}
_MINUTE = 60.0
_SETTLED_SECONDS = 55.0
"""After the full minute: what is still written then is not of its runs."""
_AHEAD_SECONDS = 3.0
_POLL_SECONDS = 0.5
_FIRST_SECONDS = 120
_READY_SECONDS = 60
_STAGES = (
    ("workflow", EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED),
    ("task", EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED),
    ("attempt", EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED),
)
_JOB_NAME = "batch.kubernetes.io/job-name"


@dataclass(frozen=True)
class Side:
    """One of the two that take turns, in a namespace of its own.

    Attributes:
        name: For people.
        namespace: Where its objects are.
        schedule: The cron expression of them all.
        odd: Whether that means odd minutes.
    """

    name: str
    namespace: str
    schedule: str
    odd: bool

    def object(self, number: int) -> str:
        """The name of one of its objects."""
        return f"{self.namespace}-{number}"


OURS = Side("GooseJob", f"{_MARK}-ours", "*/2 * * * *", odd=False)
THEIRS = Side("CronJob", f"{_MARK}-cron", "1-59/2 * * * *", odd=True)


@dataclass(frozen=True)
class Run:
    """A run that succeeded; all but `due` in seconds after it was due.

    Attributes:
        due: When it was due, as Unix time.
        workflow: Temporal had started its workflow; nothing of a CronJob's, as the next two.
        task: A worker had the workflow to work on.
        attempt: A worker had its attempt to work on.
        job: Its Job had been created.
        bound: Its pod had been given to the node.
        started: Its container had been started.
        request: goose's first request reached the model.
    """

    due: float
    workflow: float
    task: float
    attempt: float
    job: float
    bound: float
    started: float
    request: float


@dataclass
class Seen:
    """What was seen of one side.

    Attributes:
        pods: Of the runs that are counted, as the API server had them at their end.
        changes: What was written in its last turn.
        runs: The runs.
    """

    pods: list[dict[str, Any]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def run(each: int, turns: int) -> list[Row]:
    """Measure.

    Args:
        each: How many GooseJobs, and how many CronJobs.
        turns: How often each is due.

    Raises:
        NotMeasured: There can be no node here, or a run did not come or did not succeed.
    """
    with nodes.node_grounds() as ground:
        nodes.up(ground)
        return asyncio.run(_measure(ground, each, turns))


async def _measure(ground: Ground, each: int, turns: int) -> list[Row]:
    log = AuditLog(ground.platform.control_plane.audit_log)
    seen = {OURS: Seen(), THEIRS: Seen()}
    with ContainerWatch(ground) as containers:
        async with requests_of(ground, _MARK) as requests:
            await _apply(ground, each)
            minutes = await _turns(ground, seen, each, turns)
    changes = log.read()
    told = await _histories(ground)
    for side, one in seen.items():
        last = [minute for minute in minutes if _is_odd(minute) is side.odd][-1]
        there = [change for change in changes if change.namespace == side.namespace]
        one.changes = [change for change in there if last <= change.at < last + _SETTLED_SECONDS]
        one.runs = [_run(pod, side, there, told, containers, requests) for pod in one.pods]
    return [*_times(seen[OURS].runs, seen[THEIRS].runs), *_writes(seen, each, turns)]


async def _apply(ground: Ground, each: int) -> None:
    """Let one GooseJob run, make CronJobs after its Job, and as many more GooseJobs."""
    for side in (OURS, THEIRS):
        await ground.kubectl("create", "namespace", side.namespace)
    first = goosejob(f"{_MARK}-first", 0, "", _EXECUTION)
    await _kubectl(ground, OURS, "apply", "-f", "-", text=manifest(first))
    done = "--for=jsonpath={.status.lastRun.outcome}=Succeeded"
    await _kubectl(ground, OURS, "wait", "goosejob", "--all", done, f"--timeout={_FIRST_SECONDS}s")
    [job] = json.loads(await _kubectl(ground, OURS, "get", "jobs", "-o", "json"))["items"]
    await _kubectl(ground, OURS, "delete", "goosejob", "--all")
    numbers = range(each)
    ours = [goosejob(OURS.object(number), number, OURS.schedule, _EXECUTION) for number in numbers]
    theirs = [cronjob(THEIRS.object(number), THEIRS.schedule, job) for number in numbers]
    for one in ours:
        one["spec"]["successfulRunsHistoryLimit"] = 1
    for one in theirs:
        one["spec"]["successfulJobsHistoryLimit"] = 1
    await _kubectl(ground, THEIRS, "apply", "-f", "-", text=manifest(*theirs))
    await _kubectl(ground, OURS, "apply", "-f", "-", text=manifest(*ours))
    ready = ("--for=condition=Ready", f"--timeout={_READY_SECONDS}s")
    await _kubectl(ground, OURS, "wait", "goosejob", "--all", *ready)


async def _turns(ground: Ground, seen: Mapping[Side, Seen], each: int, turns: int) -> list[float]:
    """See both sides' runs to their end, minute by minute; the minutes."""
    first = (time.time() + _AHEAD_SECONDS) // _MINUTE * _MINUTE + _MINUTE
    minutes = [first + _MINUTE * number for number in range(2 * turns)]
    for minute in minutes:
        [side] = [side for side in seen if side.odd is _is_odd(minute)]
        seen[side].pods += await _ended(ground, side, minute, each)
    return minutes


async def _ended(ground: Ground, side: Side, minute: float, wanted: int) -> list[dict[str, Any]]:
    """The pods of the runs that were due at a minute, when all have succeeded and it is nearly over."""
    until = minute + _SETTLED_SECONDS
    await asyncio.sleep(max(0.0, until - _POLL_SECONDS - time.time()))
    listed = json.loads(await _kubectl(ground, side, "get", "pods", "-o", "json"))["items"]
    pods: list[dict[str, Any]] = [pod for pod in listed if _due(pod, side) == minute]
    phases = Counter(pod["status"].get("phase", "none") for pod in pods)
    if phases != {"Succeeded": wanted}:
        raise NotMeasured(
            f"{wanted} {side.name}s were due at {_clock(minute)}; {_SETTLED_SECONDS:.0f} s later there are "
            f"pods of these phases: {dict(phases)}. Fewer at one time may do: --each"
        )
    return pods


async def _histories(ground: Ground) -> dict[tuple[str, float], Times]:
    """What Temporal says about each run, by the GooseJob's name and the time it was due."""
    client = await Client.connect(ground.platform.temporal.address)
    found = await histories.times(client, names.WORKFLOW_TYPE)
    return {(one.id.split("/")[2], one.due): one for one in found}


def _run(
    pod: Mapping[str, Any],
    side: Side,
    changes: Sequence[Change],
    told: Mapping[tuple[str, float], Times],
    containers: ContainerWatch,
    requests: Sequence[Request],
) -> Run:
    due, job = _due(pod, side), pod["metadata"]["labels"][_JOB_NAME]
    object_ = job.rpartition("-")[0].rpartition("-")[0] if side is OURS else job.rpartition("-")[0]
    asked = [one.time for one in requests if f"{object_} " in one.directive]
    times = {
        **{name: [told[object_, due].first[event]] if side is OURS else [due] for name, event in _STAGES},
        "job": [one.at for one in changes if one.what == "create jobs" and one.name == job],
        "bound": [
            one.at
            for one in changes
            if one.what == "create pods/binding" and one.name == pod["metadata"]["name"]
        ],
        "started": [containers.at(pod["status"]["containerStatuses"][0]["containerID"])],
        "request": [at for at in asked if due <= at < due + _MINUTE],
    }
    if missing := [name for name, found in times.items() if not found]:
        raise NotMeasured(f"of Job {job}, these times were not seen: {', '.join(missing)}")
    return Run(due, **{name: min(found) - due for name, found in times.items()})


def _times(ours: Sequence[Run], theirs: Sequence[Run]) -> list[Row]:
    def both(measure: str, of: str, figure: Any, start: str = "") -> Row:
        values, beside = (
            [getattr(one, of) - (getattr(one, start) if start else 0.0) for one in runs]
            for runs in (ours, theirs)
        )
        return Row("jobs", measure, figure(values), "s", None, "CronJob with the same pod", figure(beside))

    def stage(measure: str, of: str, remark: str = "") -> Row:
        return Row("jobs", measure, median(getattr(one, of) for one in ours), "s", None, remark)

    later = median(one.started for one in ours) - median(one.started for one in theirs)
    number = f"median of {len(ours)}"
    return [
        Row("jobs", "due to container started, later than the CronJob's", later, "s", LATER_AIM_SECONDS,
            f"of the medians of {len(ours)} and {len(theirs)}"),
        both(f"due to container started, {number}", "started", median),
        both("due to container started, 9 of 10 within", "started", p90),
        both("due to container started, longest", "started", max),
        both(f"of it: due to the Job created, {number}", "job", median),
        stage("  Temporal starts the workflow", "workflow"),
        stage("  the workflow is at a worker", "task"),
        stage("  the attempt is at a worker", "attempt", "announced by then"),
        both(f"Job created to its pod bound, {number}", "bound", median, "job"),
        both(f"pod bound to container started, {number}", "started", median, "bound"),
        both(f"due to goose's first request, {number}", "request", median),
    ]  # fmt: skip


def _writes(seen: Mapping[Side, Seen], each: int, turns: int) -> list[Row]:
    """Per run of each side, what was written in its last turn."""
    ours, theirs = (_counts(seen[side].changes) for side in (OURS, THEIRS))

    def per_run(counts: Mapping[tuple[str, str], int], *resources: str) -> float:
        return sum(n for (what, _), n in counts.items() if what.split()[1] in resources) / each

    goosejob_writes = per_run(ours, names.PLURAL, f"{names.PLURAL}/status")
    creates = sum(n for (what, _), n in ours.items() if what == "create jobs") / each
    events = per_run(ours, "events") - per_run(theirs, "events")
    beside = sum(n for (what, _), n in theirs.items() if what == "create jobs") / each
    deletes = "old Jobs are deleted, too" if turns > 1 else "no old Jobs to delete yet"
    return [
        Row("jobs", "writes on the GooseJob per run", goosejob_writes, "", GOOSEJOB_WRITES_AIM,
            "on the CronJob", per_run(theirs, "cronjobs", "cronjobs/status")),
        Row("jobs", "Jobs created per run", creates, "", JOB_CREATES_AIM, "CronJob", beside),
        Row("jobs", "events per run, more than the CronJob's", events, "", MORE_EVENTS_AIM,
            "its own, its Job's and its pod's", per_run(theirs, "events")),
        Row("jobs", "all writes per run", sum(ours.values()) / each, "", None,
            f"CronJob; {deletes}", sum(theirs.values()) / each),
        *(_one(key, ours[key] / each, theirs[key] / each) for key in sorted(ours | theirs)),
    ]  # fmt: skip


def _one(key: tuple[str, str], ours: float, theirs: float) -> Row:
    what, writer = key
    return Row("jobs", f"  {what} by {writer}", ours, "", None, "CronJob", theirs)


def _counts(changes: Sequence[Change]) -> Counter[tuple[str, str]]:
    return Counter((change.what, change.writer) for change in changes if change.accepted)


def _due(pod: Mapping[str, Any], side: Side) -> float:
    """When a pod's run was due: a GooseJob's pod has a label, a CronJob's Job tells it in its name."""
    labels = pod["metadata"]["labels"]
    if side is THEIRS:
        return float(labels[_JOB_NAME].rpartition("-")[2]) * _MINUTE
    due = datetime.strptime(labels[names.RUN_LABEL], "%Y%m%d-%H%M%S")  # noqa: DTZ007 -- of UTC, next line
    return due.replace(tzinfo=UTC).timestamp()


def _is_odd(minute: float) -> bool:
    return minute % (2 * _MINUTE) != 0


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


async def _kubectl(ground: Ground, side: Side, *arguments: str, text: str = "") -> str:
    return await ground.kubectl(*arguments, f"--namespace={side.namespace}", text=text)
