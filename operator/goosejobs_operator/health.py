"""/healthz, /readyz and /metrics.

A watch can be dead while its process looks well. So liveness is shown by facts: the last resync listed the
GooseJobs not long ago, and the watch has since delivered the newest of what was listed.
"""

import json
import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from goosejobs.clients.errors import Rejected

WATCH_LAG_SECONDS = 60.0
"""How long the watch may take to deliver what a list has shown."""

RESYNC_GRACE_SECONDS = 120.0
"""How much longer than its period a resync may take."""


class Pulse:
    """Whether events flow. Namespaces are told apart, because each may have a watch of its own.

    Args:
        resync_seconds: How often resyncs take place.
        clock: Monotonic seconds.
    """

    def __init__(self, resync_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = resync_seconds + RESYNC_GRACE_SECONDS
        self._clock = clock
        self._since = clock()
        self._listed_at: float | None = None
        self._watched: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}
        self.standby = True
        self._follows = False

    def watched(self, namespace: str, resource_version: str) -> None:
        """The watch delivered an object."""
        version = version_number(resource_version)
        if version > self._watched.get(namespace, -1):
            self._watched[namespace] = version
        missing = self._missing.get(namespace)
        if missing is not None and missing[0] <= version:
            del self._missing[namespace]

    def listing(self) -> None:
        """A resync goes on: it listed a page."""
        self._since = self._clock()

    def listed(self, newest: dict[str, int]) -> None:
        """A resync listed everything: the newest resourceVersion of each namespace."""
        now = self._listed_at = self._clock()
        before, self._missing = self._missing, {}
        for namespace, version in newest.items():
            if version > self._watched.get(namespace, -1):
                since = before[namespace][1] if namespace in before else now
                self._missing[namespace] = (version, since)
        self._watched = {name: version for name, version in self._watched.items() if name in newest}

    def stand_by(self) -> None:
        """Another replica was seen to be the active one."""
        self._follows = True

    def active(self) -> None:
        """This replica has become the active one: from now on events have to flow."""
        self.standby = False
        self._since = self._clock()

    @property
    def ready(self) -> bool:
        """Whether everything has been looked at once; or another replica does that, and this one can follow.

        Were a replica that stands by not ready, a rollout would wait for it for ever: it becomes active only
        once the old one has gone.
        """
        return self._follows if self.standby else self._listed_at is not None

    def failure(self) -> str:
        """Why the process should be restarted; empty when it should not."""
        now = self._clock()
        if self.standby:
            return ""
        last = max(self._since, self._listed_at or self._since)
        if now - last > self._longest:
            return f"no list of GooseJobs for {now - last:.0f} s"
        late = sorted(name for name, (_, since) in self._missing.items() if now - since > WATCH_LAG_SECONDS)
        return f"the watch has not delivered what was listed in {', '.join(late[:5])}" if late else ""


def version_number(resource_version: str) -> int:
    """Kubernetes' resourceVersions are numbers that grow."""
    return int(resource_version) if resource_version.isdigit() else 0


class HealthServer:
    """Serves what `Pulse` and `metrics` have to tell."""

    def __init__(self, host: str, port: int, pulse: Pulse) -> None:
        self._address = (host, port)
        self._pulse = pulse
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            Rejected: The address cannot be used.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._address).start()
        except OSError as error:
            raise Rejected(f"GOOSEJOBS_HEALTH_ADDRESS: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        failure = self._pulse.failure()
        return _answer(failure or "ok", ok=not failure)

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self._pulse.ready:
            return _answer("not everything has been looked at", ok=False)
        return _answer("standing by: another replica is active" if self._pulse.standby else "ok", ok=True)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(status: str, *, ok: bool) -> web.Response:
    return web.Response(
        text=json.dumps({"status": status}) + "\n", status=200 if ok else 503, content_type="application/json"
    )
