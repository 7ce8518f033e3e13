"""What the operator remembers of each GooseJob between looks: a few hundred bytes, never a body.

It is a cache of causes: losing it (a restart) costs one look at everything, nothing else.
"""

from dataclasses import dataclass
from sys import intern
from typing import NamedTuple

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import is_spent, read_spec, read_status
from goosejobs.model import names
from goosejobs_operator.annotations import tokens_of
from goosejobs_operator.failures import is_reached
from goosejobs_operator.queue import Key


class Mark(NamedTuple):
    """What of an object is a cause to act when it changes; its status is not, but for a run once's end."""

    uid: str
    generation: int
    deleting: bool
    has_finalizer: bool
    completed: bool
    requests: tuple[str, ...]
    failing: bool
    spent: bool


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

    def settle(self, key: Key, mark: Mark) -> None:
        """Everything is as this state of the object asks for."""
        self._entries.setdefault(key, _Entry()).settled = mark

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
