"""A proxy in front of the real API server, at which a test stands between a request and its answer.

It serves in a thread of its own, since tests wait for kubectl and for workers to start.
"""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from goosejobs.clients.kube import Kube
from goosejobs_local.controlplane import ControlPlane

_START_SECONDS = 60
_HOP = {"transfer-encoding", "connection", "keep-alive", "content-length", "content-encoding", "host"}


class At(Enum):
    """When a fault happens to a request."""

    REQUEST = "before the API server gets it"
    ANSWER = "when the API server has done it, before the client hears of it"
    END = "when the last piece of the answer has been passed on"


class Cut(Exception):
    """Break the connection off."""


_BROKEN = (Cut, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
"""By a test, or because one of our two sides is gone."""

Fault = Callable[[], web.Response | None]
"""What happens: an answer of its own, or None to go on; raises Cut."""


@dataclass
class _Planned:
    at: At
    method: str
    path: re.Pattern[str]
    fault: Fault
    times: int


@dataclass
class _Answering:
    request: web.Request
    muted: bool = False


@dataclass
class KubeProxy:
    """A running proxy.

    Attributes:
        kubeconfig: Leads a client through it, as the administrator.
        url: Where it serves.
        loop: In which it does.
        requests: Method and path (with its query) of each request, as they came.
    """

    kubeconfig: Path
    url: str
    loop: asyncio.AbstractEventLoop
    requests: list[str] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _answering: list[_Answering] = field(default_factory=list)

    def client(self) -> Kube:
        """A client of ours that goes through it."""
        return Kube(ApiClient(configuration=Configuration(host=self.url)), 10)

    def plan(self, at: At, method: str, path: str, fault: Fault, times: int = 1) -> None:
        """Let a fault happen to the next requests whose path with its query matches."""
        self._planned.append(_Planned(at, method, re.compile(path), fault, times))

    def seen(self, method: str, path: str) -> int:
        """How many such requests came."""
        return sum(bool(re.fullmatch(f"{method} .*{path}.*", one)) for one in self.requests)

    def answering(self, path: str) -> bool:
        """Whether something such is being answered now: else there is nothing to cut, or to mute."""
        return bool(self._answered(path))

    def cut(self, path: str) -> None:
        """Break off what is being answered now."""
        self.loop.call_soon_threadsafe(self._cut, path)

    def mute(self, path: str) -> None:
        """Pass nothing on any more of what is being answered now, and leave it open."""
        self.loop.call_soon_threadsafe(self._mute, path)

    def _cut(self, path: str) -> None:
        for one in self._answered(path):
            if one.request.transport is not None:
                one.request.transport.abort()

    def _mute(self, path: str) -> None:
        for one in self._answered(path):
            one.muted = True

    def _answered(self, path: str) -> list[_Answering]:
        return [one for one in self._answering if re.search(path, one.request.raw_path)]

    def _happen(self, at: At, request: web.Request) -> web.Response | None:
        for planned in self._planned:
            fits = planned.at is at and planned.method == request.method and planned.times > 0
            if fits and planned.path.search(request.raw_path):
                planned.times -= 1
                return planned.fault()
        return None

    async def handle(self, request: web.Request, upstream: aiohttp.ClientSession) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append(f"{request.method} {request.raw_path}")
        try:
            if own := self._happen(At.REQUEST, request):
                return own
            return await self._pass_on(request, upstream)
        except _BROKEN:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _pass_on(self, request: web.Request, upstream: aiohttp.ClientSession) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read() or None  # an empty one would get a content type
        async with upstream.request(request.method, request.raw_path, headers=headers, data=body) as answer:
            if own := self._happen(At.ANSWER, request):
                return own
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            answering = _Answering(request)
            self._answering.append(answering)
            try:
                async for piece in answer.content.iter_any():
                    if not answering.muted:
                        await response.write(piece)
            finally:
                self._answering = [one for one in self._answering if one is not answering]
            if own := self._happen(At.END, request):
                return own
            return response


@contextmanager
def kube_proxy(control_plane: ControlPlane, folder: Path) -> Iterator[KubeProxy]:
    """Serve a proxy while the block lasts.

    Args:
        control_plane: Whose API server it leads to, as its administrator.
        folder: Where the kubeconfig is written.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        proxy = KubeProxy(folder / "proxy.kubeconfig", url, loop)
        proxy.kubeconfig.write_text(_kubeconfig(url))
        serving = _serve(control_plane, proxy, listening)
        asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(_START_SECONDS)
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(_START_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


@asynccontextmanager
async def _serve(
    control_plane: ControlPlane, proxy: KubeProxy, listening: socket.socket
) -> AsyncIterator[None]:
    pki = control_plane.pki
    tls = ssl.create_default_context(cafile=str(pki.authority))
    tls.load_cert_chain(pki.pair("admin").certificate, pki.pair("admin").key)
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with aiohttp.ClientSession(control_plane.server, connector=connector, timeout=timeout) as upstream:

        async def handle(request: web.Request) -> web.StreamResponse:
            return await proxy.handle(request, upstream)

        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            yield
        finally:
            await runner.cleanup()


def _kubeconfig(server: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        }
    )
