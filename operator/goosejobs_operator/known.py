"""What the operator remembers of each GooseJob between looks: a few hundred bytes, never a body.

It is a cache of causes: losing it (a restart) costs one look at everything, nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import NamedTuple

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import is_spent, read_spec, read_status
from goosejobs.model import names
from goosejobs_operator.annotations import tokens_of
from goosejobs_operator.due import (
    SOON_SECONDS,
    is_busy,
    is_left_out,
    next_due,
    until_due,
    waited_for,
)
from goosejobs_operator.failures import is_reached
from goosejobs_operator.queue import Key

_MOST_BEHIND = 5
"""So many looks, each after twice the time: a due time that was missed may stand there until the next one."""


class Mark(NamedTuple):
    """What of an object is a cause to act when it changes; of its status, that is little.

    Attributes:
        completed: Its one run has ended.
        requests: What is asked for by annotations.
        failing: So many runs in a row have failed that it is to be paused.
        spent: So many runs have started as may.
        waited_for: The active runs, if others wait for them: when one ends, the next one starts. Else None.
        told: The status speaks of this generation; somebody may have wiped it.
    """

    uid: str
    generation: int
    deleting: bool
    has_finalizer: bool
    completed: bool
    requests: tuple[str, ...]
    failing: bool
    spent: bool
    waited_for: tuple[str, ...] | None
    told: bool


def mark_of(obj: Object) -> Mark:
    """The mark of an object as it is."""
    meta = obj["metadata"]
    return Mark(
        meta["uid"],
        int(meta.get("generation", 0)),
        "deletionTimestamp" in meta,
        has_finalizer(obj),
        bool((obj.get("status") or {}).get("completionTime")),
        tokens_of(obj),
        is_reached(obj),
        _is_spent(obj),
        waited_for(obj),
        (obj.get("status") or {}).get("observedGeneration") == meta.get("generation"),
    )


def _is_spent(obj: Object) -> bool:
    if not (obj.get("spec") or {}).get("maxRuns"):
        return False
    spec = read_spec(obj)
    return spec is not None and is_spent(spec, read_status(obj))


def has_finalizer(obj: Object) -> bool:
    """Whether the object waits for us before it goes."""
    return names.FINALIZER in obj["metadata"].get("finalizers", ())


def key_of(obj: Object) -> Key:
    """The queue's key of an object."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


@dataclass(slots=True)
class _Entry:
    settled: Mark | None = None
    pool: str = ""
    config_map: str = ""
    due: float = 0.0
    """The next due time as it was last seen, in seconds since 1970; 0: none."""
    judged: float = 0.0
    """The due time of which it is known what became of it, though the status does not show it."""
    look: float = 0.0
    """When Temporal is to be asked, whatever the status says by then; 0: need not be."""
    runs: bool = False
    """Temporal had an active run of it."""
    behind: int = 0
    """How many looks in a row found that Temporal had not come to a due time that has passed."""

    def look_at(self, moment: float) -> None:
        """Have Temporal asked, at the latest then."""
        self.look = min(moment, self.look or moment)

    def note(self, obj: Object, now: datetime) -> None:
        """Take in the status as it is now; what became of a due time that it passed over is to be asked."""
        if self.due != self.judged and is_left_out(obj, self.due, now):
            self.look_at(self.due + SOON_SECONDS)
        self.due = next_due(obj)

    def judge(self, then: float) -> None:
        """Temporal was asked, then."""
        if self.look <= then:
            self.look = 0.0
        if self.due + SOON_SECONDS <= then:
            self.judged = self.due

    def count_behind(self, then: float, *, behind: bool) -> None:
        """Have Temporal asked again soon, and then ever less often, while it is behind."""
        self.behind = self.behind + 1 if behind else 0
        if 0 < self.behind <= _MOST_BEHIND:
            self.look_at(then + SOON_SECONDS * 2 ** (self.behind - 1))


class Known:
    """See the module."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}

    def see(self, key: Key) -> None:
        """There is such an object."""
        self._entries.setdefault(key, _Entry())

    def refer(self, key: Key, pool: str, config_map: str | None) -> None:
        """What an object depends on besides its spec."""
        entry = self._entries.setdefault(key, _Entry())
        entry.pool, entry.config_map = intern(pool), intern(config_map or "")

    def settle(
        self, key: Key, obj: Object, since: datetime, *, runs: bool = False, behind: bool = False
    ) -> None:
        """Everything is as this state of the object asks for.

        Args:
            key: The object's.
            obj: The object.
            since: When Temporal was asked.
            runs: It had an active run.
            behind: It had not come to a due time that has passed.
        """
        entry, mark, then = self._entries.setdefault(key, _Entry()), mark_of(obj), since.timestamp()
        ended = entry.settled is not None and entry.settled.waited_for and mark.waited_for == ()
        entry.judge(then)
        entry.note(obj, since)
        entry.count_behind(then, behind=behind)
        if ended:  # the next one is about to start
            entry.look_at(then + SOON_SECONDS)
        entry.settled, entry.runs = mark, runs

    def until_look(self, key: Key, obj: Object, now: datetime) -> float | None:
        """In how many seconds Temporal is to be asked although nothing else changes; None: never.

        Args:
            key: The object's.
            obj: The object as it is now: what it does not show any more is noted here.
            now: The time.
        """
        entry = self._entries.setdefault(key, _Entry())
        entry.note(obj, now)
        busy = entry.due != entry.judged and is_busy(obj, runs=entry.runs)
        left = [] if (due := until_due(obj, now, busy=busy)) is None else [due]
        return min([*left, *([entry.look - now.timestamp()] if entry.look else [])], default=None)

    def unsettle(self, key: Key) -> None:
        """Look at it again, whatever its mark says."""
        if key in self._entries:
            self._entries[key].settled = None

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._entries.pop(key, None)

    def is_settled(self, key: Key, mark: Mark) -> bool:
        """Whether there is nothing to do for this state of the object."""
        entry = self._entries.get(key)
        return entry is not None and entry.settled == mark

    def keys(self) -> list[Key]:
        """All objects."""
        return list(self._entries)

    def in_pool(self, pool: str) -> list[Key]:
        """The objects whose runs go to a pool."""
        return [key for key, entry in self._entries.items() if entry.pool == pool]

    def from_config_map(self, namespace: str, name: str) -> list[Key]:
        """The objects whose recipe is in a ConfigMap."""
        return [
            key for key, entry in self._entries.items() if key[0] == namespace and entry.config_map == name
        ]

    def pools(self) -> set[str]:
        """The pools in use."""
        return {entry.pool for entry in self._entries.values() if entry.pool}
