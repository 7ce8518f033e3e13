"""What the stub model was asked, and when; it keeps only the last few requests itself."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bench.ground import Ground

_ASK_SECONDS = 5.0


@dataclass(frozen=True)
class Request:
    """A request to the model.

    Attributes:
        time: When it came, as Unix time.
        directive: What the prompt asked the stub for.
    """

    time: float
    directive: str


@asynccontextmanager
async def requests_of(ground: Ground, mark: str) -> AsyncIterator[list[Request]]:
    """Collect requests while the block lasts; the list is filled, in order, when it ends.

    Args:
        ground: With the stub model.
        mark: What their directives contain.
    """
    seen: dict[int, Request] = {}

    def ask() -> None:
        with urllib.request.urlopen(f"{ground.address('model')}/stub/requests", timeout=10) as answer:  # noqa: S310
            requests = json.load(answer)["requests"]
        seen.update(
            {
                one["number"]: Request(one["time"], one["directive"])
                for one in requests
                if mark in one["directive"]
            }
        )

    async def go_on() -> None:
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            await asyncio.to_thread(ask)

    asking = asyncio.create_task(go_on())
    found: list[Request] = []
    try:
        yield found
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    ask()
    found.extend(seen[number] for number in sorted(seen))
