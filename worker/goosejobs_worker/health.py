"""/healthz, /readyz and /metrics, answered by the event loop that also serves the runs.

/healthz always says yes: silence means that the loop hangs, and only then a restart helps. /readyz says
whether runs are taken.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

logger = logging.getLogger(__name__)

_MAX_REQUEST_SECONDS = 5
_BAD_REQUEST = (
    ConnectionError,
    TimeoutError,
    ValueError,
    IndexError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
)


class Health:
    """Whether this worker takes runs.

    Attributes:
        ready: It polls its task queue.
        state: In words.
    """

    def __init__(self) -> None:
        self.ready = False
        self.state = "starting"

    def set(self, state: str, *, ready: bool) -> None:
        """Say what the worker does now."""
        if state != self.state:
            logger.info("%s", state)
        self.state, self.ready = state, ready


@asynccontextmanager
async def serve(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Answer until the block ends; gives the port (for port 0, the one the system chose).

    Raises:
        OSError: The address cannot be used.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*_BAD_REQUEST):
            async with asyncio.timeout(_MAX_REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(health, request.split(b" ")[1].decode()))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _response(health: Health, path: str) -> bytes:
    kind = "text/plain; charset=utf-8"
    if path == "/metrics":
        status, kind, body = "200 OK", CONTENT_TYPE_LATEST, generate_latest()
    elif path in {"/healthz", "/readyz"}:
        status = "200 OK" if health.ready or path == "/healthz" else "503 Service Unavailable"
        body = f"{health.state}\n".encode()
    else:
        status, body = "404 Not Found", b"there are /healthz, /readyz and /metrics\n"
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close\r\n\r\n",
    )
    return "\r\n".join(head).encode() + body
