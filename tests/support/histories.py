"""Writes tests/histories anew: real runs of each kind, as Temporal keeps them.

Only for a change that runs under way need not survive; else the old histories are what holds it to its word.

    python tests/support/histories.py [SCENE...]
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from goosejobs.model import names
from support import job_pool
from support import rig as rigs
from support.ledger import new_ledger
from support.objects import Object, apply, get, goosejob, last_run
from support.rig import Handle, Rig
from support.waiting import eventually

DATA = Path(__file__).parents[1] / "histories"
NAMESPACE = "default"
LONG = 120.0
PAUSE = {"initialIntervalSeconds": 600, "maxIntervalSeconds": 600}


class Stage:
    """A platform with an operator, one worker at a time, and what the runs on it left."""

    def __init__(self, rig: Rig, stack: ExitStack, temporal: Client) -> None:
        self.rig = rig
        self.temporal = temporal
        self._stack = stack
        self.worker = self.new_worker()

    def new_worker(self, **env: str) -> Handle:
        started = self.rig.start_worker(pool="default", wait=True, GOOSEJOBS_KILL_GRACE_SECONDS="1", **env)
        self.worker = self._stack.enter_context(started)
        return self.worker

    def apply(self, obj: Object) -> None:
        apply(self.rig.kubectl, NAMESPACE, obj)

    def get(self, name: str) -> Object:
        return get(self.rig.kubectl, NAMESPACE, name)

    def once(self, name: str) -> WorkflowHandle[Any, Any]:
        uid = self.get(name)["metadata"]["uid"]
        return self.temporal.get_workflow_handle(names.once_workflow_id(NAMESPACE, name, uid))

    async def ended(self, name: str) -> None:
        await self.until(lambda: last_run(self.get(name)))

    async def until(self, predicate: Callable[[], Any]) -> Any:
        return await eventually(predicate, LONG)

    async def keep(self, name: str, handle: WorkflowHandle[Any, Any]) -> None:
        """Write down a history, without who took part in it."""
        await self.until(lambda: _closed(handle))
        history = _anonymous(json.loads((await handle.fetch_history()).to_json()))
        text = json.dumps({"workflowId": handle.id, **history}, indent=1, ensure_ascii=False, sort_keys=True)
        path = DATA / f"{name}.json"
        path.write_text(text + "\n")
        print(path.name, len(history["events"]), "events")


async def _closed(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).close_time is not None


def _anonymous(value: Any) -> Any:
    """Without names and paths of the machine that made it; no workflow looks at those."""
    if isinstance(value, list):
        return [_anonymous(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _anonymous(each) for name, each in value.items() if name != "stackTrace"}
    if "identity" in kept:
        kept["identity"] = "someone"
    if kept.get("kind") == "TASK_QUEUE_KIND_STICKY":
        kept["name"] = "sticky"
    return kept


async def plain_endings(stage: Stage) -> None:
    """Runs that come to an end by themselves."""
    prompts = {
        "succeeded": "stub: answer done",
        "failed": "stub: status 401",
        "retried": "stub: fail 4 then answer at last",
    }
    for name, prompt in prompts.items():
        stage.apply(goosejob(name, prompt))
    for name in prompts:
        await stage.ended(name)
        await stage.keep(name, stage.once(name))


async def cancelled(stage: Stage) -> None:
    """Cancelled while goose runs, and while the run waits to try again."""
    stage.apply(goosejob("cancelled", "stub: hang"))
    stage.apply(goosejob("cancelled-waiting", "stub: status 500", retry=PAUSE))
    await stage.until(lambda: stage.get("cancelled")["status"]["active"])
    waiting = stage.once("cancelled-waiting")

    async def waits() -> bool:
        events = (await waiting.fetch_history()).events
        return any(event.HasField("activity_task_completed_event_attributes") for event in events)

    await stage.until(waits)
    for name in ("cancelled", "cancelled-waiting"):
        await stage.once(name).cancel()
        await stage.ended(name)
        await stage.keep(name, stage.once(name))


async def deadlines(stage: Stage) -> None:
    """With a deadline for the whole run: kept, passed while goose runs, and while the run waits."""
    stage.apply(goosejob("deadline-kept", "stub: fail 4 then answer in time", runDeadlineSeconds=600))
    stage.apply(goosejob("deadline-passed", "stub: hang", runDeadlineSeconds=8))
    waiting = goosejob("deadline-passed-waiting", "stub: status 500", retry=PAUSE, runDeadlineSeconds=30)
    stage.apply(waiting)
    for name in ("deadline-kept", "deadline-passed", "deadline-passed-waiting"):
        await stage.ended(name)
        await stage.keep(name, stage.once(name))


async def cancelled_lost(stage: Stage) -> None:
    """Cancelled while nobody answers for its goose: the worker is lost, and there is no other attempt."""
    with new_ledger() as ledger:
        stage.apply(ledger.goosejob("cancelled-lost", "default"))
        await stage.until(ledger.hanging)
        stage.worker.kill9()
        await stage.once("cancelled-lost").cancel()
        stage.new_worker()
        await stage.ended("cancelled-lost")
        await stage.keep("cancelled-lost", stage.once("cancelled-lost"))


async def worker_lost(stage: Stage) -> None:
    """The worker is killed; another one finishes the run."""
    with new_ledger() as ledger:
        stage.apply(ledger.goosejob("worker-lost", "default", patience=1))
        await stage.until(ledger.hanging)
        stage.worker.kill9()
        stage.new_worker()
        await stage.ended("worker-lost")
        await stage.keep("worker-lost", stage.once("worker-lost"))


async def fenced(stage: Stage) -> None:
    """A scheduled run after one whose workflow was terminated."""
    with new_ledger() as ledger:
        stage.apply(ledger.goosejob("fenced", "default", patience=1, schedule="0 0 1 1 *"))
        await stage.until(lambda: stage.get("fenced")["status"]["scheduleId"])
        schedule = stage.temporal.get_schedule_handle(stage.get("fenced")["status"]["scheduleId"])
        await schedule.trigger()
        await stage.until(ledger.hanging)
        old = stage.get("fenced")["status"]["active"][0]
        await stage.temporal.get_workflow_handle(old["workflowId"]).terminate("by hand")

        async def next_one() -> str | None:
            await schedule.trigger()
            running = (await schedule.describe()).info.running_actions
            started = [
                one.workflow_id for one in running if isinstance(one, ScheduleActionExecutionStartWorkflow)
            ]
            return next((id_ for id_ in started if id_ != old["workflowId"]), None)

        handle = stage.temporal.get_workflow_handle(await stage.until(next_one))
        await stage.keep("fenced", handle)


async def outwaited(stage: Stage) -> None:
    """A run that waits for an earlier one, which Temporal did not hold it back for: it began under Allow."""

    def with_policy(policy: str) -> Object:
        return goosejob("outwaited", "stub: hang", schedule="0 0 1 1 *", concurrencyPolicy=policy)

    async def start(number: int) -> str:
        await schedule.trigger()
        active = await stage.until(
            lambda: (a := stage.get("outwaited")["status"]["active"])[number - 1] and a
        )
        return str(active[number - 1]["workflowId"])

    stage.apply(with_policy("Allow"))
    await stage.until(lambda: stage.get("outwaited")["status"]["scheduleId"])
    schedule = stage.temporal.get_schedule_handle(stage.get("outwaited")["status"]["scheduleId"])
    first = stage.temporal.get_workflow_handle(await start(1))
    stage.apply(with_policy("Forbid"))
    await stage.until(lambda: stage.get("outwaited")["status"]["observedGeneration"] == 2)
    second = stage.temporal.get_workflow_handle(await start(2))

    async def waits() -> bool:
        events = (await second.fetch_history()).events
        return sum(event.HasField("timer_fired_event_attributes") for event in events) >= 2

    async def works() -> bool:
        events = (await second.fetch_history()).events
        return any(event.HasField("activity_task_scheduled_event_attributes") for event in events)

    await stage.until(waits)
    await first.cancel()
    await stage.until(works)
    await second.cancel()
    await stage.keep("outwaited", second)


async def api_away(stage: Stage) -> None:
    """The API server is away: the run cannot be announced, and a workflow of its own records it later."""
    stage.apply(goosejob("api-away", "stub: answer unheard", suspend=True))
    obj = stage.get("api-away")
    template = await stage.once("succeeded").fetch_history()
    [request] = template.events[0].workflow_execution_started_event_attributes.input.payloads
    asked = json.loads(request.data)
    asked["goosejob"] = {"namespace": NAMESPACE, "name": "api-away", "uid": obj["metadata"]["uid"]}
    stage.rig.server("kube-apiserver").kill9()
    handle = await stage.temporal.start_workflow(
        names.WORKFLOW_TYPE,
        asked,
        id="goosejob/default/api-away/once",
        task_queue=names.task_queue("default"),
    )

    await stage.keep("api-away", handle)
    stage.rig.restart("kube-apiserver")
    record = stage.temporal.get_workflow_handle(names.record_workflow_id(handle.id))
    await stage.keep("api-away-record", record)


async def recipes(stage: Stage) -> None:
    """Recipes read for the operator: one that is there, one that is not."""
    (stage.rig.home / "recipes" / "here.yaml").write_text("title: here\n")
    for name, path in {"recipe-read": "here.yaml", "recipe-refused": "../gone.yaml"}.items():
        handle = await stage.temporal.start_workflow(
            names.READ_RECIPE_WORKFLOW_TYPE,
            args=[path, "default"],
            id=f"goosejob-recipe/{name}",
            task_queue=names.task_queue("default"),
        )
        await stage.keep(name, handle)


async def jobs(stage: Stage) -> None:
    """A run in a pool of Kubernetes Jobs, cancelled while nobody starts its pod."""
    stage.worker.stop()
    template = job_pool.write_template(stage.rig.home / "pool.yaml", "nowhere/goose:1", "http://127.0.0.1:1")
    stage.new_worker(**job_pool.environment(template))
    stage.apply(goosejob("job-cancelled"))
    await stage.until(lambda: job_pool.jobs(stage.rig.kubectl, NAMESPACE, "job-cancelled"))
    await stage.once("job-cancelled").cancel()
    await stage.ended("job-cancelled")
    await stage.keep("job-cancelled", stage.once("job-cancelled"))


SCENES = (
    plain_endings,
    cancelled,
    deadlines,
    cancelled_lost,
    worker_lost,
    fenced,
    outwaited,
    recipes,
    api_away,
    jobs,
)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    with rigs.fresh() as rig, ExitStack() as stack:
        rig.operator()
        temporal = await Client.connect(rig.temporal_address, data_converter=pydantic_data_converter)
        yield Stage(rig, stack, temporal)


async def main() -> None:
    DATA.mkdir(exist_ok=True)
    async with stage() as real:
        for scene in SCENES:
            if scene.__name__ in (sys.argv[1:] or [scene.__name__]):
                await scene(real)


if __name__ == "__main__":
    asyncio.run(main())
