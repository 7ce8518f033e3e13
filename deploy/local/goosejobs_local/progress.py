"""How long steps tell whoever waits for them where they are."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a step is.

    Attributes:
        task: What is being made or started: `kube-apiserver`, `goose`.
        text: What is happening, for people: `building`, `waiting for another goosejobs`.
        done: Units done.
        total: Units there are; 0 when nobody knows.
        unit: `packages`, `MB`.
        finished: Nothing more will come for this task.
        quick: It will be over in seconds; not worth a line in a log.
    """

    task: str
    text: str
    done: int = 0
    total: int = 0
    unit: str = ""
    finished: bool = False
    quick: bool = False


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tell nobody."""
