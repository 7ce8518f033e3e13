"""`scheduleFrom: Recipe`: the recipe says when it runs, on real parts, through kubectl."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.objects import Kubectl, Object, apply, condition, get, goosejob, is_true, last_run, recipe
from support.rig import Rig
from support.schedules import argument, schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("operator")

NOBODY: Object = {"execution": {"pool": "nobody"}}
MAPPED: Object = {"configMapKeyRef": {"name": "recipes", "key": "a.json"}}


def own(expression: str, prompt: str = "stub: answer hello", **more: Any) -> Object:
    """A recipe with a schedule of its own."""
    return recipe(prompt, schedule={"cron": expression, "foreground": False, **more})


def config_map(found: Object) -> Object:
    meta = {"name": "recipes", "labels": {"goosejobs.dev/recipe": ""}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a.json": json.dumps(found)}}


async def served(
    kubectl: Kubectl, eventually: Eventually, namespace: str, name: str, expression: str
) -> Object:
    """The object once it is Ready by this expression."""

    def look() -> Object | bool:
        obj = get(kubectl, namespace, name)
        return is_true(obj, "Ready") and obj["status"]["displaySchedule"] == expression and obj

    obj: Object = await eventually(look)
    return obj


@pytest.mark.usefixtures("worker")
async def test_goose_runs_when_its_recipe_says_so(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    job = goosejob("own", scheduleFrom="Recipe", recipe={"inline": own("@every 2s", foreground=True)})
    apply(kubectl, namespace, job)
    run = await eventually(lambda: last_run(get(kubectl, namespace, "own")))
    assert (run["outcome"], run["trigger"], run["result"]) == ("Succeeded", "Schedule", "hello")
    due = datetime.fromisoformat(run["scheduledTime"])
    assert due.second % 2 == 0

    def columns() -> list[str]:
        shown: list[str] = kubectl("get", "gj", "-n", namespace, "own", "--no-headers").stdout.split()
        return shown

    # By the operator, whose write may meet the worker's, and is then tried again.
    await eventually(lambda: columns()[:3] == ["own", "@every", "2s"])
    # What the worker writes when a run starts is the next due time, too, without the recipe in its hands.
    nexts = await eventually(lambda: get(kubectl, namespace, "own")["status"]["nextScheduleTime"])
    assert datetime.fromisoformat(nexts).second % 2 == 0


async def test_the_recipes_time_is_read_in_the_zone_of_the_spec(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    spec: Object = {"scheduleFrom": "Recipe", "timeZone": "Asia/Kolkata", **NOBODY}
    apply(kubectl, namespace, goosejob("zoned", recipe={"text": json.dumps(own("30 8 * * *"))}, **spec))
    obj = await served(kubectl, eventually, namespace, "zoned", "30 8 * * *")
    found = await schedule(client, schedule_id(obj))
    assert found is not None
    (calendar,) = found.spec.structured_calendar
    assert (calendar.hour[0].start, calendar.minute[0].start) == (8, 30)
    assert (calendar.comment, found.spec.timezone_name) == ("30 8 * * *", "Asia/Kolkata")
    assert obj["status"]["nextScheduleTime"].endswith("T03:00:00Z")


async def test_a_changed_time_in_a_labelled_configmap_counts_at_once_and_keeps_all_else(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, config_map(own("0 8 * * 1")))
    apply(kubectl, namespace, goosejob("mapped", scheduleFrom="Recipe", recipe=MAPPED, maxRuns=9, **NOBODY))
    obj = await served(kubectl, eventually, namespace, "mapped", "0 8 * * 1")
    before = await schedule(client, schedule_id(obj))
    assert before is not None
    await schedules.pause(client, schedule_id(obj), "a person's")
    apply(kubectl, namespace, config_map(own("15 9 * * *")))
    # A deadline well below the resync period: it is the change that is heard of.
    obj = await served(kubectl, eventually, namespace, "mapped", "15 9 * * *")
    after = await schedule(client, schedule_id(obj))
    assert after is not None
    (calendar,) = after.spec.structured_calendar
    assert (calendar.minute[0].start, calendar.hour[0].start, calendar.comment) == (15, 9, "15 9 * * *")
    assert after.state.paused
    assert after.state.notes == "a person's"
    assert (after.state.remaining_actions, after.policies) == (9, before.policies)
    changed = await argument(client, after)
    was = await argument(client, before)
    assert changed.model_copy(update={"recipe": was.recipe}) == was
    assert changed.recipe.digest == obj["status"]["recipeDigest"] != was.recipe.digest
    assert obj["metadata"]["generation"] == obj["status"]["observedGeneration"] == 1


async def test_a_recipe_that_loses_its_time_is_stalled_and_its_schedule_goes_on(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(kubectl, namespace, config_map(own("0 8 * * *")))
    apply(kubectl, namespace, goosejob("loses", scheduleFrom="Recipe", recipe=MAPPED, **NOBODY))
    await served(kubectl, eventually, namespace, "loses", "0 8 * * *")
    for bad, says in (
        (recipe("stub: answer x"), "spec.recipe.configMapKeyRef: schedule: is missing"),
        (own("0 25 * * *"), "spec.recipe.configMapKeyRef: schedule.cron: 25 in the hour field"),
    ):
        apply(kubectl, namespace, config_map(bad))
        obj = await eventually(
            lambda says=says: (
                (o := get(kubectl, namespace, "loses"))
                and (condition(o, "Stalled") or {"message": ""})["message"].startswith(says)
                and o
            )
        )
        stalled = condition(obj, "Stalled")
        assert stalled is not None
        assert stalled["reason"] == "InvalidSchedule"
        assert "its schedule goes on as generation 1" in stalled["message"]
        assert obj["status"]["displaySchedule"] == "0 8 * * *"
        found = await schedule(client, schedule_id(obj))
        assert found is not None
        assert found.spec.structured_calendar[0].comment == "0 8 * * *"
    apply(kubectl, namespace, config_map(own("0 10 * * *")))
    obj = await served(kubectl, eventually, namespace, "loses", "0 10 * * *")
    assert condition(obj, "Stalled") is None


async def test_the_time_may_move_from_the_spec_to_the_recipe_and_back(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    source = {"inline": own("0 7 * * *")}
    apply(kubectl, namespace, goosejob("moves", recipe=source, schedule="0 6 * * *", **NOBODY))
    await served(kubectl, eventually, namespace, "moves", "0 6 * * *")
    apply(kubectl, namespace, goosejob("moves", recipe=source, scheduleFrom="Recipe", **NOBODY))
    obj = await served(kubectl, eventually, namespace, "moves", "0 7 * * *")
    assert datetime.fromisoformat(obj["status"]["nextScheduleTime"]).hour == 7
    apply(kubectl, namespace, goosejob("moves", recipe=source, schedules=["0 5 * * *"], **NOBODY))
    await served(kubectl, eventually, namespace, "moves", "0 5 * * *")


@pytest.mark.usefixtures("worker")
async def test_a_file_in_the_pools_folder_says_when_it_runs_until_the_spec_changes(
    kubectl: Kubectl, eventually: Eventually, namespace: str, platform: Rig
) -> None:
    file = Path(platform.home) / "recipes" / f"{namespace}.json"
    hour = (datetime.now(UTC) + timedelta(hours=6)).hour  # so that it is not due just now
    file.write_text(json.dumps(own("0 4 * * *")))
    job = goosejob("filed", scheduleFrom="Recipe", recipe={"path": file.name})
    apply(kubectl, namespace, job)
    await served(kubectl, eventually, namespace, "filed", "0 4 * * *")
    file.write_text(json.dumps(own(f"0 {hour} * * *")))
    job["spec"]["startingDeadlineSeconds"] = 60
    apply(kubectl, namespace, job)
    obj = await served(kubectl, eventually, namespace, "filed", f"0 {hour} * * *")
    due = datetime.fromisoformat(obj["status"]["nextScheduleTime"])
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(days=1)
    assert due.hour == hour
