"""What becomes of a run when its worker dies, freezes, stops, or is told to end it: with real goose."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleHandle,
    WorkflowExecutionStatus,
)

from goosejobs.model import names
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, condition, ended, get, goosejob, is_true, last_run
from support.rig import Handle
from support.run_history import has

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

DEAD_WITHIN = 5.0
LEASE = 10.0
DRAIN = 30.0
"""Seconds, unless a worker is told otherwise."""


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address)


async def schedule_of(
    kubectl: Kubectl, eventually: Eventually, namespace: str, name: str, temporal: Client
) -> ScheduleHandle:
    id_ = await eventually(lambda: get(kubectl, namespace, name)["status"]["scheduleId"])
    return temporal.get_schedule_handle(id_)


async def known_to_have_workers(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> None:
    """Else a deletion waits for nobody to end its runs, and their processes end a moment after it."""
    await eventually(lambda: is_true(get(kubectl, namespace, name), "WorkersAvailable"))


async def another_second(eventually: Eventually) -> None:
    """Temporal names a run by the second it was triggered in: two in one second are one run to us."""
    now = int(time.time())
    await eventually(lambda: int(time.time()) > now)


@pytest.mark.invariant("I6")
@pytest.mark.invariant("I10")
async def test_a_killed_workers_processes_die_and_another_worker_finishes_the_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    worker = start_worker(pool=pool)
    apply(kubectl, namespace, ledger.goosejob("killed", pool, patience=1))
    await eventually(ledger.hanging)
    worker.kill9()
    await eventually(lambda: not ledger.alive(), timeout=DEAD_WITHIN)
    start_worker(pool=pool)
    run = await ended(kubectl, eventually, namespace, "killed")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 2)
    assert run["result"].strip() == "came to its end"
    assert ledger.entries("overlap") == []
    status = get(kubectl, namespace, "killed")["status"]
    assert (status["counts"]["succeeded"], status["counts"]["failed"]) == (1, 0)
    assert (len(status["recentRuns"]), status["active"]) == (1, [])
    assert not ledger.alive()


@pytest.mark.invariant("I8")
async def test_a_frozen_worker_is_fenced_its_processes_die_and_what_it_says_later_does_not_count(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    frozen = start_worker(pool=pool)
    apply(kubectl, namespace, ledger.goosejob("frozen", pool, patience=1))
    await eventually(ledger.hanging)
    frozen.freeze()
    await eventually(lambda: not ledger.alive(), timeout=LEASE + DEAD_WITHIN)
    start_worker(pool=pool)
    run = await ended(kubectl, eventually, namespace, "frozen")
    assert run["outcome"] == "Succeeded"
    assert run["attempt"] >= 2  # Temporal may hand an attempt to the frozen worker, which still seems to poll

    def settled() -> Object | bool:
        """The operator has said all that it has to say of a run that has ended."""
        obj = get(kubectl, namespace, "frozen")
        return (condition(obj, "Ready") or {})["reason"] == "Completed" and obj

    before = await eventually(settled)
    frozen.thaw()
    await eventually(lambda: "Temporal no longer knows" in frozen.log or "goose ended" in frozen.log)
    frozen.stop()  # its last words are said when it has drained
    after = get(kubectl, namespace, "frozen")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert ledger.entries("overlap") == []


@pytest.mark.invariant("I9")
async def test_deleting_a_goosejob_in_the_middle_of_a_run_leaves_no_process(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1")
    apply(kubectl, namespace, ledger.goosejob("deleted", pool))
    await eventually(ledger.hanging)
    await known_to_have_workers(kubectl, eventually, namespace, "deleted")
    kubectl("delete", "-n", namespace, "gj", "deleted", "--timeout=180s")
    assert not ledger.alive()


@pytest.mark.invariant("I9")
async def test_a_cancelled_workflow_is_a_killed_run(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    ledger: Ledger,
    temporal: Client,
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1")
    apply(kubectl, namespace, ledger.goosejob("cancelled", pool))
    await eventually(ledger.hanging)
    uid = get(kubectl, namespace, "cancelled")["metadata"]["uid"]
    workflow = temporal.get_workflow_handle(names.once_workflow_id(namespace, "cancelled", uid))
    await workflow.cancel()
    run = await ended(kubectl, eventually, namespace, "cancelled")
    assert (run["outcome"], run["reason"]) == ("Killed", "Cancelled")
    assert not ledger.alive()

    async def workflow_ended() -> bool:
        """A moment after the record."""
        return (await workflow.describe()).status is not WorkflowExecutionStatus.RUNNING

    await eventually(workflow_ended)
    assert (await workflow.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_an_attempt_that_takes_too_long_is_ended_with_all_its_processes(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1")
    # The agent has to have started by then.
    apply(kubectl, namespace, ledger.goosejob("slow", pool, activeDeadlineSeconds=20))
    run = await ended(kubectl, eventually, namespace, "slow")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "DeadlineExceeded", 1)
    assert "spec.activeDeadlineSeconds" in run["message"]
    assert len(ledger.entries("escaped")) == 1
    assert not ledger.alive()


async def test_a_worker_told_to_stop_lets_a_run_finish(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    worker = start_worker(pool=pool)
    apply(kubectl, namespace, goosejob("patient", "stub: slow 3", execution={"pool": pool}))
    await eventually(worker.gooses)
    worker.stop()
    start_worker(pool=pool)  # the record is the next worker's
    run = await ended(kubectl, eventually, namespace, "patient")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 1)


async def test_a_worker_told_to_stop_ends_what_does_not_finish_and_that_is_not_the_runs_failure(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    drain = {"GOOSEJOBS_DRAIN_SECONDS": "1", "GOOSEJOBS_KILL_GRACE_SECONDS": "1"}
    worker = start_worker(pool=pool, **drain)
    apply(kubectl, namespace, ledger.goosejob("drained", pool, patience=1, retry={"maxAttempts": 1}))
    await eventually(ledger.hanging)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < DRAIN
    assert not ledger.alive()
    start_worker(pool=pool)
    run = await ended(kubectl, eventually, namespace, "drained")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 2)
    assert [one["reason"] for one in run["attempts"]] == ["WorkerShutdown", "Completed"]  # not WorkerLost


@pytest.mark.invariant("I2")
async def test_after_a_terminated_workflow_the_next_run_waits_for_the_old_processes_to_be_gone(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    ledger: Ledger,
    temporal: Client,
) -> None:
    # The hard case: the old run's worker is frozen, so only the lease ends its processes.
    frozen = start_worker(pool=pool)
    apply(kubectl, namespace, ledger.goosejob("fenced", pool, patience=1, schedule="0 0 1 1 *"))
    schedule = await schedule_of(kubectl, eventually, namespace, "fenced", temporal)
    await schedule.trigger()
    await eventually(ledger.hanging)
    old = get(kubectl, namespace, "fenced")["status"]["active"][0]
    frozen.freeze()
    await temporal.get_workflow_handle(old["workflowId"]).terminate("by hand")
    start_worker(pool=pool)

    async def restarted() -> bool:
        await schedule.trigger()  # Temporal skips it until it has seen that the old run is gone
        running = (await schedule.describe()).info.running_actions
        started = [one for one in running if isinstance(one, ScheduleActionExecutionStartWorkflow)]
        return any(one.workflow_id != old["workflowId"] for one in started)

    await eventually(restarted)

    def recorded() -> Object | None:
        run = last_run(get(kubectl, namespace, "fenced"))
        return run if run and run["id"] != old["id"] else None

    run = await eventually(recorded, timeout=180)  # the frozen worker may have been given its first attempt
    assert run["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []
    assert len(ledger.entries("agent")) == 2
    assert len(ledger.alive()) == 0


@pytest.mark.invariant("I3")
async def test_replace_starts_the_new_run_only_when_the_old_ones_processes_are_dead(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    ledger: Ledger,
    temporal: Client,
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="3")  # the agent is deaf to SIGTERM and takes it all
    policy: dict[str, Any] = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Replace"}
    apply(kubectl, namespace, ledger.goosejob("replaced", pool, patience=1, **policy))
    schedule = await schedule_of(kubectl, eventually, namespace, "replaced", temporal)
    await schedule.trigger()
    await eventually(ledger.hanging)
    await another_second(eventually)
    await schedule.trigger()
    run = await eventually(
        lambda: (r := last_run(get(kubectl, namespace, "replaced"))) and r["outcome"] == "Succeeded" and r,
        timeout=90,
    )
    assert run["attempt"] == 1
    assert ledger.entries("overlap") == []

    def each_counted() -> bool:
        """The record of the run that was ended may be written later, if the API server was slow."""
        counts = get(kubectl, namespace, "replaced")["status"]["counts"]
        return (counts["killed"], counts["succeeded"]) == (1, 1)

    await eventually(each_counted)


async def test_allow_starts_the_new_run_beside_the_old_one_without_waiting(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    ledger: Ledger,
    temporal: Client,
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="0")
    policy: dict[str, Any] = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Allow"}
    apply(kubectl, namespace, ledger.goosejob("allowed", pool, **policy))
    schedule = await schedule_of(kubectl, eventually, namespace, "allowed", temporal)
    await schedule.trigger()
    await eventually(ledger.hanging)
    await another_second(eventually)
    await schedule.trigger()
    await eventually(lambda: ledger.hanging(times=2))
    active = get(kubectl, namespace, "allowed")["status"]["active"]
    assert len(active) == 2
    for run in active:  # whoever waits does so by a timer
        assert not await has(temporal.get_workflow_handle(run["workflowId"]), "timer_started")
    assert len(ledger.entries("overlap")) == 2  # the agent that still hangs, and what it left behind
    await known_to_have_workers(kubectl, eventually, namespace, "allowed")
    kubectl("delete", "-n", namespace, "gj", "allowed", "--timeout=180s")
    assert not ledger.alive()
