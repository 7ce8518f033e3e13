"""Every state of a GooseJob's life, as a watch sees it: kstatus never lies, and nothing on record goes back.

The rules are those of `support.lifecycle_rules`. What servers that go away make of a life stands in
tests/faults/test_lifecycle_outages.py.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.gate import Gate
from support.life import Life, living
from support.lifecycle_states import computed, condition_of, is_completed, said, status_of
from support.objects import Kubectl
from support.rig import Rig

Eventually = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("operator", "worker")

RUN = "goosejobs.dev/run-requested"
RESUME = "goosejobs.dev/resume-requested"
YEARLY: Any = {"schedule": "0 0 1 1 *"}
FAILS = "stub: status 401"


@pytest.fixture
def life(platform: Rig, namespace: str) -> Iterator[Life]:
    with living(platform, namespace) as life:
        yield life


def test_it_runs_on_schedule_and_goes(life: Life) -> None:
    life.apply(schedule="@every 2s")
    life.wait(lambda o: status_of(o)["phase"] == "Active")
    life.counts(succeeded=3)
    life.delete()
    assert set(life.phases) == {"Pending", "Active", "Running", "Terminating"}
    assert (life.phases[0], life.phases[-1]) == ("Pending", "Terminating")


def test_the_first_state_of_all_is_not_current(life: Life) -> None:
    life.apply(**YEARLY)
    life.current()
    first = life.seen.objects[0]
    assert (status_of(first), computed(first)) == (
        {"observedGeneration": -1, "phase": "Pending"},
        "InProgress",
    )


def test_it_is_suspended_and_resumed(life: Life) -> None:
    life.apply(schedule="@every 2s")
    life.wait(lambda o: status_of(o)["phase"] == "Active")
    life.counts(succeeded=1)
    life.patch(suspend=True)
    assert status_of(life.current())["observedGeneration"] == 2
    life.wait(lambda o: status_of(o)["phase"] == "Paused")
    life.patch(suspend=False)
    resumed = life.current()
    assert not said(resumed, "Suspended", "True")
    life.wait(lambda o: status_of(o)["phase"] == "Running")
    assert "Pending" not in life.phases[life.phases.index("Active") :]


def test_it_is_edited_well_and_badly_and_mended(life: Life) -> None:
    life.apply(**YEARLY)
    life.current()
    life.patch(schedule="0 0 2 1 *", timeZone="Europe/Paris")
    assert status_of(life.current())["displaySchedule"] == "0 0 2 1 *"
    life.patch(schedule="0 0 30 2 *")
    stalled = life.wait(lambda o: computed(o) == "Failed")
    assert (status_of(stalled)["observedGeneration"], status_of(stalled)["phase"]) == (3, "Invalid")
    life.patch(schedule="0 0 3 1 *")
    assert not condition_of(life.current(), "Stalled")
    assert life.phases == ["Pending", "Active", "Invalid", "Active"]


def test_it_is_edited_many_times_in_a_row(life: Life) -> None:
    life.apply(**YEARLY)
    for day in range(1, 16):
        life.patch(schedule=f"0 {day} 1 1 *", suspend=day % 2 == 0)
    life.wait(lambda o: computed(o) == "Current" and o["metadata"]["generation"] == 16)


def test_it_is_stalled_from_the_start_and_mended(life: Life) -> None:
    life.apply(recipe={"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}, **YEARLY)
    life.wait(lambda o: computed(o) == "Failed" and status_of(o)["phase"] == "Invalid")
    recipe = "version: '1.0.0'\ntitle: t\ndescription: d\nprompt: 'stub: answer hello'\n"
    life.kubectl("create", "configmap", "recipes", "-n", life.namespace, f"--from-literal=a.yaml={recipe}")
    life.kubectl("label", "configmap", "recipes", "-n", life.namespace, "goosejobs.dev/recipe=true")
    life.current()


def test_a_recipe_that_is_taken_away_is_a_reason_to_leave_current(
    platform: Rig, kubectl: Kubectl, namespace: str
) -> None:
    recipe = "version: '1.0.0'\ntitle: t\ndescription: d\nprompt: 'stub: answer hello'\n"
    kubectl("create", "configmap", "recipes", "-n", namespace, f"--from-literal=a.yaml={recipe}")
    kubectl("label", "configmap", "recipes", "-n", namespace, "goosejobs.dev/recipe=true")
    with living(platform, namespace, leaves=("InvalidRecipe",)) as life:
        life.apply(recipe={"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}, **YEARLY)
        life.current()
        kubectl(
            "patch",
            "configmap",
            "recipes",
            "-n",
            namespace,
            "-p",
            json.dumps({"data": {"a.yaml": "not: one"}}),
        )
        life.wait(lambda o: computed(o) == "Failed")
        life.from_now()
        kubectl(
            "patch", "configmap", "recipes", "-n", namespace, "-p", json.dumps({"data": {"a.yaml": recipe}})
        )
        life.current()


async def test_runs_are_asked_for_and_one_is_skipped(
    platform: Rig, eventually: Eventually, client: Client, life: Life
) -> None:
    gate = Gate(platform.home)
    life.apply(recipe={"inline": gate.recipe}, **YEARLY)
    obj = life.current()
    life.ask(RUN, "one")
    life.wait(lambda o: status_of(o)["phase"] == "Running")
    life.ask(RUN, "two")
    skipped = {"token": "two", "answer": "Skipped"}  # of "one" it may have been said, too, by a slow Temporal
    life.wait(lambda o: skipped.items() <= status_of(o)["handledRequests"]["run"].items())
    gate.open()
    life.counts(succeeded=1)
    await eventually(lambda: schedules.idle(client, obj))  # else the third would be skipped, too
    life.ask(RUN, "three")
    ended = life.counts(succeeded=2)
    assert [run["trigger"] for run in status_of(ended)["recentRuns"]] == ["Manual", "Manual"]
    assert life.phases == ["Pending", "Active", "Running", "Active", "Running", "Active"]


def test_runs_fail_until_it_is_paused_and_it_is_resumed(life: Life) -> None:
    life.apply(FAILS, schedule="@every 2s", pauseAfterFailures=2)
    life.wait(lambda o: (condition_of(o, "Suspended") or {}).get("reason") == "PausedAfterFailures")
    paused = life.wait(lambda o: status_of(o)["phase"] == "Paused")
    assert computed(paused) == "Current"
    life.ask(RESUME, "go-on")
    life.wait(lambda o: status_of(o)["handledRequests"]["resume"]["answer"] == "Resumed")
    life.counts(failed=4)
    life.delete()


def test_it_completes_by_max_runs_and_more_are_allowed(life: Life) -> None:
    life.apply(schedule="@every 2s", maxRuns=2)
    done = life.wait(
        lambda o: status_of(o)["phase"] == "Completed" and status_of(o)["counts"]["succeeded"] == 2
    )
    assert is_completed(done)
    life.patch(maxRuns=3)
    life.wait(lambda o: status_of(o)["phase"] == "Completed" and status_of(o)["counts"]["succeeded"] == 3)


@pytest.mark.parametrize("suspended", [False, True])
def test_it_completes_by_its_end_time(life: Life, suspended: bool) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=30)
    life.apply(schedule="@every 2s", suspend=suspended, endTime=end.isoformat())
    first = status_of(life.current())["phase"]
    assert first != "Completed" or datetime.now(UTC) >= end
    done = life.wait(lambda o: status_of(o)["phase"] == "Completed")
    assert status_of(done).get("nextScheduleTime", "") == ""
    last = status_of(done).get("lastScheduleTime")  # none, where nobody came to it before its end
    assert last is None or (not suspended and datetime.fromisoformat(last) <= end)


@pytest.mark.parametrize(("prompt", "outcome"), [("stub: answer hi", "Succeeded"), (FAILS, "Failed")])
def test_it_runs_once(life: Life, prompt: str, outcome: str) -> None:
    life.apply(prompt)
    done = life.wait(lambda o: status_of(o)["phase"] == "Completed" and computed(o) == "Current")
    assert status_of(done)["lastRun"]["outcome"] == outcome
    life.patch(activeDeadlineSeconds=60)
    assert status_of(life.current())["completionTime"] == status_of(done)["completionTime"]
    life.delete()


def test_it_is_edited_while_it_runs(life: Life) -> None:
    life.apply("stub: slow 4", schedule="@every 2s")
    life.wait(lambda o: status_of(o)["active"])
    life.patch(successfulRunsHistoryLimit=1)
    life.current()
    life.patch(schedule="61 * * * *")
    life.wait(lambda o: computed(o) == "Failed")
    life.wait(lambda o: status_of(o)["counts"]["succeeded"] >= 3)
    life.patch(schedule="0 0 1 1 *")
    life.current()


def test_it_is_deleted_in_the_middle_of_a_run_and_made_again(life: Life) -> None:
    life.apply("stub: hang", schedule="@every 2s")
    life.wait(lambda o: status_of(o)["active"])
    life.delete()
    assert {computed(o) for o in life.seen.objects[-2:]} == {"Terminating"}
    life.apply(schedule="@every 2s")
    life.counts(succeeded=1)
    assert len({o["metadata"]["uid"] for o in life.seen.objects}) == 2
