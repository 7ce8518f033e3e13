"""What of an object is a cause to look at it, and what is only its status."""

from typing import Any

import pytest

from goosejobs_operator.known import Known, key_of, mark_of
from support.observations import NOW, goosejob

KEY = ("team-a", "report")
RUN = {"workflowId": "w", "trigger": "Schedule", "startTime": "2026-11-21T12:00:00Z"}


def test_a_change_of_status_is_no_cause() -> None:
    known, obj = Known(), goosejob()
    known.settle(key_of(obj), obj, NOW)
    assert known.is_settled(KEY, mark_of(goosejob(status={"phase": "Running"})))


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 4},
        {"deleted": "2026-11-21T12:00:00Z"},
        {"finalizer": False},
        {"status": {"completionTime": "2026-11-21T12:00:00Z"}},
    ],
)
def test_a_change_of_anything_else_is(change: dict[str, Any]) -> None:
    known, obj = Known(), goosejob()
    known.settle(KEY, obj, NOW)
    assert not known.is_settled(KEY, mark_of(goosejob(**change)))


def test_another_object_of_the_same_name_is_looked_at() -> None:
    known, obj = Known(), goosejob()
    known.settle(KEY, obj, NOW)
    obj["metadata"]["uid"] = "other"
    assert not known.is_settled(KEY, mark_of(obj))


def test_what_an_object_depends_on_finds_it() -> None:
    known = Known()
    known.refer(KEY, "gpu", "recipes")
    known.refer(("team-b", "other"), "default", "recipes")
    assert known.from_config_map("team-a", "recipes") == [KEY]
    assert known.in_pool("gpu") == [KEY]
    assert known.pools() == {"gpu", "default"}
    known.forget(KEY)
    assert (known.in_pool("gpu"), known.keys()) == ([], [("team-b", "other")])


def queue(queued: int, *ids: str) -> dict[str, Any]:
    return goosejob(
        spec={"concurrencyPolicy": "Queue"},
        status={"counts": {"queued": queued}, "active": [{"id": each, **RUN} for each in ids]},
    )


def test_an_active_run_that_ends_is_a_cause_only_while_others_wait_for_it() -> None:
    assert mark_of(queue(1, "a")) != mark_of(queue(1))
    assert mark_of(queue(1, "a")) != mark_of(queue(1, "b"))
    assert mark_of(queue(0, "a")) == mark_of(queue(0))


def test_a_status_that_somebody_broke_is_no_obstacle() -> None:
    broken = {"counts": "many", "active": ["a", None], "nextScheduleTime": 5, "lastScheduleTime": []}
    known = Known()
    known.settle(KEY, goosejob(status=broken), NOW)
    assert known.is_settled(KEY, mark_of(goosejob(status=broken)))
    assert known.until_look(KEY, goosejob(status=broken), NOW) is not None
