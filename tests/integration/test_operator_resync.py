"""What no event tells of is found by the next resync, and a look that finds nothing writes nothing."""

import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from temporalio.api.schedule.v1 import Schedule
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from support import audit, schedules
from support.events import told
from support.objects import Object, apply, condition, get, goosejob, is_true
from support.resyncs import metric, resynced
from support.rig import Handle, Rig
from support.schedules import argument, schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]

NOBODY: Object = {"execution": {"pool": "nobody"}}
NAMESPACE = "default"
RECIPE = {"version": "1.0.0", "title": "t", "description": "d", "prompt": "p"}


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module", autouse=True)
def quick(rig: Rig) -> Iterator[Handle]:
    """An operator that looks at everything every second."""
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1") as handle:
        yield handle


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


async def ready(rig: Rig, eventually: Eventually, name: str) -> Object:
    obj: Object = await eventually(
        lambda: (o := get(rig.kubectl, NAMESPACE, name)) and is_true(o, "Ready") and o, timeout=90
    )
    return obj


@pytest.mark.invariant("I17")
async def test_a_schedule_deleted_by_hand_comes_back(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("deleted", schedule="0 8 * * *", **NOBODY))
    obj = await ready(rig, eventually, "deleted")
    await client.get_schedule_handle(schedule_id(obj)).delete()
    await eventually(lambda: schedule(client, schedule_id(obj)))


@pytest.mark.invariant("I17")
async def test_a_schedule_edited_by_hand_is_set_right_and_a_pause_is_kept(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("edited", schedule="0 8 * * *", **NOBODY))
    obj = await ready(rig, eventually, "edited")
    before = await schedule(client, schedule_id(obj))
    assert before is not None

    def edit(told: ScheduleUpdateInput) -> ScheduleUpdate:
        found = told.description.schedule
        found.spec = ScheduleSpec(cron_expressions=["* * * * *"])
        found.policy.overlap = ScheduleOverlapPolicy.ALLOW_ALL
        found.state.paused, found.state.note = True, "hands off"
        return ScheduleUpdate(schedule=found)

    await client.get_schedule_handle(schedule_id(obj)).update(edit)

    async def set_right() -> Schedule | None:
        now = await schedule(client, schedule_id(obj))
        edited = now is not None and now.state.notes != before.state.notes
        right = now is not None and (now.spec, now.policies) == (before.spec, before.policies)
        return now if edited and right else None

    now = await eventually(set_right)
    assert (now.state.paused, now.state.notes) == (True, "hands off")
    await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, "edited"), "Suspended"))
    await client.get_schedule_handle(schedule_id(obj)).unpause()
    await eventually(lambda: not is_true(get(rig.kubectl, NAMESPACE, "edited"), "Suspended"))
    reasons = {"ScheduleRestored", "SchedulePausedInTemporal", "Resumed"}
    await eventually(lambda: set(told(rig.kubectl, NAMESPACE, "edited")) == reasons)


@pytest.mark.invariant("I17")
async def test_what_is_left_of_a_goosejob_that_went_without_us_is_swept(
    rig: Rig, eventually: Eventually, client: Client, quick: Handle
) -> None:
    apply(
        rig.kubectl,
        NAMESPACE,
        goosejob("torn", schedule="0 8 * * *", **NOBODY),
        goosejob("torn-often", schedule="@every 2s", **NOBODY),
        goosejob("torn-once", **NOBODY),
    )
    left = [await ready(rig, eventually, name) for name in ("torn", "torn-often", "torn-once")]
    due = await eventually(lambda: _latest_run(client, schedule_id(left[1])))
    runs = [client.get_workflow_handle(id_) for id_ in (due, f"{schedule_id(left[2])}/once")]
    quick.freeze()
    for obj in left:
        name = obj["metadata"]["name"]
        rig.kubectl("patch", "gj", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        rig.kubectl("delete", "gj", name, "--timeout=180s")
    quick.thaw()
    await eventually(lambda: _gone(client, schedule_id(left[0])))

    async def asked_to_end() -> bool:
        ends = [
            (await run.describe()).close_time or "CANCEL_REQUESTED" in str((await run.fetch_history()).events)
            for run in runs
        ]
        return all(ends)

    await eventually(asked_to_end)


async def _latest_run(client: Client, id_: str) -> str | None:
    actions = (await client.get_schedule_handle(id_).describe()).info.running_actions
    last = actions[-1] if actions else None
    return last.workflow_id if isinstance(last, ScheduleActionExecutionStartWorkflow) else None


async def _gone(client: Client, id_: str) -> bool:
    return await schedule(client, id_) is None


@pytest.mark.invariant("I17")
async def test_what_another_cluster_has_in_the_same_temporal_is_not_touched(
    rig: Rig, eventually: Eventually, quick: Handle, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("model", schedule="0 8 * * *", **NOBODY))
    obj = await ready(rig, eventually, "model")
    found = await client.get_schedule_handle(schedule_id(obj)).describe()
    foreign = "goosejob/default/theirs/99999999-0000-0000-0000-000000000000"
    handle = await client.create_schedule(
        foreign,
        found.schedule,
        memo={"goosejobs-cluster": "another"},
        search_attributes=found.typed_search_attributes,
    )
    await eventually(lambda: _listed(client, foreign))
    await resynced(quick, eventually, 2)
    assert await schedule(client, foreign) is not None
    await handle.delete()


async def _listed(client: Client, id_: str) -> bool:
    return id_ in await schedules.schedule_ids(client)


async def test_a_changed_config_map_without_our_label_is_noticed(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    def text(prompt: str) -> str:
        return json.dumps({**RECIPE, "prompt": prompt})

    rig.kubectl("create", "configmap", "plain", f"--from-literal=a.json={text('first')}")
    recipe = {"configMapKeyRef": {"name": "plain", "key": "a.json"}}
    apply(rig.kubectl, NAMESPACE, goosejob("plain", schedule="0 8 * * *", recipe=recipe, **NOBODY))
    obj = await ready(rig, eventually, "plain")
    change = json.dumps({"data": {"a.json": text("second")}})
    rig.kubectl("patch", "configmap", "plain", "--type=merge", "-p", change)

    async def prompt() -> bool:
        found = await schedule(client, schedule_id(obj))
        assert found is not None
        return bool(json.loads((await argument(client, found)).recipe.text)["prompt"] == "second")

    await eventually(prompt)
    await eventually(
        lambda: (
            get(rig.kubectl, NAMESPACE, "plain")["status"]["recipeDigest"] != obj["status"]["recipeDigest"]
        )
    )


@pytest.mark.parametrize("end", ["terminate", "forget"])
async def test_the_record_of_a_run_whose_workflow_is_gone_is_closed(
    rig: Rig, eventually: Eventually, client: Client, end: str
) -> None:
    name = f"{end}-once"
    apply(rig.kubectl, NAMESPACE, goosejob(name, **NOBODY))
    obj = await ready(rig, eventually, name)
    workflow_id = f"{schedule_id(obj)}/once"
    run = {"id": "once", "workflowId": workflow_id, "trigger": "Once", "startTime": "2026-01-01T00:00:00Z"}
    if end == "forget":
        run["workflowId"] = "no-such-workflow"
    announced = json.dumps({"status": {"active": [run], "phase": "Running"}})
    rig.kubectl("patch", "gj", name, "--subresource=status", "--type=merge", "-p", announced)
    await client.get_workflow_handle(workflow_id).terminate(reason="by hand")
    obj = await eventually(
        lambda: (
            (o := get(rig.kubectl, NAMESPACE, name))
            and o["status"].get("lastRun")
            and condition(o, "Ready")["reason"] == "Completed"  # type: ignore[index]
            and o
        ),
        timeout=90,
    )
    record = obj["status"]["lastRun"]
    how = ("Killed", "Terminated") if end == "terminate" else ("Unknown", "WorkflowLost")
    assert (record["outcome"], record["reason"]) == how
    assert obj["status"]["active"] == []
    assert (is_true(obj, "Ready"), obj["status"]["phase"]) == (True, "Completed")
    event = "RunTerminated" if end == "terminate" else "RunUnknown"
    await eventually(lambda: event in told(rig.kubectl, NAMESPACE, name))


async def test_a_run_once_that_is_on_record_is_never_started_again(
    rig: Rig, eventually: Eventually, quick: Handle, client: Client
) -> None:
    """As after the workflow's retention, or in a Temporal that lost its data."""
    rig.kubectl("create", "namespace", "restored")
    apply(rig.kubectl, "restored", goosejob("once", suspend=True, **NOBODY))
    await eventually(lambda: is_true(get(rig.kubectl, "restored", "once"), "Suspended"))
    done = json.dumps({"status": {"completionTime": "2026-01-01T00:00:00Z"}})
    rig.kubectl("patch", "-n", "restored", "gj", "once", "--subresource=status", "--type=merge", "-p", done)
    rig.kubectl("patch", "-n", "restored", "gj", "once", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    obj = await eventually(
        lambda: (
            (o := get(rig.kubectl, "restored", "once"))
            and condition(o, "Ready")["reason"] == "Completed"  # type: ignore[index]
            and o
        ),
        timeout=90,
    )
    await resynced(quick, eventually, 2)
    assert not await schedules.open_runs(client, schedule_id(obj))


@pytest.mark.invariant("I19")
async def test_looking_again_and_again_writes_nothing(
    rig: Rig, eventually: Eventually, quick: Handle
) -> None:
    jobs = [goosejob(f"idle-{n}", schedule="0 8 1 1 *", **NOBODY) for n in range(10)]
    bad = goosejob("idle-bad", schedule="61 * * * *", **NOBODY)
    apply(rig.kubectl, NAMESPACE, *jobs, bad)
    for n in range(10):
        await ready(rig, eventually, f"idle-{n}")
    await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, "idle-bad"), "Stalled"))
    await resynced(quick, eventually, 2)
    before = _writes(rig)
    assert before > 0
    await resynced(quick, eventually, 5)
    assert _writes(rig) == before


def _writes(rig: Rig) -> int:
    """How often anything was asked of the API server that changes one of the idle GooseJobs.

    Others, of the tests before, may still be on their way, or be due at this very moment.
    """
    asked = [event["objectRef"] for event in audit.events(rig.audit_log, '"idle-')]
    return sum(1 for of in asked if of["resource"] == "goosejobs" and of.get("name", "").startswith("idle-"))


async def test_what_did_not_run_because_a_run_was_active_is_counted(
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("busy", schedule="@every 1s", **NOBODY))
    obj = await ready(rig, eventually, "busy")
    await eventually(
        lambda: get(rig.kubectl, NAMESPACE, "busy")["status"]["counts"]["skipped"] >= 3, timeout=90
    )
    rig.kubectl("delete", "gj", "busy", "--timeout=180s")
    assert await schedule(client, schedule_id(obj)) is None


async def test_workers_that_come_are_noticed_on_every_goosejob_of_their_pool(
    rig: Rig, eventually: Eventually
) -> None:
    pool: Object = {"execution": {"pool": "late"}}
    for n in range(3):
        apply(rig.kubectl, NAMESPACE, goosejob(f"late-{n}", schedule="0 8 1 1 *", **pool))
    for n in range(3):
        obj = await ready(rig, eventually, f"late-{n}")
        assert not is_true(obj, "WorkersAvailable")
    with rig.start_worker(pool="late"):
        for n in range(3):
            await eventually(
                lambda n=n: is_true(get(rig.kubectl, NAMESPACE, f"late-{n}"), "WorkersAvailable"), timeout=90
            )


async def test_the_operator_tells_how_it_is(rig: Rig, eventually: Eventually, quick: Handle) -> None:
    def answer(path: str) -> Object:
        try:
            with urllib.request.urlopen(f"http://{quick.address}{path}", timeout=60) as got:
                told: Object = json.loads(got.read())
        except urllib.error.HTTPError as error:  # it is not ready yet
            told = json.loads(error.read())
        return told

    await eventually(lambda: answer("/readyz") == {"status": "ok"})
    assert answer("/healthz") == {"status": "ok"}
    apply(rig.kubectl, NAMESPACE, goosejob("counted", schedule="0 8 1 1 *", **NOBODY))
    await ready(rig, eventually, "counted")
    await eventually(lambda: metric(quick, 'goosejobs_objects{phase="Active"}') >= 1)
    await eventually(lambda: metric(quick, 'goosejobs_reconciles_total{result="ok"}') > 0)
    assert metric(quick, 'goosejobs_temporal_call_seconds_count{call="create_schedule"}') > 0
    await eventually(lambda: metric(quick, "goosejobs_temporal_up") == 1)
