"""No two gooses of one GooseJob at one time, also where Temporal cannot know of the earlier one's run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from goosejobs_worker.fence import FENCE
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, get, is_true, last_run
from support.requests import KILL, RUN, answer, ask

Eventually = Callable[..., Any]
Start = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("operator")

LONG = FENCE + timedelta(seconds=5)
"""A run waits so long at most for what may be left of one that has ended."""
NAME = "guarded"


class Guarded:
    """A GooseJob whose first run hangs, deaf to SIGTERM, and whose second one comes to its end."""

    def __init__(
        self, kubectl: Kubectl, eventually: Eventually, namespace: str, ledger: Ledger, pool: str
    ) -> None:
        self._kubectl = kubectl
        self._eventually = eventually
        self._namespace = namespace
        self._ledger = ledger
        self._pool = pool

    def get(self) -> Object:
        return get(self._kubectl, self._namespace, NAME)

    async def apply(self, policy: str) -> None:
        spec = {"schedule": "0 0 1 1 *", "concurrencyPolicy": policy}
        apply(self._kubectl, self._namespace, self._ledger.goosejob(NAME, self._pool, patience=1, **spec))
        await self._eventually(lambda: is_true(self.get(), "Ready"))

    async def ask(self, annotation: str, value: str) -> str:
        """Ask for something; the answer in one word."""
        ask(self._kubectl, self._namespace, NAME, annotation, value)
        kind = "run" if annotation == RUN else "kill"
        said = await answer(self._kubectl, self._eventually, self._namespace, NAME, kind, value)
        return str(said["answer"])

    async def first(self) -> Object:
        """The run that hangs."""
        assert await self.ask(RUN, "first") == "Started"
        await self._eventually(self._ledger.hanging)
        run: Object = self.get()["status"]["active"][0]
        return run

    async def second(self, old: Object) -> Object:
        """The record of the run after it."""

        def recorded() -> Object | None:
            run = last_run(self.get())
            return run if run and run["id"] != old["id"] else None

        run: Object = await self._eventually(recorded, timeout=180)
        return run

    async def outlast(self) -> None:
        """Wait until the second run has waited for longer than for what has ended."""
        run = (await self._eventually(lambda: (a := self.get()["status"]["active"]) and len(a) == 2 and a))[1]
        since = datetime.fromisoformat(run["startTime"])
        await self._eventually(lambda: datetime.now(UTC) - since > LONG, timeout=LONG.total_seconds() + 60)


@pytest.fixture
def guarded(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str, ledger: Ledger
) -> Guarded:
    start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="2")
    return Guarded(kubectl, eventually, namespace, ledger, pool)


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    return await Client.connect(temporal_address)


@pytest.mark.parametrize("policy", ["Forbid", "Queue"])
async def test_a_run_under_a_new_policy_waits_for_one_that_began_under_allow(
    guarded: Guarded, ledger: Ledger, policy: str
) -> None:
    await guarded.apply("Allow")
    old = await guarded.first()
    await guarded.apply(policy)
    assert await guarded.ask(RUN, "second") == "Started"
    await guarded.outlast()
    assert ledger.hanging()
    await guarded.ask(KILL, old["id"])
    assert (await guarded.second(old))["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []


async def test_a_run_that_is_to_replace_one_that_began_under_allow_ends_it_first(
    guarded: Guarded, ledger: Ledger, eventually: Eventually
) -> None:
    await guarded.apply("Allow")
    old = await guarded.first()
    await guarded.apply("Replace")
    assert await guarded.ask(RUN, "second") == "Started"
    assert (await guarded.second(old))["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []

    def each_counted() -> bool:
        """The record of the run that was ended may be written later, if the API server was slow."""
        counts = guarded.get()["status"]["counts"]
        return (counts["killed"], counts["succeeded"]) == (1, 1)

    await eventually(each_counted)


async def test_a_run_of_a_schedule_that_was_made_anew_waits_for_one_of_the_schedule_before(
    guarded: Guarded, ledger: Ledger, temporal: Client
) -> None:
    await guarded.apply("Forbid")
    old = await guarded.first()
    await temporal.get_schedule_handle(guarded.get()["status"]["scheduleId"]).delete()
    assert await guarded.ask(RUN, "second") == "Started"
    await guarded.outlast()
    assert ledger.hanging()
    await guarded.ask(KILL, old["id"])
    assert (await guarded.second(old))["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []


@pytest.mark.invariant("I3")
async def test_with_replace_the_processes_of_a_terminated_run_are_gone_before_the_next_one_starts(
    guarded: Guarded, ledger: Ledger, temporal: Client
) -> None:
    await guarded.apply("Replace")
    old = await guarded.first()
    await temporal.get_workflow_handle(old["workflowId"]).terminate("by hand")
    assert await guarded.ask(RUN, "second") == "Started"
    assert (await guarded.second(old))["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []


async def test_a_queued_run_starts_when_the_one_before_it_is_terminated_and_its_processes_are_gone(
    guarded: Guarded, ledger: Ledger, temporal: Client
) -> None:
    await guarded.apply("Queue")
    old = await guarded.first()
    assert await guarded.ask(RUN, "second") == "Queued"
    await temporal.get_workflow_handle(old["workflowId"]).terminate("by hand")
    assert (await guarded.second(old))["outcome"] == "Succeeded"
    assert ledger.entries("overlap") == []
