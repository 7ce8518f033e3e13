"""What people ask of a GooseJob by annotation: real API server, Temporal, operator, worker and goose."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client

from support import schedules
from support.events import told
from support.objects import Kubectl, Object, apply, condition, get, goosejob, is_true
from support.requests import KILL, RESUME, RUN, answer, ask
from support.schedules import schedule_id

Eventually = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("operator")

NOBODY: Object = {"execution": {"pool": "nobody"}}
YEARLY: Any = {"schedule": "0 0 1 1 *"}


async def ready(kubectl: Kubectl, eventually: Eventually, namespace: str, name: str) -> Object:
    obj: Object = await eventually(
        lambda: (o := get(kubectl, namespace, name)) and is_true(o, "Ready") and o, timeout=90
    )
    return obj


async def runs(client: Client, obj: Object) -> list[str]:
    """The workflows that its schedule has started, oldest first."""
    found = await client.get_schedule_handle(schedule_id(obj)).describe()
    return [
        each.action.workflow_id for each in found.info.recent_actions if hasattr(each.action, "workflow_id")
    ]


@pytest.mark.usefixtures("worker")
async def test_a_run_that_is_asked_for_starts_at_once_even_while_it_is_suspended(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    # With Forbid, Skipped is said of a run that Temporal takes ten seconds to start.
    apply(kubectl, namespace, goosejob("a", suspend=True, concurrencyPolicy="Allow", **YEARLY))
    await ready(kubectl, eventually, namespace, "a")
    ask(kubectl, namespace, "a", RUN, "first")
    said = await answer(kubectl, eventually, namespace, "a", "run", "first")
    assert said["answer"] == "Started"
    last = await eventually(lambda: get(kubectl, namespace, "a")["status"]["lastRun"])
    assert (last["trigger"], last["outcome"]) == ("Manual", "Succeeded")
    obj = get(kubectl, namespace, "a")
    assert obj["status"]["lastSuccessfulTime"] == last["finishTime"]
    assert "lastScheduleTime" not in obj["status"]
    assert is_true(obj, "Suspended")
    assert await runs(client, obj) == [said["workflowId"]]


async def test_a_value_that_is_there_at_first_sight_does_nothing_and_is_told_so(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    job = goosejob("a", **YEARLY, **NOBODY)
    job["metadata"]["annotations"] = {RUN: "in-git"}
    apply(kubectl, namespace, job)
    said = await answer(kubectl, eventually, namespace, "a", "run", "in-git")
    assert said["answer"] == "NotNew"
    job["spec"]["schedule"] = "0 0 2 1 *"
    apply(kubectl, namespace, job)  # as a repository does that keeps it
    obj = await ready(kubectl, eventually, namespace, "a")
    assert await runs(client, obj) == []
    ask(kubectl, namespace, "a", RUN, "second")
    said = await answer(kubectl, eventually, namespace, "a", "run", "second")

    async def started() -> bool:
        """Where Temporal is slow, the answer may come before."""
        return await runs(client, obj) == [said["workflowId"]]

    await eventually(started)


@pytest.mark.parametrize(
    ("policy", "word", "started"), [("Forbid", "Skipped", 1), ("Allow", "Started", 2), ("Queue", "Queued", 1)]
)
async def test_a_second_run_is_dealt_with_as_the_concurrency_policy_says(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    client: Client,
    policy: str,
    word: str,
    started: int,
) -> None:
    # With Forbid, Skipped is said of a run that Temporal takes ten seconds to start: so not of the first one.
    apply(kubectl, namespace, goosejob("a", concurrencyPolicy="Queue", **YEARLY, **NOBODY))
    await ready(kubectl, eventually, namespace, "a")
    ask(kubectl, namespace, "a", RUN, "1")
    first = await answer(kubectl, eventually, namespace, "a", "run", "1")
    apply(kubectl, namespace, goosejob("a", concurrencyPolicy=policy, **YEARLY, **NOBODY))
    obj = await ready(kubectl, eventually, namespace, "a")
    ask(kubectl, namespace, "a", RUN, "2")
    second = await answer(kubectl, eventually, namespace, "a", "run", "2")
    assert (first["answer"], second["answer"]) == ("Started", word)
    assert len(set(await runs(client, obj))) == started
    assert (first["workflowId"] in second["message"]) == (word == "Skipped")


async def test_many_requests_at_once_are_as_many_runs_with_ids_of_their_own(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    apply(
        kubectl,
        namespace,
        goosejob("a", concurrencyPolicy="Allow", schedule="@every 7s", suspend=True, **NOBODY),
    )
    obj = await ready(kubectl, eventually, namespace, "a")
    said = []
    for token in "abcd":
        ask(kubectl, namespace, "a", RUN, token)
        said.append(await answer(kubectl, eventually, namespace, "a", "run", token))
    ids = [each["workflowId"] for each in said]
    assert len(set(ids)) == 4
    assert await runs(client, obj) == ids


async def test_what_cannot_run_is_refused_with_a_sentence(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    stalled = goosejob("stalled", schedule="0 0 30 2 *", **NOBODY)
    apply(
        kubectl,
        namespace,
        stalled,
        goosejob("once", suspend=True, **NOBODY),
        goosejob("odd", **YEARLY, **NOBODY),
    )
    await eventually(lambda: is_true(get(kubectl, namespace, "stalled"), "Stalled"))
    for name in ("once", "odd"):
        await ready(kubectl, eventually, namespace, name)
    for name in ("once", "stalled"):
        ask(kubectl, namespace, name, RUN, "now")
    once = await answer(kubectl, eventually, namespace, "once", "run", "now")
    assert once["answer"] == "Refused"
    assert "under another name" in once["message"]
    said = await answer(kubectl, eventually, namespace, "stalled", "run", "now")
    assert said["answer"] == "Refused"
    assert "ScheduleNeverFires" in said["message"]
    ask(kubectl, namespace, "odd", RUN, "run it, please! " + "ä" * 3000)
    said = await eventually(lambda: get(kubectl, namespace, "odd")["status"]["handledRequests"]["run"])
    assert (said["answer"], len(said["token"]) <= 64) == ("Refused", True)
    assert "at most 64 characters" in said["message"]
    # That nobody works there is told later, should Temporal owe an answer about it at first.
    await eventually(
        lambda: (condition(get(kubectl, namespace, "odd"), "WorkersAvailable") or {})["status"] == "False"
    )
    before = get(kubectl, namespace, "odd")["metadata"]["resourceVersion"]
    await asyncio.to_thread(ask, kubectl, namespace, "once", RUN, "again")
    await answer(kubectl, eventually, namespace, "once", "run", "again")
    assert get(kubectl, namespace, "odd")["metadata"]["resourceVersion"] == before


@pytest.mark.usefixtures("worker")
async def test_a_run_is_ended_by_its_id_and_all_by_one_word(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    endless = "stub: hang"
    apply(
        kubectl,
        namespace,
        goosejob("a", endless, concurrencyPolicy="Allow", **YEARLY),
        goosejob("b", endless),
    )
    obj = await ready(kubectl, eventually, namespace, "a")
    for token in "123":
        ask(kubectl, namespace, "a", RUN, token)
        await answer(kubectl, eventually, namespace, "a", "run", token)

    def active(name: str, number: int) -> list[str] | None:
        found = [each["id"] for each in get(kubectl, namespace, name)["status"].get("active", [])]
        return found if len(found) == number else None

    async def open_for_temporal(number: int) -> bool:
        """By its index too, which lags, and by which the operator finds what it is to end."""
        return len(await schedules.open_runs(client, schedule_id(obj))) == number

    first, second, third = await eventually(lambda: active("a", 3))
    await eventually(lambda: active("b", 1))
    ask(kubectl, namespace, "a", KILL, second)
    said = await answer(kubectl, eventually, namespace, "a", "kill", second)
    assert (said["answer"], len(said["workflowIds"])) == ("Cancelled", 1)
    assert await eventually(lambda: active("a", 2), timeout=90) == [first, third]
    last = get(kubectl, namespace, "a")["status"]["lastRun"]
    assert (last["id"], last["outcome"]) == (second, "Killed")
    ask(kubectl, namespace, "a", KILL, second)  # the same value: nothing
    await eventually(lambda: open_for_temporal(2))
    ask(kubectl, namespace, "a", KILL, "all")
    said = await answer(kubectl, eventually, namespace, "a", "kill", "all")
    assert len(said["workflowIds"]) == 2
    await eventually(lambda: active("a", 0) is not None)
    assert get(kubectl, namespace, "a")["status"]["counts"]["killed"] == 3
    assert active("b", 1)
    await eventually(lambda: open_for_temporal(0))
    ask(kubectl, namespace, "a", KILL, "all:2")
    said = await answer(kubectl, eventually, namespace, "a", "kill", "all:2")
    assert said["answer"] == "Refused"
    ask(kubectl, namespace, "b", KILL, "once")
    last = await eventually(lambda: get(kubectl, namespace, "b")["status"]["lastRun"])
    assert last["outcome"] == "Killed"


@pytest.mark.usefixtures("worker")
async def test_failures_in_a_row_pause_it_until_somebody_resumes_it(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    job = goosejob("a", "stub: status 401", pauseAfterFailures=2, **YEARLY)
    apply(kubectl, namespace, job)
    obj = await ready(kubectl, eventually, namespace, "a")

    async def fail(token: str, number: int) -> None:
        """Once Temporal knows of no run before it: else this one is skipped."""
        await eventually(lambda: schedules.idle(client, obj))
        ask(kubectl, namespace, "a", RUN, token)
        await eventually(
            lambda: get(kubectl, namespace, "a")["status"]["counts"]["failed"] == number, timeout=90
        )

    async def state() -> tuple[bool, str]:
        found = await schedules.schedule(client, schedule_id(obj))
        assert found is not None
        return found.state.paused, found.state.notes

    await fail("1", 1)
    assert await state() == (False, "")
    await fail("2", 2)
    paused = await eventually(
        lambda: (c := condition(get(kubectl, namespace, "a"), "Suspended")) and c["status"] == "True" and c,
        timeout=90,
    )
    assert (paused["reason"], RESUME in paused["message"]) == ("PausedAfterFailures", True)
    await eventually(lambda: "PausedAfterFailures" in told(kubectl, namespace, "a"))
    assert await state() == (True, "goosejobs: failures")
    await fail("3", 3)  # one may still be asked for
    ask(kubectl, namespace, "a", RESUME, "mended")
    said = await answer(kubectl, eventually, namespace, "a", "resume", "mended")
    assert (said["answer"], said["failed"]) == ("Resumed", 3)
    assert await state() == (False, "")
    await eventually(lambda: not is_true(get(kubectl, namespace, "a"), "Suspended"))
    await fail("4", 4)
    assert await state() == (False, "")
    await client.get_schedule_handle(schedule_id(obj)).pause(note="maintenance")
    await fail("5", 5)
    ask(kubectl, namespace, "a", RESUME, "again")
    await answer(kubectl, eventually, namespace, "a", "resume", "again")
    assert await state() == (True, "maintenance")


@pytest.mark.usefixtures("worker")
async def test_after_as_many_runs_as_allowed_it_is_completed_until_more_are_allowed(
    kubectl: Kubectl, eventually: Eventually, namespace: str, client: Client
) -> None:
    job = goosejob("a", schedule="@every 2s", maxRuns=3, suspend=True)
    apply(kubectl, namespace, job)
    obj = await ready(kubectl, eventually, namespace, "a")

    async def left() -> int:
        found = await schedules.schedule(client, schedule_id(obj))
        assert found is not None
        return found.state.remaining_actions

    async def completed(number: int) -> None:
        def is_completed() -> bool:
            now = get(kubectl, namespace, "a")
            status, found = now["status"], condition(now, "Ready")
            done = found is not None and found["reason"] == "Completed" and status["phase"] == "Completed"
            return done and is_true(now, "Ready") and status["counts"]["succeeded"] == number

        await eventually(is_completed)
        assert get(kubectl, namespace, "a")["status"]["nextScheduleTime"] == ""
        assert len(await runs(client, obj)) == number

    assert await left() == 3
    ask(kubectl, namespace, "a", RUN, "1")
    await answer(kubectl, eventually, namespace, "a", "run", "1")

    async def one_is_counted() -> bool:
        return await left() == 2

    await eventually(one_is_counted)
    apply(kubectl, namespace, {**job, "spec": {**job["spec"], "suspend": False}})
    await completed(3)
    ask(kubectl, namespace, "a", RUN, "2")
    said = await answer(kubectl, eventually, namespace, "a", "run", "2")
    assert (said["answer"], "Completed" in said["message"]) == ("Refused", True)
    apply(kubectl, namespace, {**job, "spec": {**job["spec"], "suspend": False, "maxRuns": 4}})
    await completed(4)
