"""A link on which what a server answers is under way for a while: so that something can happen meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 65536


@asynccontextmanager
async def slow_link(address: str, seconds: float) -> AsyncIterator[str]:
    """A TCP relay to `host:port`; each answer is so many seconds on its way. Gives its own `host:port`."""
    host, _, port = address.rpartition(":")
    tasks: set[asyncio.Task[None]] = set()

    async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(host, int(port))
        both = {
            asyncio.create_task(_pass_on(source, downstream, 0)),
            asyncio.create_task(_pass_on(upstream, sink, seconds)),
        }
        tasks.update(both)
        await asyncio.wait(both)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    own_host, own_port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{own_host}:{own_port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await source.read(_CHUNK):
            if seconds:
                loop.call_later(seconds, sink.write, data)
            else:
                sink.write(data)
    except ConnectionError:
        pass
    finally:
        loop.call_later(seconds, sink.close)
