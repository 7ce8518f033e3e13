"""What somebody changes in a schedule past us, and what only looks like ours: docs/drift.md has the rules."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import IntervalSpec, Schedule
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    WorkflowFailureError,
)
from temporalio.exceptions import ApplicationError

from goosejobs.model import names
from support import drift, schedules
from support.drifting import NAMESPACE, NOBODY, RUN, YEARLY, ask, ready, restored, spec, state, suspended
from support.events import told
from support.ledger import Ledger
from support.objects import apply, get, goosejob
from support.resyncs import resynced
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module", autouse=True)
def quick(rig: Rig) -> Iterator[Handle]:
    """An operator that looks at everything every second."""
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1") as handle:
        yield handle


@pytest.fixture(scope="module")
def worker(rig: Rig) -> Iterator[Handle]:
    with rig.start_worker() as handle:
        yield handle


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


@pytest.mark.invariant("I17")
async def test_a_schedule_deleted_by_hand_is_made_anew_and_somebodys_pause_stays(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("deleted", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "deleted")
    await client.get_schedule_handle(schedule_id(obj)).pause(note="maintenance")
    await suspended(rig, eventually, "deleted", "PausedInTemporal")
    await client.get_schedule_handle(schedule_id(obj)).delete()
    assert "was made anew" in await restored(rig, eventually, "deleted")

    async def paused() -> bool:
        return await state(client, obj) == (True, "paused before the schedule was lost")

    await eventually(paused)
    await suspended(rig, eventually, "deleted", "PausedInTemporal")
    assert "Resumed" not in told(rig.kubectl, NAMESPACE, "deleted")
    await client.get_schedule_handle(schedule_id(obj)).unpause()
    await suspended(rig, eventually, "deleted", "NotSuspended")


async def test_a_pause_by_hand_is_lifted_by_hand_alone_whatever_becomes_of_spec_suspend(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("paused", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "paused")
    handle = client.get_schedule_handle(schedule_id(obj))
    await handle.pause(note="maintenance")
    await suspended(rig, eventually, "paused", "PausedInTemporal")
    spec(rig, "paused", suspend=True)
    await suspended(rig, eventually, "paused", "Suspended")
    spec(rig, "paused", suspend=False)
    await suspended(rig, eventually, "paused", "PausedInTemporal")
    assert await state(client, obj) == (True, "maintenance")
    spec(rig, "paused", suspend=True)
    await suspended(rig, eventually, "paused", "Suspended")
    await handle.unpause()  # it is the spec that pauses it now

    async def ours() -> bool:
        return await state(client, obj) == (True, "goosejobs: suspend")

    await eventually(ours)
    spec(rig, "paused", suspend=False)
    await suspended(rig, eventually, "paused", "NotSuspended")


async def test_a_schedule_unpaused_by_hand_is_paused_again_while_the_spec_says_so(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("suspended", suspend=True, **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "suspended")
    await client.get_schedule_handle(schedule_id(obj)).unpause()
    assert "spec.suspend is true: it is paused again" in await restored(rig, eventually, "suspended")

    async def paused() -> bool:
        return await state(client, obj) == (True, "goosejobs: suspend")

    await eventually(paused)


@pytest.mark.usefixtures("worker")
async def test_unpausing_by_hand_resumes_what_failures_have_paused(
    rig: Rig, eventually: Eventually, client: Client, quick: Handle
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("failing", "stub: status 401", pauseAfterFailures=1, **YEARLY))
    obj = await ready(rig, eventually, "failing")
    ask(rig, "failing", RUN, "1")
    await suspended(rig, eventually, "failing", "PausedAfterFailures")
    assert await state(client, obj) == (True, "goosejobs: failures")
    await client.get_schedule_handle(schedule_id(obj)).unpause(note="mended")
    await suspended(rig, eventually, "failing", "NotSuspended")
    resume = get(rig.kubectl, NAMESPACE, "failing")["status"]["handledRequests"]["resume"]
    assert (resume["answer"], resume["failed"]) == ("Resumed", 1)
    await eventually(lambda: "Resumed" in told(rig.kubectl, NAMESPACE, "failing"))
    await resynced(quick, eventually)
    assert await state(client, obj) == (False, "mended")
    await eventually(lambda: schedules.idle(client, obj))
    ask(rig, "failing", RUN, "2")
    await suspended(rig, eventually, "failing", "PausedAfterFailures")


@pytest.mark.usefixtures("worker")
async def test_what_failures_have_paused_stays_so_when_its_schedule_is_deleted_by_hand(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("lost", "stub: status 401", pauseAfterFailures=1, **YEARLY))
    obj = await ready(rig, eventually, "lost")
    ask(rig, "lost", RUN, "1")
    await suspended(rig, eventually, "lost", "PausedAfterFailures")
    await client.get_schedule_handle(schedule_id(obj)).delete()
    await restored(rig, eventually, "lost")

    async def paused() -> bool:
        return await state(client, obj) == (True, "goosejobs: failures")

    await eventually(paused)
    assert "Resumed" not in told(rig.kubectl, NAMESPACE, "lost")


def _other_times(to: Schedule) -> None:
    del to.spec.structured_calendar[:]
    every = IntervalSpec()
    every.interval.FromSeconds(86_400)
    to.spec.interval.append(every)


def _other_policy(to: Schedule) -> None:
    to.policies.overlap_policy = ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
    to.policies.catchup_window.FromSeconds(86_400)


def _other_queue(to: Schedule) -> None:
    to.action.start_workflow.task_queue.name = "somewhere-else"


def _other_argument(to: Schedule) -> None:
    del to.action.start_workflow.input.payloads[:]
    to.action.start_workflow.input.payloads.append(
        Payload(metadata={"encoding": b"json/plain"}, data=b'"hello"')
    )


def _other_memo(to: Schedule) -> None:
    to.action.start_workflow.memo.fields["goosejobs-cluster"].data = b'"another"'


def _no_attribute(to: Schedule) -> None:
    to.action.start_workflow.search_attributes.indexed_fields.clear()


def _a_timeout(to: Schedule) -> None:
    to.action.start_workflow.workflow_execution_timeout.FromSeconds(5)


def _a_limit(to: Schedule) -> None:
    to.state.limited_actions, to.state.remaining_actions = True, 1


@pytest.mark.invariant("I17")
@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (_other_times, "spec"),
        (_other_policy, "policies"),
        (_other_queue, "action"),
        (_other_argument, "action"),
        (_other_memo, "action"),
        (_no_attribute, "action"),
        (_a_timeout, "action"),
        (_a_limit, "state"),
    ],
)
async def test_whatever_is_edited_in_a_schedule_by_hand_is_put_back_and_told(
    rig: Rig, eventually: Eventually, client: Client, edit: Callable[[Schedule], None], part: str
) -> None:
    name = edit.__name__.strip("_").replace("_", "-")
    apply(rig.kubectl, NAMESPACE, goosejob(name, **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, name)
    before, to = await schedule(client, schedule_id(obj)), await schedule(client, schedule_id(obj))
    assert before is not None
    assert to is not None
    edit(to)
    await drift.edit(client, schedule_id(obj), to)
    assert f"({part})" in await restored(rig, eventually, name)

    async def put_back() -> bool:
        return await schedule(client, schedule_id(obj)) == before

    await eventually(put_back)


@pytest.mark.invariant("I17")
async def test_a_schedule_gets_back_what_it_is_found_by(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("nameless", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "nameless")
    found = await schedule(client, schedule_id(obj))
    assert found is not None
    await drift.edit(client, schedule_id(obj), found, SearchAttributes(indexed_fields={}))
    assert "(search attributes)" in await restored(rig, eventually, "nameless")

    async def attributed() -> bool:
        return await drift.attribute(client, schedule_id(obj)) == str(obj["metadata"]["uid"])

    await eventually(attributed)


async def test_a_change_of_the_spec_is_not_told_as_somebodys_edit(
    rig: Rig, eventually: Eventually, client: Client, quick: Handle
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("changed", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "changed")
    spec(rig, "changed", schedule="0 0 2 1 *", concurrencyPolicy="Allow", suspend=True)
    await suspended(rig, eventually, "changed", "Suspended")
    await resynced(quick, eventually)
    assert await state(client, obj) == (True, "goosejobs: suspend")
    assert "ScheduleRestored" not in told(rig.kubectl, NAMESPACE, "changed")


async def test_a_run_of_a_goosejob_that_is_not_there_starts_no_goose(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str
) -> None:
    """As one of another cluster that shares the Temporal namespace, and has a pool of the same name.

    Or as one of the cluster from whose backup the GooseJob was restored here: same name, other uid.
    """
    apply(rig.kubectl, NAMESPACE, ledger.goosejob("restored", pool, schedule="0 0 1 1 *"))
    obj = await ready(rig, eventually, "restored")
    found = await client.get_schedule_handle(schedule_id(obj)).describe()
    request = await schedules.argument(client, (await drift.describe(client, schedule_id(obj))).schedule)
    uid = "99999999-0000-0000-0000-000000000000"
    ref = request.goosejob.model_copy(update={"uid": uid})
    theirs = names.schedule_id(NAMESPACE, "restored", uid)
    action = found.schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    action.id, action.args = theirs, [request.model_copy(update={"goosejob": ref})]
    handle = await client.create_schedule(theirs, found.schedule, memo={"goosejobs-cluster": "another"})
    with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
        await handle.trigger()
        workflow = await eventually(lambda: _latest_run(client, theirs))
        with pytest.raises(WorkflowFailureError) as failure:
            await client.get_workflow_handle(workflow).result()
        assert isinstance(failure.value.cause, ApplicationError)
        assert failure.value.cause.type == "PoolRefused"
        assert "another cluster" in failure.value.cause.message
        ask(rig, "restored", RUN, "ours")
        await eventually(ledger.hanging)
        assert get(rig.kubectl, NAMESPACE, "restored")["status"]["active"][0]["trigger"] == "Manual"
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "restored", "--timeout=180s")
    assert await schedule(client, theirs) is not None
    await handle.delete()


async def _latest_run(client: Client, id_: str) -> str | None:
    found = (await drift.describe(client, id_)).info.recent_actions
    return found[-1].start_workflow_result.workflow_id if found else None


# what only looks like ours


@pytest.mark.parametrize("whose", ["another-cluster", "nobody", "ours-by-hand"])
async def test_what_only_looks_like_ours_is_left_alone(
    rig: Rig, eventually: Eventually, quick: Handle, client: Client, whose: str
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob(f"model-{whose}", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, f"model-{whose}")
    found = await client.get_schedule_handle(schedule_id(obj)).describe()
    cluster = json.loads(rig.kubectl("get", "namespace", "kube-system", "-o", "json").stdout)["metadata"][
        "uid"
    ]
    id_ = "goosejob/default/theirs/99999999-0000-0000-0000-000000000000"
    memo = {
        "another-cluster": {"goosejobs-cluster": "another"},
        "nobody": None,
        "ours-by-hand": {"goosejobs-cluster": cluster},
    }[whose]
    if whose == "ours-by-hand":  # somebody copied one, with all that it had, under a name of their own
        id_ = "goosejob/my-copy"
    handle = await client.create_schedule(
        id_, found.schedule, memo=memo, search_attributes=found.typed_search_attributes
    )
    await eventually(lambda: _listed(client, id_))
    await resynced(quick, eventually)
    assert await schedule(client, id_) is not None
    await handle.delete()


async def _listed(client: Client, id_: str) -> bool:
    return id_ in await schedules.schedule_ids(client)
