"""The pods of tests/data/pods/restricted.yaml, in full."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

_TABLE: Object = yaml.safe_load((Path(__file__).parents[1] / "data/pods/restricted.yaml").read_text())


@dataclass(frozen=True)
class Case:
    """A pod, and whether the profile "restricted" admits it."""

    kind: str
    admitted: bool
    says: str
    spec: Object
    metadata: Object

    def __str__(self) -> str:
        return f"{'pass' if self.admitted else 'fail'}-{self.kind}"


def cases(*groups: str) -> list[Case]:
    """The cases of some groups: refused, admitted, also_refused, also_admitted."""
    return [_case(row, admitted=group.endswith("admitted")) for group in groups for row in _TABLE[group]]


def _case(row: Object, *, admitted: bool) -> Case:
    base = copy.deepcopy(_TABLE["base"])
    spec = _merged(base, row.get("pod", {}))
    spec["containers"] = [_merged(base["containers"][0], row.get("main", {}))]
    spec["initContainers"] = [_merged(base["initContainers"][0], row.get("init", {}))]
    metadata = {"annotations": row.get("annotations", {})}
    return Case(row["kind"], admitted, row.get("says", ""), spec, metadata)


def _merged(base: Object, change: Object) -> Object:
    """RFC 7396."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result.get(key, {}), value)
        else:
            result[key] = value
    return result
