"""Every state that a GooseJob was in, in order: a raw watch of the API server, event by event.

What is wrong with them, `support.lifecycle_rules` says.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from support.rig import Rig

WatchEvent = dict[str, Any]
"""As the API server sends it: `type` (ADDED, MODIFIED, DELETED) and `object`. With `gap` there may have been
states before it that nobody saw: the API server had forgotten them when the watch came back."""

_PATH = "/apis/goosejobs.dev/v1alpha1/namespaces/{}/goosejobs?fieldSelector=metadata.name%3D{}"
_RECONNECT_SECONDS = 0.2


class Recording:
    """Collects the events of one name from the moment the block is entered until it is left.

    What has that name already comes first, as ADDED. When the API server goes away meanwhile, the watch goes
    on where it was. Leaving the block waits until the last write has been seen.

    Args:
        platform: Whose API server; it may be restarted meanwhile.
        namespace: The GooseJob's namespace.
        name: Its name; who has it may be deleted and made again.
        timeout: Seconds that leaving the block may wait for what was written last.
    """

    def __init__(self, platform: Rig, namespace: str, name: str, timeout: float = 90.0) -> None:
        self._platform = platform
        self._path = _PATH.format(namespace, name)
        self._timeout = timeout
        self._events: list[WatchEvent] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._watch: subprocess.Popen[str] | None = None
        self._version = ""
        self._failure = ""
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def events(self) -> list[WatchEvent]:
        """All so far, oldest first."""
        with self._news:
            return list(self._events)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The GooseJob in each of its states so far."""
        return [event["object"] for event in self.events]

    def wait(
        self, is_so: Callable[[dict[str, Any]], Any], *, after: int = 0, timeout: float = 90.0
    ) -> dict[str, Any]:
        """The first state in which something is so; blocks until there is one.

        Args:
            is_so: Given each state, in order; what it raises for a field that is not there counts as no.
            after: How many events to leave out: `len(recording.events)` asks for something new.
            timeout: Seconds to wait.

        Raises:
            AssertionError: It was so in none of them in time.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for event in self._events[after:]:
                    after += 1
                    if _holds(is_so, event["object"]):
                        found: dict[str, Any] = event["object"]
                        return found
                left = deadline - time.monotonic()
                if left <= 0:
                    last = self._events[-1]["object"].get("status") if self._events else None
                    raise AssertionError(
                        f"not so within {timeout:g} s {self._failure}; last status: {last!r}"
                    )
                self._news.wait(left)

    def catch_up(self) -> None:
        """Wait for the last write of what is there; of what is gone, for its end."""
        found = json.loads(self._platform.kubectl("get", "--raw", self._path).stdout)["items"]
        last = found[0]["metadata"]["resourceVersion"] if found else ""

        def seen() -> bool:
            if not last:
                return not self._events or self._events[-1]["type"] == "DELETED"
            # A later one, where the watch came back after a gap: both are numbers that grow.
            return any(int(version_of(event)) >= int(last) for event in self._events)

        with self._news:
            if not self._news.wait_for(seen, self._timeout):
                raise AssertionError(f"the watch did not bring the last write ({last}) {self._failure}")

    def __enter__(self) -> Self:
        self._list()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.catch_up()
        finally:
            self._end()

    def _list(self) -> None:
        """Where a watch may begin, and what is there then."""
        found = json.loads(self._platform.kubectl("get", "--raw", self._path).stdout)
        known = {version_of(event) for event in self._events}
        there = [{"apiVersion": found["apiVersion"], "kind": "GooseJob", **each} for each in found["items"]]
        news = [
            {"type": "MODIFIED" if known else "ADDED", "object": each, **({"gap": True} if known else {})}
            for each in there
            if each["metadata"]["resourceVersion"] not in known
        ]
        if known and not there and self._events[-1]["type"] != "DELETED":
            news = [{**self._events[-1], "type": "DELETED", "gap": True}]
        with self._news:
            self._version = found["metadata"]["resourceVersion"]
            self._events += news
            self._news.notify_all()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch_once()
            except subprocess.CalledProcessError as error:  # the API server is away
                self._failure = error.stderr
            except json.JSONDecodeError as error:  # it ended in the middle of a line
                self._failure = str(error)
            self._stop.wait(_RECONNECT_SECONDS)

    def _watch_once(self) -> None:
        query = f"&watch=true&allowWatchBookmarks=true&resourceVersion={self._version}"
        argv = self._platform.platform.kubectl("get", "--raw", self._path + query)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as self._watch:
            for line in self._watch.stdout or ():
                self._take(json.loads(line))
            self._failure = (self._watch.stderr.read() if self._watch.stderr else "").strip()
        if "too old resource version" in self._failure:
            self._version = ""

    def _take(self, event: WatchEvent) -> None:
        with self._news:
            if event["type"] == "ERROR":  # what comes after the version that it asked for is forgotten
                self._version = ""
                return
            self._version = version_of(event)
            if event["type"] != "BOOKMARK":
                self._events.append(event)
                self._news.notify_all()

    def _end(self) -> None:
        deadline = time.monotonic() + self._timeout
        self._stop.set()
        while self._thread.is_alive() and time.monotonic() < deadline:
            if self._watch:
                self._watch.terminate()
            self._thread.join(_RECONNECT_SECONDS)


def version_of(event: WatchEvent) -> str:
    """The resourceVersion of the state that an event tells of."""
    return str(event["object"]["metadata"]["resourceVersion"])


def _holds(is_so: Callable[[dict[str, Any]], Any], obj: dict[str, Any]) -> bool:
    try:
        return bool(is_so(obj))
    except (LookupError, TypeError):
        return False
