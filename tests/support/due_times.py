"""tests/data/cron/due.yaml: which moments schedules are due at, as people check them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

_FILE = Path(__file__).parents[1] / "data/cron/due.yaml"


@dataclass(frozen=True)
class Vector:
    """One schedule, and all its due times within a span.

    Attributes:
        zone: `spec.timeZone`.
        why: What happens there.
        schedule: The expression.
        start: Due times are later.
        end: Due times are not later.
        due: Each as it is written: `2026-10-25T00:30Z = Sun 02:30 CEST`.
    """

    zone: str
    why: str
    schedule: str
    start: datetime
    end: datetime
    due: tuple[str, ...]

    @property
    def moments(self) -> list[datetime]:
        """The due times."""
        return [datetime.fromisoformat(text.split(" = ")[0]) for text in self.due]

    def __str__(self) -> str:
        return f"{self.zone} {self.schedule} {self.start:%F}"


def vectors() -> list[Vector]:
    """All of them."""
    return [
        Vector(
            zone=group["zone"],
            why=group["why"],
            schedule=case["schedule"],
            start=datetime.fromisoformat(group["from"]),
            end=datetime.fromisoformat(group["until"]),
            due=tuple(case["due"]),
        )
        for group in yaml.safe_load(_FILE.read_text())
        for case in group["schedules"]
    ]
