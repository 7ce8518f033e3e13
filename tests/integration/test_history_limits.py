"""How many runs a GooseJob remembers: as many of each kind as its limits say, as soon as they say so."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.life import Life, living
from support.lifecycle_states import computed, status_of
from support.objects import Object
from support.rig import Rig

pytestmark = pytest.mark.usefixtures("operator", "worker")

RUN = "goosejobs.dev/run-requested"
GOOD, BAD = "stub: answer hello", "stub: status 401"


@pytest.fixture
def life(platform: Rig, namespace: str) -> Iterator[Life]:
    with living(platform, namespace) as life:
        yield life


def runs(life: Life, prompt: str, number: int, **spec: Any) -> Object:
    """Let it run so many times with this prompt, each asked for by hand.

    A run is over for Temporal a moment after it is on record: with Forbid the next one could be skipped.
    """
    life.apply(prompt, schedule="0 0 1 1 *", concurrencyPolicy="Queue", **spec)
    obj = life.current()
    kind = "succeeded" if prompt == GOOD else "failed"
    before = status_of(obj)["counts"][kind]
    for count in range(before + 1, before + number + 1):
        life.ask(RUN, f"{kind}-{count}")
        obj = life.counts(**{kind: count})
    return obj


def outcomes(obj: Object) -> list[str]:
    """Newest first."""
    return [run["outcome"] for run in status_of(obj).get("recentRuns", [])]


def ids(obj: Object) -> list[str]:
    return [run["id"] for run in status_of(obj).get("recentRuns", [])]


def counted(obj: Object) -> Object:
    """All counts but of what waits, which the operator tells: that may be later than the record of a run."""
    return {name: number for name, number in status_of(obj)["counts"].items() if name != "queued"}


def test_each_kind_has_its_own_limit_and_none_is_a_limit_too(life: Life) -> None:
    limits = {"successfulRunsHistoryLimit": 1, "failedRunsHistoryLimit": 0}
    assert outcomes(runs(life, GOOD, 2, **limits)) == ["Succeeded"]
    failed = runs(life, BAD, 1, **limits)
    assert outcomes(failed) == ["Succeeded"]
    assert status_of(failed)["lastRun"]["outcome"] == "Failed"  # what ran last is told in any case
    limits = {"successfulRunsHistoryLimit": 0, "failedRunsHistoryLimit": 2}
    assert outcomes(runs(life, BAD, 2, **limits)) == ["Failed", "Failed"]
    counts = status_of(life.seen.objects[-1])["counts"]
    assert (counts["succeeded"], counts["failed"]) == (2, 3)


def test_a_large_limit_keeps_all_and_a_lowered_one_lets_the_oldest_go_at_once(life: Life) -> None:
    large = {"successfulRunsHistoryLimit": 25, "failedRunsHistoryLimit": 25}
    runs(life, GOOD, 4, **large)
    all_ = runs(life, BAD, 3, **large)
    assert outcomes(all_) == ["Failed"] * 3 + ["Succeeded"] * 4
    life.patch(successfulRunsHistoryLimit=2, failedRunsHistoryLimit=1)
    fewer = life.current()
    assert ids(fewer) == [ids(all_)[0], *ids(all_)[3:5]]  # no run was needed for it
    assert counted(fewer) == counted(all_)
    life.patch(failedRunsHistoryLimit=0, schedule="0 0 30 2 *")  # a bad schedule does not stand in the way
    stalled = life.wait(lambda o: computed(o) == "Failed")
    assert outcomes(stalled) == ["Succeeded"] * 2
