"""What an operator says of its rounds through everything."""

import re
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from support.rig import Handle

Eventually = Callable[..., Awaitable[Any]]


def metric(handle: Handle, name: str) -> float:
    """The value of one of its metrics."""
    with urllib.request.urlopen(f"http://{handle.address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


async def resynced(quick: Handle, eventually: Eventually, times: int = 2) -> None:
    """Wait until so many whole resyncs more have ended."""
    for _ in range(times + 1):
        before = metric(quick, "goosejobs_last_resync_timestamp_seconds")
        await eventually(
            lambda before=before: metric(quick, "goosejobs_last_resync_timestamp_seconds") > before
        )
