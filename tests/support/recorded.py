"""What the API server of a real node said about Jobs and pods, moment by moment: tests/data/pods/recorded.

Recorded with `kubectl get --watch` on Kubernetes 1.35.4 with containerd 1.6.20 and cgroup v1. Cut off is what
nobody reads: managed fields, addresses, ids, the parts of the spec that are always the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from goosejobs_worker.executors.kubernetes.diagnose import Diagnosis, diagnose

Object = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "data/pods/recorded"
_AFTER = 90
"""How many seconds are looked at after the last moment."""


@dataclass(frozen=True)
class Recording:
    """One Job and its pod, from its creation on.

    Attributes:
        name: The file's.
        start: When the Job was created.
        start_timeout: How long goose may take to start.
        expected: Where `diagnose` is to find something: `at`, in seconds, `reason` and `message`.
        moments: `at`, `event` and `object`, in order.
    """

    name: str
    start: datetime
    start_timeout: timedelta
    expected: Object | None
    moments: list[Object]


def names() -> list[str]:
    """All recordings."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> Recording:
    """Read a recording."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    found = yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader=loader)  # noqa: S506 -- one of the safe two
    return Recording(
        name=name,
        start=datetime.fromisoformat(found["start"]),
        start_timeout=timedelta(seconds=found["startTimeout"]),
        expected=found["expected"],
        moments=found["moments"],
    )


def looks(recording: Recording) -> Iterator[tuple[float, Object, Object | None]]:
    """The time, the Job and the pod as last seen: at each moment, and each second in between.

    It ends where the Job is gone: nobody asks any more why its pod goes, too.
    """
    job: Object | None = None
    pod: Object | None = None
    moments = recording.moments
    ends = [moment["at"] for moment in moments[1:]] + [moments[-1]["at"] + _AFTER]
    for moment, end in zip(moments, ends, strict=True):
        if moment["object"]["kind"] == "Job":
            job = moment["object"]
        else:
            pod = moment["object"]
        at = moment["at"]
        if moment["event"] == "DELETED" and moment["object"]["kind"] == "Job":
            return
        while job is not None and at < end:
            yield round(at, 1), job, pod
            at += 1


def first_diagnosis(recording: Recording) -> tuple[float, Diagnosis] | None:
    """When `diagnose` finds something for the first time, and what."""
    for at, job, pod in looks(recording):
        now = recording.start + timedelta(seconds=at)
        if (found := diagnose(job, pod, now, recording.start_timeout)) is not None:
            return at, found
    return None
