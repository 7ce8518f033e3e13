"""One kind of object in one namespace, as the API server has it: listed once, then watched.

What client-go calls a reflector, with its rules: a watch goes on from the last resourceVersion it told; when
that is too old (410), or refused for any other reason, everything is listed again, and what is no longer
there counts as deleted. A watch that says nothing for longer than bookmarks are apart is taken for dead.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, NoReturn

from goosejobs.clients.depth import decode
from goosejobs.clients.errors import ClientError, Rejected, Unavailable
from goosejobs.clients.kube import Kube, Object, object_path

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name."""

_PAGE: Final = 10
"""Objects a page: whoever may create Jobs or pods may label them as the pool's, and each may have 9 MiB."""
_MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one event: etcd holds objects of 1.5 MiB, and a byte may take six in JSON, as < does."""
_SERVER_SECONDS: Final = 300
_SILENCE: Final = 80.0
"""Seconds; the API server sends a bookmark about every 60."""
_FIRST_DELAY: Final = 0.25
_MAX_DELAY: Final = 15.0
_STEADY: Final = 10.0
"""A connection that held so many seconds is no sign of trouble when it ends."""


def key_of(obj: Object) -> Key:
    """Namespace and name of an object."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


class Reflector:
    """Keeps `items` as the API server has them.

    Args:
        kube: Where to look.
        api: `/api/v1`, or `/apis/<group>/<version>`.
        plural: The kind's plural.
        namespace: None: all.
        selector: A label selector.
        keep: Takes from an object what is worth its memory.
        changed: Called with each object that came, changed or went (as it was last seen); the flag says that
            it is gone.
        silence: Seconds after which a silent watch is renewed.

    Attributes:
        items: What there is.
        listed: Set once the first list is complete.
        answered: Set once the API server has answered, if only by a refusal.
        trouble: Why it is not up to date now; empty when it is.
    """

    def __init__(
        self,
        kube: Kube,
        api: str,
        plural: str,
        namespace: str | None,
        selector: str,
        *,
        keep: Callable[[Object], Object],
        changed: Callable[[Object, bool], None],
        silence: float = _SILENCE,
    ) -> None:
        self.items: dict[Key, Object] = {}
        self.listed = asyncio.Event()
        self.answered = asyncio.Event()
        self.trouble = "not listed yet"
        self._kube = kube
        self._path = object_path(api, plural, namespace)
        self._what = f"{plural} in {f'namespace {namespace}' if namespace else 'all namespaces'}"
        self._selector = selector
        self._keep = keep
        self._changed = changed
        self._silence = silence
        self._version: str | None = None
        self._delay = _FIRST_DELAY

    async def run(self) -> NoReturn:
        """Keep up to date for ever; trouble is waited out."""
        while True:
            began = time.monotonic()
            trouble: ClientError | None = None
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except Rejected as error:
                self._version, trouble = None, error
            except ClientError as error:
                trouble = error
            except Exception as error:
                logger.exception("watching %s failed", self._what)
                self._version, trouble = None, Unavailable(f"watching {self._what} failed: {error!r}")
            if time.monotonic() - began >= _STEADY:
                self._delay = _FIRST_DELAY
            elif trouble is None and self._version is not None:
                trouble = Unavailable(f"Kubernetes API: a watch of {self._what} ended as soon as it began")
            if trouble is not None:
                await self._pause(trouble)

    async def _pause(self, error: ClientError) -> None:
        if str(error) != self.trouble:
            logger.warning("%s; trying again", error)
        self.trouble = str(error)
        if not isinstance(error, Unavailable):
            self.answered.set()
        asked = error.retry_after if isinstance(error, Unavailable) else None
        await asyncio.sleep(max(asked or 0.0, self._delay) * random.uniform(0.7, 1.3))  # noqa: S311
        self._delay = min(self._delay * 2, _MAX_DELAY)

    async def _list(self) -> None:
        query = {"labelSelector": self._selector, "limit": str(_PAGE)}
        there: set[Key] = set()
        while True:
            page = await self._kube.request(f"list {self._what}", "GET", self._path, query=query)
            for obj in page["items"]:
                there.add(key_of(obj))
                self._put(obj)
            token = page["metadata"].get("continue")
            if not token:
                break
            query["continue"] = token
        for key in self.items.keys() - there:
            self._remove(key, None)
        self._version = page["metadata"]["resourceVersion"]
        self._well()
        self.listed.set()
        self.answered.set()

    async def _watch(self) -> None:
        query = {
            "watch": "1",
            "labelSelector": self._selector,
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(_SERVER_SECONDS * random.uniform(0.8, 1.2))),  # noqa: S311
        }
        async with self._kube.stream(
            f"watch {self._what}", self._path, query, silence=self._silence
        ) as pieces:
            self._well()
            async for line in _lines(pieces):
                try:
                    event = decode(line)
                except ValueError:
                    return  # the connection was cut in the middle of a line
                self._take(event["type"], event["object"])
                self._delay = _FIRST_DELAY

    def _take(self, kind: str, obj: Object) -> None:
        if kind == "ERROR":
            message = f"Kubernetes API: the watch of {self._what} ended: {obj.get('message')}"
            code = int(obj.get("code") or 0)
            raise Unavailable(message) if code == 429 or code >= 500 else Rejected(message)
        if kind == "DELETED":
            self._remove(key_of(obj), obj)
        elif kind != "BOOKMARK":
            self._put(obj)
        self._version = obj["metadata"]["resourceVersion"]

    def _put(self, obj: Object) -> None:
        kept = self._keep(obj)
        before = self.items.get(key_of(obj))
        if before is not None and before["metadata"]["uid"] != kept["metadata"]["uid"]:
            self._remove(key_of(obj), None)  # deleted and made anew while nobody watched
        if before != kept:
            self.items[key_of(obj)] = kept
            self._changed(kept, False)

    def _remove(self, key: Key, obj: Object | None) -> None:
        before = self.items.pop(key, None)
        last = self._keep(obj) if obj is not None else before
        if last is not None:
            self._changed(last, True)

    def _well(self) -> None:
        self.trouble = ""


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines, of at most _MAX_LINE bytes."""
    line = bytearray()
    async for piece in pieces:
        rest = piece
        while (end := rest.find(b"\n")) >= 0:
            line += rest[:end]
            yield bytes(line)
            line.clear()
            rest = rest[end + 1 :]
        line += rest
        if len(line) > _MAX_LINE:
            raise Rejected(f"Kubernetes API: a watch event has more than {_MAX_LINE} bytes")
