"""The HTTP session that kopf lists and watches with."""

from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import kopf

from goosejobs.clients import depth


class _Lines:
    """The content of a response, a line of JSON at a time, each of them shallow."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The lines that are complete so far, as chunks; kopf takes them apart again."""
        rest: list[bytes] = []
        async for data in self._content.iter_chunked(size):
            *lines, last = data.split(b"\n")
            for line in lines:
                yield depth.shallow(b"".join([*rest, line])) + b"\n"
                rest = []
            rest.append(last)
        yield depth.shallow(b"".join(rest))


class _Response(aiohttp.ClientResponse):
    """A response that can be decoded, however deep it is nested; kopf would end at one that cannot."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head; the body is yet to come."""
        await super().start(connection)
        self.content = cast("aiohttp.StreamReader", _Lines(self.content))
        return self

    async def json(self, **_: Any) -> Any:
        """The whole body, decoded."""
        return depth.decode(await self.read())


def session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """A session for kopf, by what it found to log in with; as kopf makes its own, but for the responses."""
    return kopf.AiohttpSession(
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
        aiohttp_session=aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            proxy=info.proxy_url,
            trust_env=info.trust_env,
            response_class=_Response,
        ),
    )
