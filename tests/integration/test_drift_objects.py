"""What somebody changes in a GooseJob's status and metadata: docs/drift.md has the rules."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from goosejobs.model import names
from support import schedules
from support.drift import wipe_status, write_status
from support.drifting import NAMESPACE, NOBODY, RUN, YEARLY, answer, ask, ready, runs, spec
from support.events import told
from support.objects import apply, get, goosejob, is_true
from support.resyncs import resynced
from support.rig import Handle, Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module", autouse=True)
def quick(rig: Rig) -> Iterator[Handle]:
    """An operator that looks at everything of one namespace every second."""
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1", GOOSEJOBS_NAMESPACES=NAMESPACE) as handle:
        yield handle


@pytest.fixture(scope="module")
def worker(rig: Rig) -> Iterator[Handle]:
    with rig.start_worker() as handle:
        yield handle


@pytest.fixture
async def client(rig: Rig) -> Client:
    return await schedules.connect(rig.temporal_address)


@pytest.mark.usefixtures("worker")
async def test_a_stale_entry_of_a_run_on_record_goes_and_the_record_stays(
    rig: Rig, eventually: Eventually
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("stale", "stub: answer done"))
    await eventually(lambda: get(rig.kubectl, NAMESPACE, "stale")["status"]["lastRun"])
    obj = await ready(rig, eventually, "stale")
    before = obj["status"]
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
    """Not at a resync: this operator's next one is an hour away, and no other serves the namespace."""
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
    rig: Rig, eventually: Eventually, client: Client
) -> None:
    apply(rig.kubectl, NAMESPACE, goosejob("edited", **YEARLY))
    obj = await ready(rig, eventually, "edited")
    ask(rig, "edited", RUN, "1")
    first = await eventually(lambda: get(rig.kubectl, NAMESPACE, "edited")["status"]["lastRun"])
    await eventually(lambda: schedules.idle(client, obj))  # until then its record could be written again
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
    started = await eventually(lambda: runs(client, obj))
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
    started = await eventually(lambda: runs(client, obj))
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
