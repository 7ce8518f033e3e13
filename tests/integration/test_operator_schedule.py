"""What a GooseJob becomes in Temporal, and what stands on it: real API server, Temporal and operator."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import Schedule
from temporalio.client import Client

from support import schedules
from support.lifecycle_watch import Recording
from support.objects import Kubectl, Object, apply, condition, get, goosejob, is_true
from support.rig import Handle, Rig
from support.schedules import argument, schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("operator")

NOBODY: Object = {"execution": {"pool": "nobody"}}


async def ready(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    obj: Object = await eventually(
        lambda: (o := get(kubectl, namespace, name)) and is_true(o, "Ready") and o, timeout=90
    )
    return obj


async def test_a_schedule_holds_all_that_the_spec_says(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    job = goosejob(
        "nightly",
        "Say {{ what }}",
        schedule="30 2 * * 1-5",
        timeZone="Europe/Paris",
        concurrencyPolicy="Queue",
        startingDeadlineSeconds=77,
        activeDeadlineSeconds=66,
        parameters=[{"name": "what", "value": "{{ literally }}"}],
        **NOBODY,
    )
    job["spec"]["recipe"]["inline"]["parameters"] = [
        {"key": "what", "input_type": "string", "requirement": "required", "description": "d"}
    ]
    apply(kubectl, namespace, job)
    obj = await ready(kubectl, eventually, namespace, "nightly")
    found = await schedule(client, schedule_id(obj))
    assert found is not None
    (calendar,) = found.spec.structured_calendar
    assert (calendar.minute[0].start, calendar.hour[0].start, found.spec.timezone_name) == (
        30,
        2,
        "Europe/Paris",
    )
    assert not found.spec.cron_string
    assert [each.comment for each in found.spec.exclude_structured_calendar] == [
        "not named by the schedule"
    ] * 2
    assert found.policies.overlap_policy == ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL
    assert found.policies.catchup_window.seconds == 77
    assert found.action.start_workflow.task_queue.name == "goosejobs-nobody"
    asked = await argument(client, found)
    assert (asked.generation, asked.active_deadline_seconds) == (1, 66)
    assert json.loads(asked.recipe.text)["prompt"] == "Say {{ what }}"
    assert [p.value for p in asked.parameters] == ["{{ literally }}"]
    status = obj["status"]
    assert (status["scheduleId"], status["recipeDigest"]) == (schedule_id(obj), asked.recipe.digest)
    assert status["displaySchedule"] == "30 2 * * 1-5"
    assert is_true(obj, "WorkersAvailable") is False


async def test_a_schedule_begins_ends_leaves_days_out_and_spreads_its_starts(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    window = {"startTime": "2090-01-01T00:00:00+01:00", "endTime": "2091-01-01T00:00:00Z"}
    job = goosejob(
        "window",
        schedule="0 8 * * *",
        **window,
        jitterSeconds=90,
        skipDates=["2090-01-01", "2090-01-02"],
        **NOBODY,
    )
    apply(kubectl, namespace, job)
    obj = await ready(kubectl, eventually, namespace, "window")
    assert obj["status"]["nextScheduleTime"] == "2090-01-03T08:00:00Z"
    found = await schedule(client, schedule_id(obj))
    assert found is not None
    spec = found.spec
    assert (spec.start_time.ToJsonString(), spec.end_time.ToJsonString(), spec.jitter.seconds) == (
        "2089-12-31T23:00:00Z",
        "2091-01-01T00:00:00Z",
        90,
    )
    (off,) = spec.exclude_structured_calendar
    assert (off.year[0].start, off.month[0].start, off.day_of_month[0].start, off.day_of_month[0].end) == (
        2090, 1, 1, 2
    )  # fmt: skip


async def test_a_goosejob_whose_end_has_passed_is_completed_and_has_no_schedule(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, goosejob("over", schedule="@daily", endTime="2020-01-01T00:00:00Z", **NOBODY))
    obj = await ready(kubectl, eventually, namespace, "over")
    status = obj["status"]
    assert (status["phase"], status["nextScheduleTime"]) == ("Completed", "")
    ready_condition = condition(obj, "Ready")
    assert ready_condition is not None
    assert ready_condition["reason"] == "Completed"
    assert await schedule(client, schedule_id(obj)) is None


async def test_an_update_changes_the_one_schedule(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, goosejob("a", schedule="0 8 * * *", **NOBODY))
    before = await ready(kubectl, eventually, namespace, "a")
    apply(kubectl, namespace, goosejob("a", "new", schedule="0 9 * * *", suspend=True, **NOBODY))
    after = await ready(kubectl, eventually, namespace, "a")
    assert schedule_id(before) == schedule_id(after)
    found = await schedule(client, schedule_id(after))
    assert found is not None
    assert found.spec.structured_calendar[0].hour[0].start == 9
    assert (found.state.paused, found.state.notes) == (True, "goosejobs: suspend")
    assert (await argument(client, found)).generation == 2
    assert is_true(after, "Suspended")


async def test_a_pause_made_in_temporal_survives_changes_of_the_spec(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, goosejob("a", schedule="0 8 * * *", **NOBODY))
    obj = await ready(kubectl, eventually, namespace, "a")
    await client.get_schedule_handle(schedule_id(obj)).pause(note="maintenance")
    for suspend in (False, True, False):
        apply(kubectl, namespace, goosejob("a", schedule="0 9 * * *", suspend=suspend, **NOBODY))
        obj = await ready(kubectl, eventually, namespace, "a")
        found = await schedule(client, schedule_id(obj))
        assert found is not None
        assert (found.state.paused, found.state.notes) == (True, "maintenance")
        assert found.spec.structured_calendar[0].hour[0].start == 9
    told = condition(obj, "Suspended")
    assert told is not None
    assert (told["status"], told["reason"]) == ("True", "PausedInTemporal")
    assert "maintenance" in told["message"]
    assert (obj["status"]["phase"], obj["status"]["nextScheduleTime"]) == ("Paused", "")


async def test_suspend_works_while_the_recipe_is_missing(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    recipe = {"configMapKeyRef": {"name": "recipes", "key": "a.json"}}
    text = json.dumps({"version": "1.0.0", "title": "t", "description": "d", "prompt": "p"})
    kubectl("create", "-n", namespace, "configmap", "recipes", f"--from-literal=a.json={text}")
    apply(kubectl, namespace, goosejob("a", schedule="0 8 * * *", recipe=recipe, **NOBODY))
    obj = await ready(kubectl, eventually, namespace, "a")
    kubectl("delete", "-n", namespace, "configmap", "recipes")
    kubectl("patch", "-n", namespace, "gj", "a", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "a")) and is_true(o, "Stalled") and o, timeout=90
    )
    stalled = condition(obj, "Stalled")
    assert stalled is not None
    assert "recipes" in stalled["message"]
    assert "Until this is mended, its schedule " in stalled["message"]

    async def is_paused() -> Schedule | None:
        found = await schedule(client, schedule_id(obj))
        return found if found and found.state.paused else None

    found = await eventually(is_paused)
    assert (await argument(client, found)).generation == 1


async def test_a_missing_config_map_is_taken_up_when_it_comes(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    recipe = {"configMapKeyRef": {"name": "recipes", "key": "a.json"}}
    apply(kubectl, namespace, goosejob("a", schedule="0 8 * * *", recipe=recipe, **NOBODY))
    await eventually(lambda: is_true(get(kubectl, namespace, "a"), "Stalled"))
    text = json.dumps({"version": "1.0.0", "title": "t", "description": "d", "prompt": "p"})
    recipes = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "recipes", "labels": {"goosejobs.dev/recipe": ""}},
        "data": {"a.json": text},
    }
    apply(kubectl, namespace, recipes)
    obj = await ready(kubectl, eventually, namespace, "a")
    assert condition(obj, "Stalled") is None


@pytest.mark.invariant("I16")
async def test_an_object_made_anew_under_the_name_inherits_nothing(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, goosejob("a", "old", schedule="0 8 * * *", suspend=True, **NOBODY))
    old = await ready(kubectl, eventually, namespace, "a")
    kubectl("delete", "-n", namespace, "gj", "a", "--timeout=180s")
    apply(kubectl, namespace, goosejob("a", "new", schedule="0 9 * * *", **NOBODY))
    new = await ready(kubectl, eventually, namespace, "a")
    assert await schedule(client, schedule_id(old)) is None
    found = await schedule(client, schedule_id(new))
    assert found is not None
    assert not found.state.paused
    assert json.loads((await argument(client, found)).recipe.text)["prompt"] == "new"


@pytest.mark.invariant("I15")
async def test_a_deletion_without_any_worker_ends_and_leaves_no_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, goosejob("once", **NOBODY))
    obj = await ready(kubectl, eventually, namespace, "once")
    kubectl("delete", "-n", namespace, "gj", "once", "--timeout=180s")
    found = await client.get_workflow_handle(f"{schedule_id(obj)}/once").describe()
    assert found.close_time is not None


@pytest.mark.invariant("I15")
async def test_a_namespace_can_go(
    kubectl: Kubectl, eventually: Eventually, platform: Rig, client: Client
) -> None:
    kubectl("create", "namespace", "going")
    try:
        jobs = [goosejob(f"job-{n}", schedule="0 8 * * *", **NOBODY) for n in range(5)]
        apply(kubectl, "going", *jobs, goosejob("once", **NOBODY))
        for n in range(5):
            await ready(kubectl, eventually, "going", f"job-{n}")
    finally:
        kubectl("delete", "namespace", "going", "--timeout=300s")
    assert platform.kubectl("get", "namespace", "going", check=False).returncode != 0
    await eventually(lambda: _none_left(client, "goosejob/going/"))


async def _none_left(client: Client, prefix: str) -> bool:
    return not await schedules.schedule_ids(client, prefix) and not await schedules.open_runs(client, prefix)


async def test_a_recipe_in_the_pools_folder_waits_for_a_worker_and_is_kept_by_value(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    client: Client,
    platform: Rig,
    start_worker: Callable[..., Handle],
) -> None:
    pool = namespace
    name = f"{namespace}.yaml"
    apply(
        kubectl,
        namespace,
        goosejob("a", schedule="0 8 * * *", recipe={"path": name}, execution={"pool": pool}),
    )
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "a")) and is_true(o, "Reconciling") and o, timeout=90
    )
    assert condition(obj, "Ready")["reason"] == "WaitingForWorker"  # type: ignore[index]
    file = platform.home / "recipes" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('version: "1.0.0"\ntitle: t\ndescription: d\nprompt: from the folder\n')
    start_worker(pool=pool)
    obj = await ready(kubectl, eventually, namespace, "a")
    await eventually(lambda: is_true(get(kubectl, namespace, "a"), "WorkersAvailable"))
    found = await schedule(client, schedule_id(obj))
    assert found is not None
    recipe = (await argument(client, found)).recipe
    assert "prompt: from the folder" in recipe.text
    assert (recipe.source, recipe.base_dir) == ("spec.recipe.path", ".")


async def test_nothing_is_written_on_the_object_but_status_and_finalizer(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    large = {"text": "version: '1.0.0'\ntitle: t\ndescription: d\nprompt: '" + "x" * 200_000 + "'\n"}
    job = goosejob("large", schedule="0 8 * * *", recipe=large, **NOBODY)
    kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(job))
    obj = await ready(kubectl, eventually, namespace, "large")
    assert "annotations" not in obj["metadata"]
    assert obj["metadata"]["finalizers"] == ["goosejobs.dev/cleanup"]
    assert len(json.dumps(obj["status"])) < 3000


@pytest.mark.invariant("I14")
async def test_what_every_watcher_sees_is_consistent(
    kubectl: Kubectl, eventually: Eventually, namespace: str, platform: Rig
) -> None:
    with Recording(platform, namespace, "a") as seen:
        for number, when in enumerate(("0 8 * * *", "61 * * * *", "0 9 * * *"), start=1):
            apply(kubectl, namespace, goosejob("a", schedule=when, **NOBODY))
            await eventually(
                lambda number=number: get(kubectl, namespace, "a")["status"]["observedGeneration"] == number,
                timeout=90,
            )
        kubectl("delete", "-n", namespace, "gj", "a", "--timeout=180s")
    assert seen.events[-1]["type"] == "DELETED"
    assert len(seen.events) >= 6
    for obj in seen.objects:
        observed, generation = obj["status"]["observedGeneration"], obj["metadata"]["generation"]
        assert observed <= generation
        truths = {c["type"]: c["status"] for c in obj["status"].get("conditions", [])}
        assert all(c["observedGeneration"] <= observed for c in obj["status"].get("conditions", []))
        if truths:
            assert (truths["Ready"] == "True") == (not {"Reconciling", "Stalled"} & set(truths))
