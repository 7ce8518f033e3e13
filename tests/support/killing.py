"""An operator that is killed again and again after a few of its writes, until what is to be done is done."""

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from support import audit
from support.objects import Object, get, is_true
from support.rig import Rig

Eventually = Callable[..., Awaitable[Any]]

NOBODY: Object = {"execution": {"pool": "nobody"}}
YEARLY: Any = {"schedule": "0 0 1 1 *", **NOBODY}
QUICK: Any = {
    "GOOSEJOBS_RESYNC_SECONDS": "2",
    "GOOSEJOBS_LEASE_SECONDS": "6",
    # What a deletion waits for is told once two calls of Temporal's client have given up, after 20 s.
    "GOOSEJOBS_DELETION_TIMEOUT_SECONDS": "60",
}


def goosejobs(rig: Rig, namespace: str) -> list[Object]:
    found: list[Object] = json.loads(rig.kubectl("get", "gj", "-n", namespace, "-o", "json").stdout)["items"]
    return found


def patches(rig: Rig, namespace: str) -> int:
    """How often the operator wrote on a GooseJob of the namespace."""
    return sum(
        1
        for event in audit.requests(rig.audit_log, namespace, "goosejobs")
        if event["verb"] == "patch" and "kubectl" not in event["userAgent"]
    )


async def killed_and_started(
    rig: Rig, eventually: Eventually, namespace: str, chance: random.Random, done: Callable[[], bool]
) -> None:
    """Kill the operator again and again after a few of its writes, until what is to be done is done."""
    for _ in range(40):
        with rig.start_operator(wait=False, **QUICK) as operator:
            enough = patches(rig, namespace) + chance.randint(1, 9)
            await eventually(lambda enough=enough: patches(rig, namespace) >= enough or done())
            operator.kill9()
        if done():
            return
    raise AssertionError("it never got done")


async def ready(rig: Rig, eventually: Eventually, namespace: str, name: str) -> Object:
    obj: Object = await eventually(
        lambda: (o := get(rig.kubectl, namespace, name)) and is_true(o, "Ready") and o, timeout=90
    )
    return obj
