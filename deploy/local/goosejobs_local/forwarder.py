"""Passes TCP connections on: `python -m goosejobs_local.forwarder LISTEN TARGET`, both as host:port.

Temporal's development server serves on loopback only: what it consists of looks for each other at
127.0.0.1, whatever address it is told to bind. Pods need it at an address of theirs.
"""

import asyncio
import contextlib
import sys

_CHUNK = 65536


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.close()
    else:
        writer.write_eof()


async def _serve(listen: tuple[str, int], target: tuple[str, int]) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            their_reader, their_writer = await asyncio.open_connection(*target)
            try:
                await asyncio.gather(_pass_on(reader, their_writer), _pass_on(their_reader, writer))
            finally:
                their_writer.close()
        writer.close()

    server = await asyncio.start_server(connect, *listen)
    async with server:
        await server.serve_forever()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_address(sys.argv[1]), _address(sys.argv[2])))
