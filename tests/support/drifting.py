"""A GooseJob under an operator that looks at everything every second, and what is asked of it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import Client

from support import drift
from support.events import told
from support.objects import Object, condition, get, is_true
from support.rig import Rig
from support.schedules import schedule, schedule_id

Eventually = Callable[..., Awaitable[Any]]

NOBODY: Object = {"execution": {"pool": "nobody"}}
YEARLY: Any = {"schedule": "0 0 1 1 *"}
NAMESPACE = "default"
RUN = "goosejobs.dev/run-requested"
KILL = "goosejobs.dev/kill-requested"


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
