"""How often the API server is written to for one run, counted from its audit log."""

import asyncio
import json

from bench.audit import AuditLog, by_resource
from bench.ground import Ground, grounds
from bench.objects import goosejob, manifest
from bench.rows import NotMeasured, Row

AIM = 2
_NAME = "bench-writes"
_EVERY = "@every 5s"
_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.1


def run(runs: int) -> list[Row]:
    """Measure.

    Args:
        runs: How many runs to count the writes of.

    Raises:
        NotMeasured: They did not come.
    """
    with grounds() as ground:
        ground.up()
        return asyncio.run(_measure(ground, runs))


async def _measure(ground: Ground, runs: int) -> list[Row]:
    log = AuditLog(ground.platform.control_plane.audit_log)
    await ground.kubectl("apply", "-f", "-", text=manifest(goosejob(_NAME, 1, _EVERY)))
    # What is written to bring a new GooseJob up is not of a run; nor is anything between two runs.
    first = await _recorded(ground, 1)
    log.skip()
    last = await _recorded(ground, first + runs)
    changes = log.read()
    ours = [change for change in changes if change.of_goosejob and change.accepted]
    refused = sum(1 for change in changes if change.of_goosejob and not change.accepted)
    counted = last - first
    return [
        Row(
            "writes",
            f"on the GooseJob per run, mean of {counted}",
            len(ours) / counted,
            "",
            AIM,
            f"announce and record; {refused} refused as stale",
        ),
        Row("writes", "on anything per run", len(changes) / counted, "", yardstick=by_resource(changes)),
    ]


async def _recorded(ground: Ground, wanted: int) -> int:
    """Wait until so many runs are recorded and none is active, and say how many there are."""
    seen, left = -1, _WAIT_SECONDS
    while left > 0:
        text = await ground.kubectl("get", "goosejob", _NAME, "-o", "json")
        status = json.loads(text).get("status", {})
        counts = status.get("counts", {})
        if counts.get("failed"):
            raise NotMeasured(f"a run failed: {status['lastRun']['reason']}: {status['lastRun']['message']}")
        done = int(counts.get("succeeded", 0))
        if done >= wanted and not status.get("active"):
            return done
        left = _WAIT_SECONDS if done != seen else left - _POLL_SECONDS
        seen = done
        await asyncio.sleep(_POLL_SECONDS)
    raise NotMeasured(f"no run was recorded in {_WAIT_SECONDS:.0f} s")
