"""Many objects at one time: none is lost, none is done twice, and one that is poison holds up no other."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goosejobs.model import names
from support import job_pool, schedules
from support.job_pool import audited
from support.objects import Kubectl, Object, condition, goosejob, is_true
from support.rig import Handle, Rig
from support.schedules import describe, schedule_id

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

MANY = 200
PATIENCE = 400.0
"""Of conditions that many objects have to meet, on a machine that does other things, too."""
AT_ONE_TIME = 20
NOBODY: Object = {"execution": {"pool": "nobody"}}
BOMB = "{% for a in range(9999999) %}{% for b in range(9999999) %}x{% endfor %}{% endfor %}"
DEEP = "title: t\ndescription: d\nprompt: " + "[" * 190_000
FOREIGN = {"workflowId": "goosejob/a/b/c", "trigger": "Manual", "startTime": "1970-01-01T00:00:00Z"}
RUBBISH: Object = {
    "observedGeneration": 10**9,
    "phase": "Running",
    "active": [{**FOREIGN, "id": f"r{n}"} for n in range(20)],
    "nextScheduleTime": "2001-01-01T00:00:00Z",
}
MALFORMED = {
    names.RUN_REQUESTED: "\N{GRINNING FACE}\n{{ x }}" * 200,
    names.KILL_REQUESTED: "../../all",
    names.RESUME_REQUESTED: "",
    "kopf.zalando.org/last-handled-configuration": "{not json",
}


def listed(kubectl: Kubectl, namespace: str) -> dict[str, Object]:
    """The GooseJobs of a namespace, by name."""
    found = json.loads(kubectl("get", "goosejobs", "-n", namespace, "-o", "json").stdout)
    return {each["metadata"]["name"]: each for each in found["items"]}


def create(kubectl: Kubectl, namespace: str, *objects: Object) -> None:
    """As they are: `apply` would copy each into an annotation, which has no room for the largest."""
    texts = [json.dumps(each, ensure_ascii=False) for each in objects]
    kubectl("create", "-n", namespace, "-f", "-", input="\n---\n".join(texts))


@pytest.fixture
def frozen(start_worker: Start, pool: str) -> Handle:
    """A worker that Temporal takes for alive, and that never answers."""
    worker = start_worker(pool=pool, GOOSEJOBS_NAMESPACES="*")
    worker.freeze()
    return worker


@pytest.mark.invariant("I18")
async def test_two_hundred_good_ones_are_ready_whatever_the_poison_among_them(
    kubectl: Kubectl, eventually: Eventually, namespace: str, operator: Handle, frozen: Handle, pool: str
) -> None:
    endless = goosejob("endless", schedule="@yearly", execution={"pool": pool, "mode": "Process"})
    endless["spec"]["recipe"] = {"path": "nobody-reads-this.yaml"}
    deep = goosejob("deep", schedule="@yearly", **NOBODY)
    deep["spec"]["recipe"] = {"text": DEEP}
    malformed = goosejob("malformed", schedule="@yearly", **NOBODY)
    malformed["metadata"]["annotations"] = MALFORMED
    poison = [endless, goosejob("bomb", BOMB, schedule="@yearly", **NOBODY), deep, malformed]
    rubbish = goosejob("rubbish", schedule="@yearly", **NOBODY)
    good = {f"good-{n}" for n in range(MANY)}
    create(kubectl, namespace, *poison, rubbish)
    edit = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": RUBBISH}))
    kubectl("patch", "goosejob", "rubbish", "-n", namespace, *edit)
    create(kubectl, namespace, *(goosejob(name, schedule="@yearly", **NOBODY) for name in sorted(good)))

    async def all_ready() -> dict[str, Object]:
        found = await asyncio.to_thread(listed, kubectl, namespace)
        assert [name for name in sorted(good) if not is_true(found[name], "Ready")] == []
        return found

    found: dict[str, Object] = await eventually(all_ready, timeout=PATIENCE)
    assert not is_true(found["endless"], "Ready"), "it has been waited for"
    assert all(condition(found[name], "Stalled") is None for name in good)
    for name in ("bomb", "deep"):
        stalled = await eventually(
            lambda name=name: condition(listed(kubectl, namespace)[name], "Stalled"), timeout=PATIENCE
        )
        assert stalled["reason"] == "InvalidRecipe", stalled

    async def repaired() -> bool:
        now = (await asyncio.to_thread(listed, kubectl, namespace))["rubbish"]
        return is_true(now, "Ready") and not now["status"].get("active")

    await eventually(repaired, timeout=PATIENCE)
    await eventually(lambda: is_true(listed(kubectl, namespace)["malformed"], "Ready"), timeout=PATIENCE)
    assert operator.alive
    ours = [line for line in operator.log.splitlines() if f"GooseJob {namespace}/" in line]
    assert [line for line in ours if "unexpected error" in line] == []
    frozen.thaw()


@pytest.mark.invariant("I15")
async def test_as_many_that_are_deleted_at_once_leave_nothing(
    kubectl: Kubectl, eventually: Eventually, namespace: str, temporal_address: str
) -> None:
    create(kubectl, namespace, *(goosejob(f"gone-{n}", schedule="@yearly", **NOBODY) for n in range(MANY)))

    async def all_ready() -> list[Object]:
        found = await asyncio.to_thread(listed, kubectl, namespace)
        assert [name for name, each in found.items() if not is_true(each, "Ready")] == []
        return list(found.values())

    made: list[Object] = await eventually(all_ready, timeout=PATIENCE)
    client = await schedules.connect(temporal_address)
    turns = asyncio.Semaphore(AT_ONE_TIME)

    async def is_there(obj: Object) -> bool:
        async with turns:
            return await describe(client, schedule_id(obj)) is not None

    assert len(made) == MANY
    assert all(await asyncio.gather(*map(is_there, made)))
    kubectl("delete", "goosejob", "--all", "-n", namespace, "--wait=false")
    await eventually(lambda: not listed(kubectl, namespace), timeout=PATIENCE)
    assert not any(await asyncio.gather(*map(is_there, made)))


@pytest.mark.invariant("I1")
async def test_two_hundred_that_are_due_at_one_minute_all_run_once_and_are_recorded(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    platform: Rig,
    tmp_path: Path,
) -> None:
    # Nothing makes pods here, so each attempt ends when its pod has not come for so long.
    template = job_pool.write_template(
        tmp_path / "template.yaml", "nowhere/goose:1", "http://127.0.0.1:1", startTimeoutSeconds=20
    )
    start_worker(pool=pool, **job_pool.environment(template), GOOSEJOBS_NAMESPACES=namespace)
    once: Object = {
        "schedule": "* * * * *",
        "maxRuns": 1,
        "retry": {"maxAttempts": 1},
        "execution": {"pool": pool},
    }
    create(kubectl, namespace, *(goosejob(f"due-{n}", **once) for n in range(MANY)))

    async def all_recorded() -> list[Object]:
        found = await asyncio.to_thread(listed, kubectl, namespace)
        missing = [name for name, each in found.items() if not each.get("status", {}).get("lastRun")]
        assert missing == []
        return list(found.values())

    done: list[Object] = await eventually(all_recorded, timeout=1.5 * PATIENCE)
    statuses = [each["status"] for each in done]
    assert len(statuses) == MANY
    # Fewer, where an attempt has ended before the API server took its Job, or had made it unheard of.
    assert 0 < len(audited(platform.audit_log, namespace, "create", "jobs")) <= MANY
    assert Counter(status["counts"].get("failed", 0) for status in statuses) == {1: MANY}
    assert {status["lastRun"]["attempt"] for status in statuses} == {1}
    assert {status["lastRun"]["trigger"] for status in statuses} == {"Schedule"}
    assert [status["active"] for status in statuses if status.get("active")] == []
