"""How a worker executes a run: what goose gets to see, what stays behind, what is refused."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from goosejobs.model import names
from goosejobs.model.run import RecipeFile
from support.gate import Gate
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, ended, get, goosejob, is_true, recipe
from support.resyncs import metric
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

DEVELOPER = {"extensions": [{"type": "builtin", "name": "developer"}]}
MAX_EVENTS = 20


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


def shell(name: str, pool: str, command: str, **spec: Any) -> Object:
    """A GooseJob whose agent runs one command and answers with what it printed."""
    obj = goosejob(name, execution={"pool": pool}, **spec)
    obj["spec"]["recipe"]["inline"] = recipe(f"stub: shell {command}", **DEVELOPER)
    return obj


async def history(temporal: Client, kubectl: Kubectl, namespace: str, name: str) -> WorkflowHistory:
    uid = get(kubectl, namespace, name)["metadata"]["uid"]
    handle = temporal.get_workflow_handle(names.once_workflow_id(namespace, name, uid))
    with contextlib.suppress(WorkflowFailureError):
        await handle.result()  # it ends a moment after its record stands
    return await handle.fetch_history()


async def test_an_agent_sees_neither_the_workers_access_nor_its_own_recipe(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool, MYTOOL_SETTING="seven", OTHER_SETTING="eight", GOOSEJOBS_PASS_ENV="MYTOOL_*")
    apply(kubectl, namespace, shell("env", pool, "env; echo files: $(ls -A .)"))
    run = await ended(kubectl, eventually, namespace, "env")
    seen = dict(line.split("=", 1) for line in run["result"].splitlines() if "=" in line)
    assert run["outcome"] == "Succeeded"
    assert {name for name in seen if name.startswith(("KUBE", "TEMPORAL", "GOOSEJOBS"))} == set()
    assert (seen["MYTOOL_SETTING"], "OTHER_SETTING" in seen) == ("seven", False)
    assert seen["GOOSE_JOB_ID"] == f"{namespace}/env"
    assert "recipe.yaml" not in run["result"]
    assert not exists(seen["HOME"])


async def test_a_secret_of_the_worker_is_masked_in_the_record(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool, OPENAI_API_KEY="sk-very-secret-key")
    apply(kubectl, namespace, shell("leak", pool, "echo the key is $OPENAI_API_KEY"))
    run = await ended(kubectl, eventually, namespace, "leak")
    assert "the key is" in run["result"]
    assert "sk-very-secret-key" not in str(get(kubectl, namespace, "leak"))


async def test_an_agent_does_not_run_as_root(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    apply(kubectl, namespace, shell("who", pool, "id -u"))
    run = await ended(kubectl, eventually, namespace, "who")
    assert int(run["result"]) == (os.getuid() or 65534)


async def test_an_agent_cannot_read_the_workers_memory_or_environment(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    worker = start_worker(pool=pool)
    files = f"/proc/{worker.pid}/environ /proc/{worker.pid}/mem"
    apply(kubectl, namespace, shell("spy", pool, f"head -c 1 {files} 2>&1"))
    run = await ended(kubectl, eventually, namespace, "spy")
    assert run["result"].count("Permission denied") == 2


async def test_nothing_of_the_recipe_stands_on_a_command_line(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    ledger: Ledger,
    temporal: Client,
) -> None:
    worker = start_worker(pool=pool, OPENAI_API_KEY="sk-very-secret-key", GOOSEJOBS_KILL_GRACE_SECONDS="0")
    apply(kubectl, namespace, ledger.goosejob("args", pool))
    await eventually(ledger.hanging)
    (supervisor,) = [pid for pid in children(worker.pid) if "supervisor.py" in command_line(pid)]
    # Not by its command line: what the agent left behind is below the supervisor, too, and has the ledger's
    # path in its own until it is a `sleep`.
    (goose,) = worker.gooses()
    assert goose.ppid() == supervisor
    shown = command_line(supervisor) + command_line(goose.pid)
    assert f"--name={namespace}-args-once-1" in shown
    assert "stub:" not in shown
    assert "sk-very-secret-key" not in shown
    uid = get(kubectl, namespace, "args")["metadata"]["uid"]
    await temporal.get_workflow_handle(names.once_workflow_id(namespace, "args", uid)).cancel()
    await ended(kubectl, eventually, namespace, "args")


async def test_the_session_of_a_run_can_be_found_by_its_name(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    platform: Rig,
    goose_binary: Path,
) -> None:
    worker = start_worker(pool=pool)
    apply(kubectl, namespace, goosejob("session", "stub: answer kept", execution={"pool": pool}))
    run = await ended(kubectl, eventually, namespace, "session")
    data = platform.home / "worker" / worker.name
    export = await asyncio.create_subprocess_exec(
        *(str(goose_binary), "session", "export", "--name", run["session"], "--format", "json"),
        env={"GOOSE_PATH_ROOT": str(data / "goose"), "HOME": str(data), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await export.communicate()
    assert export.returncode == 0
    assert b"kept" in out
    assert list((data / "attempts").iterdir()) == []


async def test_a_pool_refuses_a_namespace_that_it_does_not_serve(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    apply(kubectl, namespace, goosejob("refused", execution={"pool": pool}))
    await eventually(lambda: is_true(get(kubectl, namespace, "refused"), "Ready"))
    start_worker(pool=pool, GOOSEJOBS_NAMESPACES="elsewhere")  # too late for the operator to know
    run = await ended(kubectl, eventually, namespace, "refused")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "PoolRefused", 1)
    assert run["message"].startswith(f"pool {pool} does not serve namespace {namespace}: ")


async def test_a_goose_that_cannot_be_started_is_tried_again_and_then_told(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, tmp_path: Path
) -> None:
    broken = tmp_path / "goose"
    broken.write_text("not a program")
    broken.chmod(0o755)
    start_worker(pool=pool, GOOSEJOBS_GOOSE=str(broken))
    retry = {"maxAttempts": 2}
    apply(kubectl, namespace, goosejob("broken", execution={"pool": pool}, retry=retry))
    run = await ended(kubectl, eventually, namespace, "broken")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "StartFailed", 2)
    assert "Exec format error" in run["message"]


async def test_a_worker_runs_no_more_gooses_at_once_than_it_is_told(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    platform: Rig,
    ledger: Ledger,
) -> None:
    worker, gate = start_worker(pool=pool, GOOSEJOBS_MAX_CONCURRENT_RUNS="1"), Gate(platform.home)
    file = ledger.directory / "ledger"
    command = f"echo begun >>{file}; {gate.command}; sleep 1; echo ended >>{file}"
    jobs = [shell(f"job-{n}", pool, command) for n in range(3)]
    apply(kubectl, namespace, *jobs)
    await eventually(lambda: metric(worker, "goosejobs_worker_attempts_running") == 1)
    gate.open()
    for job in jobs:
        await ended(kubectl, eventually, namespace, job["metadata"]["name"])
    assert file.read_text().split() == ["begun", "ended"] * len(jobs)
    assert metric(worker, "goosejobs_worker_attempts_running") == 0
    assert metric(worker, 'goosejobs_worker_attempts_total{outcome="Succeeded",reason="Completed"}') == 3


async def test_a_run_leaves_few_events_and_a_failed_one_has_a_failed_workflow(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
) -> None:
    start_worker(pool=pool)
    one: dict[str, Any] = {"execution": {"pool": pool}, "retry": {"maxAttempts": 1}}
    apply(kubectl, namespace, goosejob("good", **one), goosejob("bad", "stub: status 401", **one))
    for name in ("good", "bad"):
        await ended(kubectl, eventually, namespace, name)
        events = (await history(temporal, kubectl, namespace, name)).events
        assert len(without_lost_tasks(events)) <= MAX_EVENTS
    assert events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
    failure = events[-1].workflow_execution_failed_event_attributes.failure
    assert failure.application_failure_info.type == "ProviderAuth"
    assert failure.application_failure_info.non_retryable


async def test_a_pool_reads_recipes_of_its_folder_for_the_operator(
    start_worker: Start, pool: str, temporal: Client, tmp_path: Path
) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "weekly.yaml").write_text("title: weekly\n")
    start_worker(pool=pool, GOOSEJOBS_RECIPE_DIR=str(tmp_path), GOOSEJOBS_NAMESPACES="ours")

    async def read(path: str, namespace: str = "ours") -> RecipeFile:
        found: RecipeFile = await temporal.execute_workflow(
            names.READ_RECIPE_WORKFLOW_TYPE,
            args=[path, namespace],
            id=f"read-{uuid.uuid4()}",
            task_queue=names.task_queue(pool),
            result_type=RecipeFile,
        )
        return found

    assert await read("reports/weekly.yaml") == RecipeFile(text="title: weekly\n", base_dir="reports")
    with pytest.raises(WorkflowFailureError) as failed:
        await read("../outside.yaml")
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("RecipeNotFound", True)
    assert "outside the pool's recipe folder" in cause.message
    with pytest.raises(WorkflowFailureError) as refused:
        await read("reports/weekly.yaml", "theirs")
    assert isinstance(refused.value.cause, ApplicationError)
    assert f"pool {pool} does not serve namespace theirs" in refused.value.cause.message


def without_lost_tasks(events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """All but the workflow tasks that nobody did in time, because the worker stood still for a while."""
    lost: set[int] = set()
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
            task = event.workflow_task_timed_out_event_attributes
            lost |= {task.scheduled_event_id, task.started_event_id, event.event_id}
    return [event for event in events if event.event_id not in lost]


def exists(path: str) -> bool:
    return Path(path).exists()


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):  # it has ended, or does while it is read
                continue
            found += [int(entry.name)] if parent == pid else []
    return found


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
