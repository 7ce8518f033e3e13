"""The cases of tests/data/pods/rules.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

_TABLE: Object = yaml.safe_load((Path(__file__).parents[1] / "data/pods/rules.yaml").read_text())


@dataclass(frozen=True)
class Case:
    """A `spec.execution`, and what is said to it; nothing if it is right."""

    execution: Object
    says: str


def cases() -> list[Case]:
    """All of them. A `mount` stands for the one mount of the one volume of an execution."""
    return [Case(_execution(row), row.get("says", "")) for row in [*_TABLE["refused"], *_TABLE["accepted"]]]


def _execution(row: Object) -> Object:
    if "mount" not in row:
        found: Object = row["execution"]
        return found
    mounts = [{"name": "a", **row["mount"]}]
    return {"job": {"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": mounts}}
