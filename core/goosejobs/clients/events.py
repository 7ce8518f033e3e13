"""Tells Events of GooseJobs to the API server, where it does not stand in the way of anything.

They are core/v1 Events, as CronJob's: `kubectl describe` sorts by `lastTimestamp` and shows `count`; those of
events.k8s.io have neither.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Self

from goosejobs.clients.errors import ClientError, Conflict, NotFound, Unavailable
from goosejobs.clients.kube import Kube, Object, object_path
from goosejobs.correlate import Correlator, Entry
from goosejobs.events import Event
from goosejobs.lifecycle import rfc3339
from goosejobs.model import names
from goosejobs.model.run import GooseJobRef

WAITING: Final = 1024
"""How many may wait to be told; what comes then is dropped."""
_INTERVAL: Final = 0.02
"""Seconds between two: at most 50 a second, whatever happens."""
_TIMEOUT: Final = 5.0
_MAX_PAUSE: Final = 30.0
_FLUSH: Final = 2.0
"""Seconds that an end waits for what is still to be told."""
_MERGE: Final = "application/merge-patch+json"

log = logging.getLogger(__name__)

Count = Callable[[str], None]


class Recorder:
    """Tells Events in a task of its own while its block lasts; best effort, a lost one is counted.

    Args:
        kube: The API server.
        component: `goosejobs-operator` or `goosejobs-worker`.
        instance: Which replica of it.
        count: Called with each Event's fate: `told`, `repeated` (it stood there, or was told often enough),
            `dropped` (too many waited) or `failed`.
    """

    def __init__(self, kube: Kube, component: str, instance: str, count: Count) -> None:
        self._kube = kube
        self._component = component
        self._instance = instance
        self._count = count
        self._correlator = Correlator()
        self._waiting: asyncio.Queue[tuple[GooseJobRef, Event, Entry]] = asyncio.Queue(WAITING)
        self._trouble = ""
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._telling = asyncio.create_task(self._tell_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), _FLUSH)
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def tell(self, ref: GooseJobRef, *events: Event) -> None:
        """Tell these of a GooseJob, soon. Returns at once, and never fails."""
        for event in events:
            entry = self._correlator.judge(ref, event, datetime.now(UTC))
            if entry is None:
                self._count("repeated")
            elif self._waiting.full():
                self._count("dropped")
            else:
                self._waiting.put_nowait((ref, event, entry))

    async def _tell_all(self) -> None:
        while True:
            ref, event, entry = await self._waiting.get()
            pause = _INTERVAL
            try:
                self._count(await self._tell(ref, event, entry))
                self._trouble = ""
            except ClientError as error:
                self._count("failed")
                pause = self._pause(error)
            except Exception:
                self._count("failed")
                log.exception("an Event could not be told")
            finally:
                self._waiting.task_done()
            await asyncio.sleep(pause)

    def _pause(self, error: ClientError) -> float:
        if type(error).__name__ != self._trouble:
            self._trouble = type(error).__name__
            log.warning("Events are lost: %s", error)
        if isinstance(error, Unavailable):
            return min(error.retry_after or 1.0, _MAX_PAUSE)
        return _INTERVAL

    async def _tell(self, ref: GooseJobRef, event: Event, entry: Entry) -> str:
        path = object_path("/api/v1", "events", ref.namespace)
        what = f"tell {event.reason} of GooseJob {ref.namespace}/{ref.name}"
        if entry.count > 1:
            news = {"count": entry.count, "lastTimestamp": rfc3339(entry.last)}
            with suppress(NotFound):  # the API server has forgotten it by now
                await self._kube.request(
                    what, "PATCH", f"{path}/{entry.name}", body=news, content_type=_MERGE, timeout=_TIMEOUT
                )
                return "told"
        try:
            await self._kube.request(
                what, "POST", path, body=self._manifest(ref, event, entry), timeout=_TIMEOUT
            )
        except Conflict:  # another try of the same step told it
            return "repeated"
        return "told"

    def _manifest(self, ref: GooseJobRef, event: Event, entry: Entry) -> Object:
        about: dict[str, Any] = {"apiVersion": names.API_VERSION, "kind": names.KIND}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": entry.name, "namespace": ref.namespace},
            "involvedObject": {**about, "namespace": ref.namespace, "name": ref.name, "uid": ref.uid},
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "firstTimestamp": rfc3339(entry.first),
            "lastTimestamp": rfc3339(entry.last),
            "count": entry.count,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
