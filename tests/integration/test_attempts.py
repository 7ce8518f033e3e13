"""Attempts of a run: which failures are tried again, when, and what the status tells of them."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from support import audit
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, ended, get, goosejob, recipe
from support.rig import Handle, Rig
from support.run_history import events, handle, has, waits

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

AUTHORS = (Path(__file__).parents[2] / "docs/authors.md").read_text()
PATIENT = {"maxAttempts": 20, "maxIntervalSeconds": 10}
"""For minutes, and goes on soon."""
TOOLS = {"extensions": [{"type": "builtin", "name": "developer"}]}
WRITES = {"create", "update", "patch"}


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def impatient(start_worker: Start, pool: str) -> str:
    """A pool whose goose does not wait between the four requests of an attempt."""
    start_worker(pool=pool, GOOSE_PROVIDER_SKIP_BACKOFF="true")
    return pool


def of(pool: str, name: str, directive: str, **spec: Any) -> Object:
    """A GooseJob of a pool; the stub model counts by prompt, so that each test needs its own."""
    return goosejob(name, f"{pool} {name}\nstub: {directive}", execution={"pool": pool}, **spec)


def reasons(run: Object) -> list[str]:
    """Why each attempt ended, in their order."""
    assert [one["attempt"] for one in run["attempts"]] == list(range(1, len(run["attempts"]) + 1))
    return [one["reason"] for one in run["attempts"]]


async def test_a_rate_limit_is_tried_again_by_the_policy_and_each_attempt_is_told(
    kubectl: Kubectl, eventually: Eventually, namespace: str, impatient: str, temporal: Client
) -> None:
    apply(kubectl, namespace, of(impatient, "limited", "fail 8 by status 429 then answer at last"))
    run = await ended(kubectl, eventually, namespace, "limited")
    assert (run["outcome"], run["result"], run["attempt"]) == ("Succeeded", "at last", 3)
    assert reasons(run) == ["RateLimited", "RateLimited", "Completed"]
    assert [one["outcome"] for one in run["attempts"]] == ["Failed", "Failed", "Succeeded"]
    assert ["Rate limit" in one["message"] for one in run["attempts"]] == [True, True, False]
    times = [time for one in run["attempts"] for time in (one["startTime"], one["finishTime"])]
    assert [run["startTime"], *times, run["finishTime"]] == sorted(
        [run["startTime"], *times, run["finishTime"]]
    )
    assert waits(await events(handle(temporal, kubectl, namespace, "limited"))) == [1, 2]


@pytest.mark.parametrize(
    ("directive", "reason"),
    [("status 500", "ProviderError"), ("status 429", "RateLimited"), ("drop", "NetworkError")],
)
async def test_what_a_provider_did_is_tried_again_until_the_attempts_are_used_up(
    directive: str,
    reason: str,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    impatient: str,
    temporal: Client,
) -> None:
    """By the default policy: three attempts, and waits of one second and of two."""
    apply(kubectl, namespace, of(impatient, "fails", directive))
    run = await ended(kubectl, eventually, namespace, "fails")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", reason, 3)
    assert reasons(run) == [reason] * 3
    assert waits(await events(handle(temporal, kubectl, namespace, "fails"))) == [1, 2]


async def test_a_provider_that_comes_back_ends_the_attempts(
    kubectl: Kubectl, eventually: Eventually, namespace: str, impatient: str
) -> None:
    jobs = {"errors": "fail 4 by status 503", "drops": "fail 1 by drop"}
    apply(kubectl, namespace, *[of(impatient, name, f"{d} then answer ok") for name, d in jobs.items()])
    assert reasons(await ended(kubectl, eventually, namespace, "errors")) == ["ProviderError", "Completed"]
    assert reasons(await ended(kubectl, eventually, namespace, "drops"))[-1] == "Completed"


async def test_a_goose_that_somebody_kills_is_tried_again(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> None:
    worker = start_worker(pool=pool)
    apply(kubectl, namespace, ledger.goosejob("crash", pool, patience=1))
    await eventually(ledger.hanging)
    [goose] = await eventually(worker.gooses)
    goose.kill()
    run = await ended(kubectl, eventually, namespace, "crash")
    assert reasons(run) == ["GooseCrashed", "Completed"]
    assert ledger.entries("overlap") == []


async def test_a_goose_that_cannot_be_started_is_tried_again_and_the_active_run_says_so(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    goose_binary: Path,
) -> None:
    broken = _broken_goose(goose_binary)
    start_worker(pool=pool, GOOSEJOBS_GOOSE=str(broken))
    apply(kubectl, namespace, goosejob("starts", execution={"pool": pool}, retry=PATIENT))

    def told() -> list[Object]:
        run = get(kubectl, namespace, "starts")["status"]["active"][0]
        found: list[Object] = run.get("attempts", [])
        return found

    [first, *_] = await eventually(told)
    assert (first["attempt"], first["outcome"], first["reason"]) == (1, "Failed", "StartFailed")
    assert "Exec format error" in first["message"]
    described = kubectl("describe", "-n", namespace, "goosejob", "starts").stdout
    assert "Exec format error" in described
    broken.unlink()
    broken.symlink_to(goose_binary)
    run = await ended(kubectl, eventually, namespace, "starts")
    assert (run["outcome"], run["attempts"][-1]["reason"]) == ("Succeeded", "Completed")
    assert {one["reason"] for one in run["attempts"][:-1]} == {"StartFailed"}


def _broken_goose(beside: Path) -> Path:
    """Where goose's own user may enter, and the platform's end clears it away."""
    broken = beside.with_name(f"broken-{os.getpid()}")
    broken.unlink(missing_ok=True)  # what an earlier test of this process left is a link to goose itself
    broken.write_text("not a program")
    broken.chmod(0o755)
    return broken


async def test_what_would_fail_again_has_one_attempt(
    kubectl: Kubectl, eventually: Eventually, namespace: str, impatient: str, temporal: Client
) -> None:
    """The recipe's own `retry` among it: goose made its attempts, and no other of ours follows."""
    checks = {"max_retries": 2, "checks": [{"type": "shell", "command": "false"}]}
    apply(
        kubectl,
        namespace,
        of(impatient, "auth", "status 401"),
        of(impatient, "checks", "", recipe={"inline": recipe("stub: answer tried", retry=checks)}),
        of(impatient, "turns", "", recipe={"inline": recipe("stub: turns", **TOOLS)}, model={"maxTurns": 2}),
    )
    expected = {"auth": "ProviderAuth", "checks": "RecipeRetriesExhausted", "turns": "TurnLimitReached"}
    for name, reason in expected.items():
        run = await ended(kubectl, eventually, namespace, name)
        assert (run["outcome"], run["attempt"], reasons(run)) == ("Failed", 1, [reason])
        assert waits(await events(handle(temporal, kubectl, namespace, name))) == []
    assert "Maximum retry attempts (2)" in get(kubectl, namespace, "checks")["status"]["lastRun"]["message"]


async def test_a_recipe_that_its_own_retry_mends_is_one_attempt(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    """goose's retry, which asks the model again until the recipe's checks pass, is goose's own affair."""
    start_worker(pool=pool)
    passes_the_third_time = 'echo x >>"$HOME/tries"; [ "$(wc -l <"$HOME/tries")" -gt 2 ]'
    checks = {"max_retries": 5, "checks": [{"type": "shell", "command": passes_the_third_time}]}
    inline = recipe("stub: answer mended", retry=checks)
    apply(kubectl, namespace, goosejob("mends", recipe={"inline": inline}, execution={"pool": pool}))
    run = await ended(kubectl, eventually, namespace, "mends")
    assert (run["outcome"], run["attempt"], reasons(run)) == ("Succeeded", 1, ["Completed"])


async def test_attempts_cost_no_write_of_their_own(
    kubectl: Kubectl, eventually: Eventually, namespace: str, impatient: str, platform: Rig
) -> None:
    """One write when an attempt starts, one when the run has ended."""
    apply(
        kubectl,
        namespace,
        of(impatient, "good", "answer ok"),
        of(impatient, "flaky", "fail 4 then answer ok"),
    )
    for name in ("good", "flaky"):
        await ended(kubectl, eventually, namespace, name)

    def writes() -> list[str]:
        return [
            event["objectRef"]["name"]
            for event in audit.requests(platform.audit_log, namespace, "goosejobs")
            if event["verb"] in WRITES
            and "fieldManager=goosejobs-worker" in event["requestURI"]
            and event["responseStatus"]["code"] < 300
        ]

    await eventually(lambda: len(writes()) >= 5)
    assert {name: writes().count(name) for name in ("good", "flaky")} == {"good": 2, "flaky": 3}


async def test_kubectl_tells_the_attempts_of_the_last_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, impatient: str
) -> None:
    """As docs/authors.md has it."""
    apply(kubectl, namespace, of(impatient, "flaky", "fail 4 then answer ok"))
    await ended(kubectl, eventually, namespace, "flaky")
    [path] = re.findall(r"jsonpath='(\{range \.status\.lastRun\.attempts.*)'", AUTHORS)
    told = kubectl("get", "-n", namespace, "goosejob", "flaky", "-o", f"jsonpath={path}").stdout
    assert [line.split()[0::2][:2] for line in told.splitlines()] == [
        ["1", "ProviderError"],
        ["2", "Completed"],
    ]
    described = kubectl("describe", "goosejob", "flaky", "-n", namespace).stdout
    assert "Attempts:" in described


@pytest.mark.invariant("I9")
async def test_a_run_that_is_cancelled_while_its_worker_is_lost_makes_no_other_attempt(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    temporal: Client,
    ledger: Ledger,
) -> None:
    """The lost attempt would be tried again, had nobody cancelled the run."""
    worker = start_worker(pool=pool)
    apply(kubectl, namespace, ledger.goosejob("lost", pool))
    await eventually(ledger.hanging)
    run_of = handle(temporal, kubectl, namespace, "lost")
    worker.kill9()
    await run_of.cancel()
    start_worker(pool=pool)
    run = await ended(kubectl, eventually, namespace, "lost")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Killed", "Cancelled", 1)
    assert reasons(run) == ["WorkerLost"]
    assert await has(run_of, "activity_task_timed_out")
    assert (len(ledger.entries("agent")), ledger.alive()) == (1, [])
