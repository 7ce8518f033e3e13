"""`spec.runDeadlineSeconds`: what becomes of a run whose time is over, wherever that meets it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from support import job_pool
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, ended, get, goosejob
from support.rig import Handle, Rig
from support.run_history import events, handle, has, waits

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

NEVER = {"initialIntervalSeconds": 3600, "maxIntervalSeconds": 3600}
SOON = 25
"""Seconds; long enough for an attempt to be at work by then."""


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


def ending(run: Object) -> tuple[str, str]:
    return run["outcome"], run["reason"]


def attempts(run: Object) -> list[tuple[int, str, str]]:
    return [(one["attempt"], one["outcome"], one["reason"]) for one in run.get("attempts", [])]


@pytest.mark.invariant("I9")
async def test_a_goose_that_runs_is_ended_with_all_that_it_started(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1")
    apply(kubectl, namespace, ledger.goosejob("long", pool, runDeadlineSeconds=SOON))
    run = await ended(kubectl, eventually, namespace, "long")
    assert ledger.hanging(), "its time was over before its agent had begun"
    assert ledger.alive() == []
    assert ending(run) == ("Failed", "DeadlineExceeded")
    expected = f"the run did not end within {SOON} s (spec.runDeadlineSeconds): attempt 1 was ended"
    assert run["message"] == expected
    assert attempts(run) == [(1, "Failed", "DeadlineExceeded")]
    assert run["attempts"][0]["message"] == expected
    assert get(kubectl, namespace, "long")["status"]["counts"]["failed"] == 1


async def test_a_run_that_waits_to_try_again_keeps_why_it_had_to(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
) -> None:
    start_worker(pool=pool, GOOSE_PROVIDER_SKIP_BACKOFF="true")  # else the attempt takes 7 s at least
    spec: dict[str, Any] = {"retry": NEVER, "runDeadlineSeconds": SOON, "execution": {"pool": pool}}
    apply(kubectl, namespace, goosejob("waits", "stub: status 500", **spec))
    run = await ended(kubectl, eventually, namespace, "waits")
    assert ending(run) == ("Failed", "DeadlineExceeded")
    assert run["message"].startswith(
        f"the run did not end within {SOON} s (spec.runDeadlineSeconds): it waited to try again; "
        "attempt 1 ended with ProviderError: "
    )
    assert (run["attempt"], attempts(run)) == (1, [(1, "Failed", "ProviderError")])
    assert waits(await events(handle(temporal, kubectl, namespace, "waits"))) == [3600]


async def test_a_run_that_no_worker_took_in_time_is_ended_by_the_first_that_comes(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
    ledger: Ledger,
) -> None:
    apply(kubectl, namespace, ledger.goosejob("late", pool, runDeadlineSeconds=1))
    await eventually(lambda: get(kubectl, namespace, "late")["status"].get("scheduleId"))
    run_of = handle(temporal, kubectl, namespace, "late")

    async def is_over() -> bool:
        started = (await run_of.describe()).start_time
        return (datetime.now(UTC) - started).total_seconds() > 2

    await eventually(is_over)
    start_worker(pool=pool)
    run = await ended(kubectl, eventually, namespace, "late")
    assert ending(run) == ("Failed", "DeadlineExceeded")
    assert run["message"].endswith("(spec.runDeadlineSeconds): no attempt was made")
    assert (run["attempt"], attempts(run)) == (0, [])
    assert ledger.entries("agent") == []


async def test_a_run_that_waits_for_a_place_is_ended_without_having_had_one(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
    ledger: Ledger,
) -> None:
    start_worker(pool=pool, GOOSEJOBS_MAX_CONCURRENT_RUNS="1", GOOSEJOBS_KILL_GRACE_SECONDS="0")
    apply(kubectl, namespace, ledger.goosejob("first", pool))
    await eventually(ledger.hanging)
    apply(kubectl, namespace, goosejob("second", runDeadlineSeconds=SOON, execution={"pool": pool}))
    run = await ended(kubectl, eventually, namespace, "second")
    assert ending(run) == ("Failed", "DeadlineExceeded")
    assert run["message"].endswith("(spec.runDeadlineSeconds): attempt 1 waited for a worker")
    assert attempts(run) == []
    await handle(temporal, kubectl, namespace, "first").cancel()
    await ended(kubectl, eventually, namespace, "first")


async def test_a_run_that_ends_in_time_has_nothing_of_it(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
) -> None:
    start_worker(pool=pool)
    spec: dict[str, Any] = {"runDeadlineSeconds": 600, "execution": {"pool": pool}}
    apply(kubectl, namespace, goosejob("good", "stub: fail 4 then answer fine", **spec))
    run = await ended(kubectl, eventually, namespace, "good")
    assert (ending(run), run["result"]) == (("Succeeded", "Completed"), "fine")
    # Which is written down a moment after the record.
    run_of = handle(temporal, kubectl, namespace, "good")
    await eventually(lambda: has(run_of, "timer_canceled"))


@pytest.mark.parametrize("first", ["person", "deadline"])
async def test_a_run_that_a_person_cancels_is_killed_whichever_comes_first(
    first: str,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
    ledger: Ledger,
) -> None:
    """What goose started ignores SIGTERM, so that the other one comes while it is being ended."""
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="20")
    deadline = 60 if first == "person" else SOON
    apply(kubectl, namespace, ledger.goosejob("both", pool, runDeadlineSeconds=deadline))
    run_of = handle(temporal, kubectl, namespace, "both")
    await eventually(ledger.hanging)
    if first == "deadline":
        await eventually(lambda: has(run_of, "activity_task_cancel_requested"))
        assert ledger.alive()
    await run_of.cancel()
    run = await ended(kubectl, eventually, namespace, "both")
    assert ending(run) == ("Killed", "Cancelled")
    assert attempts(run) == [(1, "Killed", "Cancelled")]
    assert ledger.alive() == []


async def test_the_pod_of_a_run_whose_time_is_over_is_deleted(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    tmp_path: Path,
    platform: Rig,
) -> None:
    template = job_pool.write_template(tmp_path / "template.yaml", "nowhere/goose:1", "http://127.0.0.1:1")
    start_worker(pool=pool, **job_pool.environment(template))
    apply(kubectl, namespace, goosejob("pod", runDeadlineSeconds=SOON, execution={"pool": pool}))
    run = await ended(kubectl, eventually, namespace, "pod")
    assert ending(run) == ("Failed", "DeadlineExceeded")
    assert run["message"].endswith("(spec.runDeadlineSeconds): attempt 1 was ended")
    assert run["attempts"][0]["jobName"] == run["jobName"]
    assert len(job_pool.audited(platform.audit_log, namespace, "create", "jobs")) == 1
    assert job_pool.jobs(kubectl, namespace, "pod") == []
