"""How soon a worker that starts has found the Kubernetes Jobs of its predecessor; it makes none anew.

A run counts as found when the worker says so in its log: Temporal has then taken a heartbeat of it, and the
worker watches its Job. That Temporal has them all with the new worker is asked at the end.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client

from bench import held, nodes
from bench.audit import AuditLog, Change
from bench.ground import Ground, until
from bench.objects import goosejob, manifest
from bench.rows import NotMeasured, Row
from bench.usage import usage
from goosejobs.model import names
from goosejobs_local.parts import Part
from goosejobs_worker.settings import WorkerSettings

AIM_SECONDS = 5.0
HEARTBEAT_SECONDS = float(WorkerSettings.model_fields["job_heartbeat_seconds"].default)

_NAME = "bench-reattach"
_FOUND = "found the Job again"
_MADE = "the Job is there"
_POLLING = "polling"
_READY_SECONDS = 120
_STOPPED_SECONDS = 30.0
_TAKEN_SECONDS = 300.0
_FOUND_SECONDS = 60.0
_ASKED_AT_ONE_TIME = 16
_NOWHERE = {"nodeSelector": {"goosejobs.dev/bench": "no-node-has-this"}}


@dataclass(frozen=True)
class Restart:
    """A worker's end and its successor's beginning, as Unix times.

    Attributes:
        signalled: The old one got its signal.
        ended: It was gone.
        polling: The new one says that it polls.
        found: When it had found each run's Job.
        made: How many it says that it made or came upon without having known of them.
        cpu: Processor seconds of the new worker until it had found all; these begin with its start.
        temporal: Processor seconds of Temporal from the new one's start until then.
    """

    signalled: float
    ended: float
    polling: float
    found: list[float]
    made: int
    cpu: float
    temporal: float


def run(jobs: int, running: int) -> list[Row]:
    """Measure.

    Args:
        jobs: How many are in flight.
        running: How many of them have a pod that runs, whose log is followed; the others' pods wait for a
            node that takes them.

    Raises:
        NotMeasured: There can be no node here, or a run was not found again.
    """
    with nodes.node_grounds() as ground:
        worker = nodes.up(ground)
        return asyncio.run(_measure(ground, worker, jobs, min(running, jobs)))


async def _measure(ground: Ground, worker: Part, jobs: int, running: int) -> list[Row]:
    client = await Client.connect(ground.platform.temporal.address)
    log = AuditLog(ground.platform.control_plane.audit_log)
    log.skip()
    await ground.kubectl("apply", "-f", "-", text=manifest(*_goosejobs(jobs, running)))
    await ground.kubectl("wait", "goosejob", "--all", "--for=condition=Ready", f"--timeout={_READY_SECONDS}s")
    await until(lambda: len(_lines(ground, 0, _MADE)) >= jobs, _TAKEN_SECONDS, f"{jobs} Jobs")
    await _pods_run(ground, running)
    restarts = {}
    for number, how in enumerate((signal.SIGTERM, signal.SIGKILL)):
        identity = f"{_NAME}-{number}"
        restarts[how] = await _restart(ground, nodes.named(worker, identity), how, jobs)
        await _all_have(client, identity, jobs)
    made = [change for change in log.read() if change.what == "create jobs"]
    bare = await held.measure(client, jobs)
    return _rows(restarts, bare, made, jobs, running)


def _goosejobs(jobs: int, running: int) -> Iterator[dict[str, Any]]:
    for number in range(jobs):
        nowhere = {} if number < running else {"job": _NOWHERE}
        execution = {"mode": "Job", **nowhere}
        yield goosejob(f"{_NAME}-{number}", number, "", execution, "hang")


async def _pods_run(ground: Ground, running: int) -> None:
    deadline = time.monotonic() + _TAKEN_SECONDS
    while time.monotonic() < deadline:
        phase = "--field-selector=status.phase=Running"
        if len((await ground.kubectl("get", "pods", phase, "-o", "name")).splitlines()) >= running:
            return
        await asyncio.sleep(1)
    raise NotMeasured(f"waited {_TAKEN_SECONDS:.0f} s for {running} pods that run; fewer may do: --running")


async def _restart(ground: Ground, worker: Part, how: signal.Signals, jobs: int) -> Restart:
    """End the worker, start the next one, and wait until that has found all runs."""
    old, offset = ground.platform.child(worker.name), _log(ground).stat().st_size
    signalled = time.time()
    os.kill(old.pid, how)
    await until(lambda: not old.alive, _STOPPED_SECONDS, "the worker to end")
    ended, temporal = time.time(), usage(ground.platform.child("temporal").pid).cpu_seconds
    await asyncio.to_thread(ground.platform.converge, [worker])
    await until(
        lambda: len(_lines(ground, offset, _FOUND)) + len(_lines(ground, offset, _MADE)) >= jobs,
        HEARTBEAT_SECONDS + _FOUND_SECONDS,
        f"{jobs} Jobs to be found again",
    )
    found, made = (_lines(ground, offset, what) for what in (_FOUND, _MADE))
    [polling] = _lines(ground, offset, _POLLING).values()
    return Restart(
        signalled,
        ended,
        polling,
        found=[*found.values(), *made.values()],
        made=len(made),
        cpu=usage(ground.platform.child(worker.name).pid).cpu_seconds,
        temporal=usage(ground.platform.child("temporal").pid).cpu_seconds - temporal,
    )


def _lines(ground: Ground, offset: int, what: str) -> dict[str, float]:
    """When the worker said something for the first time about each of its Jobs, or about itself."""
    found: dict[str, float] = {}
    with _log(ground).open("rb") as file:
        file.seek(offset)
        for line in file:
            if what.encode() not in line or not line.endswith(b"\n"):
                continue
            said = json.loads(line)
            if said["message"].startswith(what):
                found.setdefault(said.get("job", ""), _unix(said["time"]))
    return found


def _log(ground: Ground) -> Path:
    return ground.platform.log(nodes.WORKER)


def _unix(text: str) -> float:
    """A log line's time, which is this machine's, with a comma before the milliseconds."""
    return datetime.fromisoformat(text.replace(",", ".")).timestamp()


async def _all_have(client: Client, identity: str, jobs: int) -> None:
    """Make sure that Temporal has every attempt with this worker."""
    gate = asyncio.Semaphore(_ASKED_AT_ONE_TIME)

    async def is_there(id_: str, run_id: str) -> bool:
        async with gate:
            told = await client.get_workflow_handle(id_, run_id=run_id).describe()
        return any(
            one.state is PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            and one.last_worker_identity.startswith(identity)
            for one in told.raw_description.pending_activities
        )

    query = f"WorkflowType = '{names.WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'"
    found = [(one.id, one.run_id) async for one in client.list_workflows(query)]
    there = sum(await asyncio.gather(*(is_there(*one) for one in found)))
    if there != jobs:
        raise NotMeasured(f"of {jobs} runs, Temporal has {there} with the worker that said it found them all")


def _rows(
    restarts: Mapping[signal.Signals, Restart], bare: float, created: list[Change], jobs: int, running: int
) -> list[Row]:
    stopped, killed = restarts[signal.SIGTERM], restarts[signal.SIGKILL]
    accepted = sum(1 for change in created if change.accepted)
    of = f"{jobs} Jobs, {running} of them with pods that run"

    def row(measure: str, value: float, remark: str = "") -> Row:
        return Row("reattach", measure, value, "s", None, remark)

    return [
        Row("reattach", f"restart: polling to all {jobs} found again", max(stopped.found) - stopped.polling,
            "s", AIM_SECONDS, f"{jobs} bare activities at a second bare worker", bare),
        row("restart: polling to the first one", min(stopped.found) - stopped.polling, of),
        row("restart: SIGTERM to the old worker's end", stopped.ended - stopped.signalled),
        row("restart: from then to the new one's polling", stopped.polling - stopped.ended,
            "Python, and Temporal and Kubernetes asked"),
        row("restart: SIGTERM to all found again", max(stopped.found) - stopped.signalled),
        row("restart: processor time of the new worker", stopped.cpu, "from its start"),
        row("restart: processor time of Temporal", stopped.temporal, "in the same time"),
        row("kill -9: to all found again", max(killed.found) - killed.signalled,
            f"Temporal waits {HEARTBEAT_SECONDS:g} s for a heartbeat first"),
        row("kill -9: the first to the last one", max(killed.found) - min(killed.found)),
        Row("reattach", "Jobs created, with both restarts", accepted, "", jobs,
            f"{len(created) - accepted} refused; {stopped.made + killed.made} found by their names alone"),
    ]  # fmt: skip
