"""What a worker says of its pool, for the operator to read among the pollers of the pool's task queue."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from goosejobs.model.execution import Mode

_MAX_IDENTITY = 1000
"""Characters that Temporal's server takes by default (limit.maxIDLength)."""
_SAID = re.compile(r" mode=(Job|Process) namespaces=(\S+)\Z")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker takes.

    Attributes:
        mode: As what it runs gooses.
        namespaces: Whose GooseJobs; `*` among them: everybody's.
    """

    mode: Mode
    namespaces: frozenset[str]

    @classmethod
    def of(cls, identity: str) -> Self | None:
        """What a poller's identity says; None when it says nothing."""
        said = _SAID.search(identity)
        return cls(Mode(said[1]), frozenset(said[2].split(","))) if said else None

    def serves(self, namespace: str) -> bool:
        """Whether GooseJobs of this namespace may run."""
        return bool({"*", namespace} & self.namespaces)


def poller_identity(name: str, mode: Mode, namespaces: Iterable[str]) -> str:
    """A worker's identity as a poller. With too many namespaces to be told, it is the name alone.

    Args:
        name: The replica's.
        mode: The pool's.
        namespaces: Those it serves.
    """
    said = f"{name} mode={mode} namespaces={','.join(sorted(namespaces))}"
    return said if len(said) <= _MAX_IDENTITY else name
