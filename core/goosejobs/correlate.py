"""How often Events are told, by the rules of client-go's recorder.

Repeated ones are counted, not told again, and an object that has much to say is heard less and less. Pure:
the time is told to it.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from goosejobs.events import Event
from goosejobs.model.run import GooseJobRef

SAME: Final = timedelta(hours=1)
"""How long after it was last told the same is the same Event: about as long as the API server keeps one."""
BURST: Final = 25
REFILL: Final = timedelta(minutes=5)
"""client-go's limits for one object. Warnings have tokens of their own: good news must not drown bad."""
REMEMBERED: Final = 4096
"""How many Events, and how many objects' tokens, are kept in mind."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Entry:
    """An Event as it is to stand in the API server.

    Attributes:
        name: The Event object's.
        first: When it was first told.
        last: When it was last told.
        count: How often.
    """

    name: str
    first: datetime
    last: datetime
    count: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: datetime


class _Recent(OrderedDict[K, V], Generic[K, V]):
    """Forgets what was not used for the longest time."""

    def remember(self, key: K, value: V) -> V:
        self[key] = value
        self.move_to_end(key)
        if len(self) > REMEMBERED:
            self.popitem(last=False)
        return value


class Correlator:
    """What one component has told lately."""

    def __init__(self) -> None:
        self._entries: _Recent[str, Entry] = _Recent()
        self._buckets: _Recent[tuple[str, bool], _Bucket] = _Recent()

    def judge(self, ref: GooseJobRef, event: Event, now: datetime) -> Entry | None:
        """Decide about an Event that is to be told now.

        Args:
            ref: About which GooseJob.
            event: What.
            now: When.

        Returns:
            To create when its count is 1, else to change; None: not to be told.
        """
        key = _digest(ref.uid, event.reason, event.once or event.message)
        known = self._entries.get(key)
        if known and event.once:
            return None
        if known and now - known.last <= SAME:
            entry = Entry(known.name, known.first, now, known.count + 1)
            self._entries.remember(key, entry)
        else:
            mark = key if event.once else _digest(key, now.isoformat())
            entry = Entry(f"{ref.name}.{mark}", now, now, 1)
        if not self._take(ref, event, now):
            return None
        return self._entries.remember(key, entry)

    def _take(self, ref: GooseJobRef, event: Event, now: datetime) -> bool:
        key = ref.uid, event.warning
        bucket = self._buckets.get(key) or _Bucket(BURST, now)
        self._buckets.remember(key, bucket)
        bucket.tokens = min(BURST, bucket.tokens + max(now - bucket.at, timedelta()) / REFILL)
        bucket.at = now
        if bucket.tokens < (2 if event.minor else 1):
            return False
        bucket.tokens -= 1
        return True


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
