"""What somebody changes by hand past us: docs/drift.md has the rule for each."""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import IntervalSpec, Schedule
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    WorkflowFailureError,
)
from temporalio.client import ScheduleOverlapPolicy as ScheduleOverlap
from temporalio.exceptions import ApplicationError

from goosejobs.model import names
from support import drift, schedules
from support.drift import wipe_status, write_status
from support.events import told
from support.ledger import Ledger
from support.objects import Object, apply, condition, get, goosejob, is_true
from support.resyncs import resynced
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]

NOBODY: Object = {"execution": {"pool": "nobody"}}
YEARLY: Any = {"schedule": "0 0 1 1 *"}
NAMESPACE = "default"
RUN = "goosejobs.dev/run-requested"
KILL = "goosejobs.dev/kill-requested"


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


async def ready(rig: Rig, eventually: Eventually, name: str) -> Object:
    obj: Object = await eventually(
        lambda: (o := get(rig.kubectl, NAMESPACE, name)) and is_true(o, "Ready") and o
    )
    return obj


async def suspended(rig: Rig, eventually: Eventually, name: str, reason: str) -> None:
    """Wait until the condition Suspended says why."""

    def said() -> bool:
        found = condition(get(rig.kubectl, NAMESPACE, name), "Suspended")
        return found is not None and found["reason"] == reason

    await eventually(said)


def spec(rig: Rig, name: str, **fields: Any) -> None:
    """Change a spec."""
    patch = json.dumps({"spec": fields})
    rig.kubectl("patch", "-n", NAMESPACE, "gj", name, "--type=merge", "-p", patch)


def ask(rig: Rig, name: str, annotation: str, value: str) -> None:
    rig.kubectl("annotate", "-n", NAMESPACE, "--overwrite", "gj", name, f"{annotation}={value}")


async def answer(rig: Rig, eventually: Eventually, name: str, kind: str, token: str) -> Object:
    def given() -> Object | None:
        handled: Object = get(rig.kubectl, NAMESPACE, name)["status"]["handledRequests"][kind]
        return handled if handled["token"] == token and handled["answer"] != "Noted" else None

    found: Object = await eventually(given)
    return found


async def state(client: Client, obj: Object) -> tuple[bool, str] | None:
    """Whether its schedule is paused, and the note."""
    found = await schedule(client, schedule_id(obj))
    return None if found is None else (found.state.paused, found.state.notes)


async def runs(client: Client, obj: Object) -> list[str]:
    """The workflows that its schedule has started."""
    found = (await drift.describe(client, schedule_id(obj))).info
    return [each.start_workflow_result.workflow_id for each in found.recent_actions]


async def restored(rig: Rig, eventually: Eventually, name: str) -> str:
    """Wait for the Event that says so; its words."""
    found = await eventually(lambda: told(rig.kubectl, NAMESPACE, name)["ScheduleRestored"])
    assert found["type"] == "Warning"
    return str(found["message"])


# the schedule


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


# runs


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_run_that_is_reset_by_hand_never_has_two_gooses_and_one_record(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str, frozen: bool
) -> None:
    """The worker that had it may be frozen, so that its goose lives until the end of its lease."""
    with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1") as first:
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool))
        await eventually(ledger.hanging)
        workflow_id = f"{schedule_id(get(rig.kubectl, NAMESPACE, pool))}/once"
        with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
            if frozen:
                first.freeze()
            await drift.reset(client, workflow_id, 3)
            await eventually(lambda: ledger.hanging(2))
            assert ledger.entries("overlap") == []
            if frozen:
                first.thaw()
            status = get(rig.kubectl, NAMESPACE, pool)["status"]
            assert [run["id"] for run in status["active"]] == ["once"]
            ask(rig, pool, KILL, "once")
            last = await eventually(lambda: get(rig.kubectl, NAMESPACE, pool)["status"]["lastRun"])
    assert (last["outcome"], last["reason"]) == ("Killed", "Cancelled")
    status = get(rig.kubectl, NAMESPACE, pool)["status"]
    assert (status["active"], status["counts"]["killed"], len(status["recentRuns"])) == ([], 1, 1)
    assert not ledger.alive()


@pytest.mark.usefixtures("worker")
async def test_a_schedule_that_is_triggered_and_backfilled_by_hand_has_its_runs_recorded(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("triggered", schedule="30 12 1 1 *"))
    obj = await ready(rig, eventually, "triggered")
    handle = client.get_schedule_handle(schedule_id(obj))
    await handle.trigger()
    newest = await eventually(lambda: get(rig.kubectl, NAMESPACE, "triggered")["status"]["lastRun"])
    for _ in range(2):  # the same due time twice, as a person may
        before = get(rig.kubectl, NAMESPACE, "triggered")["status"]["recentRuns"][1:]
        await handle.backfill(
            ScheduleBackfill(
                start_at=datetime(2025, 12, 31, tzinfo=UTC),
                end_at=datetime(2026, 1, 2, tzinfo=UTC),
                overlap=ScheduleOverlap.BUFFER_ALL,
            )
        )
        await eventually(
            lambda before=before: (
                get(rig.kubectl, NAMESPACE, "triggered")["status"]["recentRuns"][1:] not in (before, [])
            )
        )
    status = get(rig.kubectl, NAMESPACE, "triggered")["status"]
    assert [run["id"] for run in status["recentRuns"]] == [newest["id"], "20260101-123000"]
    assert status["counts"]["succeeded"] == 2
    assert status["recentRuns"][1]["trigger"] == "Schedule"
    assert status["lastRun"] == newest


async def test_a_run_whose_workflow_is_deleted_by_hand_ends_and_is_told_as_lost(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str
) -> None:
    with rig.start_worker(pool=pool):
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool))
        await eventually(ledger.hanging)
        workflow_id = f"{schedule_id(get(rig.kubectl, NAMESPACE, pool))}/once"
        await drift.delete(client, workflow_id)
        last = await eventually(lambda: get(rig.kubectl, NAMESPACE, pool)["status"]["lastRun"])
        assert last["reason"] in {"Terminated", "WorkflowLost"}  # it is terminated first, and goes then
        await eventually(lambda: not ledger.alive())
        obj = await ready(rig, eventually, pool)
        assert (obj["status"]["phase"], len(ledger.entries("agent"))) == ("Completed", 1)


async def test_a_run_whose_schedule_is_deleted_by_hand_is_not_overtaken_by_the_next_one(
    rig: Rig, eventually: Eventually, client: Client, ledger: Ledger, pool: str
) -> None:
    """The schedule that is made anew does not know of it."""
    with rig.start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="1"):
        apply(rig.kubectl, NAMESPACE, ledger.goosejob(pool, pool, schedule="0 0 1 1 *"))
        obj = await ready(rig, eventually, pool)
        ask(rig, pool, RUN, "1")
        await eventually(ledger.hanging)
        await client.get_schedule_handle(schedule_id(obj)).delete()
        await restored(rig, eventually, pool)
        ask(rig, pool, RUN, "2")
        assert (await answer(rig, eventually, pool, "run", "2"))["answer"] == "Started"
        await eventually(lambda: len(get(rig.kubectl, NAMESPACE, pool)["status"]["active"]) == 2)
        first = get(rig.kubectl, NAMESPACE, pool)["status"]["active"][0]["id"]
        assert ledger.hanging()
        ask(rig, pool, KILL, first)
        await eventually(lambda: ledger.hanging(2))
        assert ledger.entries("overlap") == []
        rig.kubectl("delete", "-n", NAMESPACE, "gj", pool, "--timeout=60s")


@pytest.mark.usefixtures("worker")
async def test_a_run_that_is_reset_after_its_end_has_one_record_of_what_came_last(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("again", "stub: answer once"))
    obj = await eventually(
        lambda: (o := get(rig.kubectl, NAMESPACE, "again")) and o["status"]["lastRun"] and o
    )
    first = obj["status"]["lastRun"]
    await drift.reset(client, f"{schedule_id(obj)}/once", 3)
    last = await eventually(
        lambda: (r := get(rig.kubectl, NAMESPACE, "again")["status"]["lastRun"]) and r != first and r
    )
    assert (last["id"], last["outcome"]) == ("once", "Succeeded")
    status = get(rig.kubectl, NAMESPACE, "again")["status"]
    assert (status["counts"]["succeeded"], len(status["recentRuns"])) == (1, 1)


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
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "restored", "--timeout=60s")
    assert await schedule(client, theirs) is not None
    await handle.delete()


async def _latest_run(client: Client, id_: str) -> str | None:
    found = (await drift.describe(client, id_)).info.recent_actions
    return found[-1].start_workflow_result.workflow_id if found else None


# the status


@pytest.mark.usefixtures("worker")
async def test_a_stale_entry_of_a_run_on_record_goes_and_the_record_stays(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("stale", "stub: answer done"))
    before = await eventually(
        lambda: (s := get(rig.kubectl, NAMESPACE, "stale")["status"]) and s["lastRun"] and s
    )
    obj = await ready(rig, eventually, "stale")
    entry = {
        "id": "once",
        "workflowId": f"{schedule_id(obj)}/once",
        "trigger": "Once",
        "startTime": before["lastRun"]["startTime"],
    }
    write_status(
        rig.kubectl, NAMESPACE, "stale", {"op": "replace", "path": "/status/active", "value": [entry]}
    )
    await eventually(lambda: get(rig.kubectl, NAMESPACE, "stale")["status"]["active"] == [])
    after = get(rig.kubectl, NAMESPACE, "stale")["status"]
    assert (after["lastRun"], after["counts"]) == (before["lastRun"], before["counts"])
    assert "RunUnknown" not in told(rig.kubectl, NAMESPACE, "stale")


@pytest.mark.usefixtures("worker")
async def test_a_stale_entry_of_a_run_without_a_record_is_recorded_as_temporal_tells_its_end(
    rig: Rig, eventually: Eventually
) -> None:
    """As when etcd was restored from a backup that was made while the run was active."""
    apply(rig.kubectl, NAMESPACE, goosejob("older", "stub: answer done", **YEARLY))
    obj = await ready(rig, eventually, "older")
    ask(rig, "older", RUN, "1")
    before = await eventually(lambda: get(rig.kubectl, NAMESPACE, "older")["status"]["lastRun"])
    stem = schedule_id(obj)
    entry = {key: before[key] for key in ("id", "trigger", "scheduledTime", "startTime")}
    entry["workflowId"] = f"{stem}-{before['scheduledTime']}"
    await answer(rig, eventually, "older", "run", "1")
    write_status(
        rig.kubectl,
        NAMESPACE,
        "older",
        {"op": "replace", "path": "/status/active", "value": [entry]},
        {"op": "remove", "path": "/status/lastRun"},
        {"op": "remove", "path": "/status/recentRuns"},
        {"op": "replace", "path": "/status/counts/succeeded", "value": 0},
    )
    after = await eventually(lambda: get(rig.kubectl, NAMESPACE, "older")["status"]["lastRun"])
    same = ("id", "outcome", "reason", "startTime", "finishTime")
    assert [after[key] for key in same] == [before[key] for key in same]
    assert get(rig.kubectl, NAMESPACE, "older")["status"]["counts"]["succeeded"] == 1


async def test_a_stale_entry_of_a_run_that_nobody_knows_is_closed_as_lost(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("unknown", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "unknown")
    entry = {
        "id": "20260101-080000",
        "workflowId": f"{schedule_id(obj)}-2026-01-01T08:00:00Z",
        "trigger": "Schedule",
        "startTime": "2026-01-01T08:00:00Z",
    }
    write_status(rig.kubectl, NAMESPACE, "unknown", {"op": "add", "path": "/status/active", "value": [entry]})
    last = await eventually(lambda: get(rig.kubectl, NAMESPACE, "unknown")["status"]["lastRun"])
    assert (last["id"], last["outcome"], last["reason"]) == ("20260101-080000", "Unknown", "WorkflowLost")
    assert "not known to Temporal" in last["message"]
    assert get(rig.kubectl, NAMESPACE, "unknown")["status"]["active"] == []
    await eventually(lambda: "RunUnknown" in told(rig.kubectl, NAMESPACE, "unknown"))


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("prompt", "outcome", "reason"),
    [("stub: answer done", "Succeeded", "Completed"), ("stub: status 401", "Failed", "ProviderAuth")],
)
async def test_a_run_once_whose_status_is_wiped_does_not_run_again_and_how_it_ended_is_told_anew(
    rig: Rig, eventually: Eventually, client: Client, quick: Handle, prompt: str, outcome: str, reason: str
) -> None:
    name = f"wiped-{outcome.lower()}"
    apply(rig.kubectl, NAMESPACE, goosejob(name, prompt))
    await eventually(lambda: get(rig.kubectl, NAMESPACE, name)["status"]["lastRun"])
    obj = await ready(rig, eventually, name)
    before = await client.get_workflow_handle(f"{schedule_id(obj)}/once").describe()
    wipe_status(rig.kubectl, NAMESPACE, name)
    last = await eventually(lambda: get(rig.kubectl, NAMESPACE, name)["status"]["lastRun"])
    assert (last["outcome"], last["reason"]) == (outcome, reason)
    assert last["finishTime"] == obj["status"]["lastRun"]["finishTime"]
    obj = await ready(rig, eventually, name)
    assert (obj["status"]["phase"], "completionTime" in obj["status"]) == ("Completed", True)
    await resynced(quick, eventually)
    after = await client.get_workflow_handle(f"{schedule_id(obj)}/once").describe()
    assert after.run_id == before.run_id


async def test_a_status_that_is_wiped_is_told_anew_at_once_and_changes_nothing_in_temporal(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    """Not at a resync: this operator's next one is an hour away."""
    with rig.start_operator(
        GOOSEJOBS_RESYNC_SECONDS="3600", GOOSEJOBS_LEASE_NAME="slow", GOOSEJOBS_NAMESPACES="slow"
    ):
        rig.kubectl("create", "namespace", "slow")
        job = goosejob("wiped", maxRuns=5, **YEARLY, **NOBODY)
        job["metadata"]["annotations"] = {RUN: "in-git"}
        apply(rig.kubectl, "slow", job)
        obj = await eventually(lambda: (o := get(rig.kubectl, "slow", "wiped")) and is_true(o, "Ready") and o)
        await client.get_schedule_handle(schedule_id(obj)).pause(note="maintenance")
        before = await schedule(client, schedule_id(obj))
        wipe_status(rig.kubectl, "slow", "wiped")
        obj = await eventually(lambda: (o := get(rig.kubectl, "slow", "wiped")) and is_true(o, "Ready") and o)
        assert obj["status"]["handledRequests"]["run"]["answer"] == "NotNew"
        assert is_true(obj, "Suspended")
        assert await schedule(client, schedule_id(obj)) == before
        assert await runs(client, obj) == []


@pytest.mark.usefixtures("worker")
async def test_a_last_run_that_is_removed_and_counts_that_are_edited_are_gone_on_from(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("edited", **YEARLY))
    await ready(rig, eventually, "edited")
    ask(rig, "edited", RUN, "1")
    first = await eventually(lambda: get(rig.kubectl, NAMESPACE, "edited")["status"]["lastRun"])
    write_status(
        rig.kubectl,
        NAMESPACE,
        "edited",
        {"op": "remove", "path": "/status/lastRun"},
        {"op": "replace", "path": "/status/counts/succeeded", "value": 40},
    )
    ask(rig, "edited", RUN, "2")
    last = await eventually(lambda: get(rig.kubectl, NAMESPACE, "edited")["status"]["lastRun"])
    assert last["id"] != first["id"]
    status = get(rig.kubectl, NAMESPACE, "edited")["status"]
    assert status["counts"]["succeeded"] == 41
    assert [run["id"] for run in status["recentRuns"]] == [last["id"], first["id"]]


# requests, finalizer, annotations


@pytest.mark.parametrize("removed", ["/status/handledRequests", "/status/handledRequests/run"])
async def test_what_was_asked_for_and_answered_is_not_done_again_when_the_answer_is_removed(
    rig: Rig, eventually: Eventually, client: Client, removed: str
) -> None:
    name = f"answered-{removed.rpartition('/')[2].lower()}"
    apply(rig.kubectl, NAMESPACE, goosejob(name, concurrencyPolicy="Allow", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, name)
    ask(rig, name, RUN, "once-only")
    await answer(rig, eventually, name, "run", "once-only")
    started = await runs(client, obj)
    write_status(rig.kubectl, NAMESPACE, name, {"op": "remove", "path": removed})
    said = await answer(rig, eventually, name, "run", "once-only")
    assert said["answer"] == ("NotNew" if removed.endswith("Requests") else "Refused")
    assert await runs(client, obj) == started
    ask(rig, name, RUN, "twice")
    assert (await answer(rig, eventually, name, "run", "twice"))["answer"] == "Started"


async def test_an_annotation_that_is_removed_and_put_back_asks_for_nothing(
    rig: Rig, eventually: Eventually, client: Client, quick: Handle
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("annotated", concurrencyPolicy="Allow", **YEARLY, **NOBODY))
    obj = await ready(rig, eventually, "annotated")
    ask(rig, "annotated", RUN, "t")
    await answer(rig, eventually, "annotated", "run", "t")
    started = await runs(client, obj)
    rig.kubectl("annotate", "-n", NAMESPACE, "gj", "annotated", f"{RUN}-")
    await resynced(quick, eventually)
    ask(rig, "annotated", RUN, "t")
    await resynced(quick, eventually)
    assert await runs(client, obj) == started


@pytest.mark.parametrize("kind", ["served", "stalled", "started"])
async def test_a_finalizer_that_is_removed_by_hand_is_put_back_and_nothing_else_changes(
    rig: Rig, eventually: Eventually, client: Client, kind: str
) -> None:
    name = f"unguarded-{kind}"
    apply(rig.kubectl, NAMESPACE, goosejob(name, **({} if kind == "started" else YEARLY), **NOBODY))
    obj = await ready(rig, eventually, name)
    if kind == "stalled":
        spec(rig, name, schedule="61 * * * *")
        await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, name), "Stalled"))
    before = await schedule(client, schedule_id(obj))
    rig.kubectl(
        "patch", "-n", NAMESPACE, "gj", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    await eventually(lambda: get(rig.kubectl, NAMESPACE, name)["metadata"]["finalizers"] == [names.FINALIZER])
    assert await schedule(client, schedule_id(obj)) == before
    assert get(rig.kubectl, NAMESPACE, name)["status"]["scheduleId"] == obj["status"]["scheduleId"]
    assert "ScheduleRestored" not in told(rig.kubectl, NAMESPACE, name)


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
