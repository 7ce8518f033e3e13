"""Which GooseJobs are Ready, as a user of `kubectl get --watch` sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.ground import Ground, ended
from bench.rows import NotMeasured

_READY = (
    "jsonpath={.metadata.name} {.metadata.generation} {.status.observedGeneration} "
    '{.status.conditions[?(@.type=="Ready")].status}{"\\n"}'
)


@asynccontextmanager
async def ready(ground: Ground, namespace: str = "default") -> AsyncIterator[set[str]]:
    """Follow which GooseJobs of a namespace are Ready while the block lasts: their names."""
    found: set[str] = set()
    argv = ground.platform.kubectl(
        "get", "goosejobs", f"--namespace={namespace}", "--watch", f"--output={_READY}"
    )
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )

    async def follow() -> None:
        if process.stdout is None:
            raise NotMeasured("kubectl has no output")
        async for line in process.stdout:
            name, *state = line.decode().split()
            if len(state) == 3 and state[0] == state[1] and state[2] == "True":
                found.add(name)

    following = asyncio.create_task(follow())
    try:
        yield found
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await ended(process)
