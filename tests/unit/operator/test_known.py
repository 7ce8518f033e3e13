"""What of an object is a cause to look at it, and what is only its status."""

from datetime import timedelta
from typing import Any

import pytest

from goosejobs_operator.known import Known, key_of, mark_of
from goosejobs_operator.reconcile import NEXT_GRACE_SECONDS, until_due
from support.observations import NOW, goosejob

KEY = ("team-a", "report")


def test_a_change_of_status_is_no_cause() -> None:
    known, obj = Known(), goosejob()
    known.settle(key_of(obj), mark_of(obj))
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
    known.settle(KEY, mark_of(obj))
    assert not known.is_settled(KEY, mark_of(goosejob(**change)))


def test_another_object_of_the_same_name_is_looked_at() -> None:
    known, obj = Known(), goosejob()
    known.settle(KEY, mark_of(obj))
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


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (None, None),
        ("", None),
        ("2026-11-21T12:01:00Z", 30 + NEXT_GRACE_SECONDS),
        ("2026-11-21T12:00:00Z", -30 + NEXT_GRACE_SECONDS),
        ("tomorrow", 0.0),
        ("2026-11-21", 0.0),
    ],
)
def test_a_next_time_that_passed_is_noticed(text: str | None, left: float | None) -> None:
    status = {} if text is None else {"nextScheduleTime": text}
    assert until_due(goosejob(status=status), NOW) == left
    assert until_due({**goosejob(), "status": None}, NOW + timedelta(seconds=1)) is None
