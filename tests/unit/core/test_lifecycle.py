"""What `kubectl get goosejobs` prints: the phase and the next time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from goosejobs.lifecycle import next_schedule_time, phase, read_status

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ACTIVE_RUN = {"id": "r", "workflowId": "w", "trigger": "Once", "startTime": "2026-11-21T08:00:00Z"}


def condition(kind: str, value: str = "True") -> dict[str, str]:
    return {"type": kind, "status": value, "reason": "R", "lastTransitionTime": "2026-11-21T08:00:00Z"}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "Pending"),
        ({"conditions": [condition("Ready", "False"), condition("Reconciling")]}, "Pending"),
        ({"conditions": [condition("Ready")]}, "Active"),
        ({"conditions": [condition("Ready"), condition("Suspended")]}, "Paused"),
        ({"conditions": [condition("Ready"), condition("Suspended")], "active": [ACTIVE_RUN]}, "Running"),
        ({"conditions": [condition("Ready")], "completionTime": "2026-11-21T08:00:00Z"}, "Completed"),
        ({"conditions": [condition("Stalled")], "active": [ACTIVE_RUN]}, "Invalid"),
    ],
)
def test_the_phase_is_the_most_pressing_word_that_is_true(status: dict[str, Any], word: str) -> None:
    obj = {"metadata": {}, "status": status}
    assert phase(obj, read_status(obj)) == word


def test_what_has_ended_for_good_is_completed() -> None:
    obj = {"metadata": {}, "status": {"conditions": [{**condition("Ready"), "reason": "Completed"}]}}
    assert phase(obj, read_status(obj)) == "Completed"


def test_while_it_is_suspended_nothing_is_due_whoever_paused_it() -> None:
    obj = {
        "metadata": {},
        "spec": {"recipe": {"path": "r.yaml"}, "schedule": "@daily"},
        "status": {"conditions": [condition("Suspended")]},
    }
    assert next_schedule_time(obj, read_status(obj), NOW) == ""


def test_a_deleted_object_is_terminating_whatever_else_it_is() -> None:
    obj = {"metadata": {"deletionTimestamp": "2026-11-21T08:00:00Z"}, "status": {"active": [ACTIVE_RUN]}}
    assert phase(obj, read_status(obj)) == "Terminating"


@pytest.mark.parametrize(
    ("spec", "time"),
    [
        ({"schedule": "0 9 * * *"}, "2026-11-21T09:00:00Z"),
        ({"schedule": "0 9 * * *", "timeZone": "Europe/Paris"}, "2026-11-22T08:00:00Z"),
        ({"schedules": ["0 12 * * *", "0 10 * * *"]}, "2026-11-21T10:00:00Z"),
        ({"schedule": "0 9 * * *", "skipDates": ["2026-11-21", "2026-11-22"]}, "2026-11-23T09:00:00Z"),
        ({"schedule": "0 9 * * *", "startTime": "2026-12-01T09:00:00Z"}, "2026-12-01T09:00:00Z"),
        ({"schedule": "0 9 * * *", "startTime": "2026-12-01T09:00:00.5Z"}, "2026-12-02T09:00:00Z"),
        ({"schedule": "0 9 * * *", "endTime": "2026-11-21T09:00:00Z"}, "2026-11-21T09:00:00Z"),
        ({"schedule": "0 9 * * *", "endTime": "2026-11-21T08:59:59Z"}, ""),
        ({"schedule": "0 9 * * *", "suspend": True}, ""),
        ({"runOnce": True}, ""),
        ({"schedule": "61 * * * *"}, ""),
        ({"schedule": "0 9 * * *", "timeZone": "Mars/Base"}, ""),
    ],
)
def test_the_next_time_is_told_in_utc_or_is_empty(spec: dict[str, Any], time: str) -> None:
    obj = {"metadata": {}, "spec": {"recipe": {"path": "r.yaml"}, **spec}}
    assert next_schedule_time(obj, read_status(obj), NOW) == time


@pytest.mark.parametrize(
    ("found", "time"),
    [
        ("0 9 * * *", "2026-11-22T08:00:00Z"),
        (None, ""),  # the recipe was not read yet
        ("once", ""),
        ("0 9 * * *; 0 10 * * *", ""),  # edited by hand
    ],
)
def test_a_schedule_from_the_recipe_is_the_one_that_the_operator_found(found: str | None, time: str) -> None:
    spec = {"recipe": {"path": "r.yaml"}, "scheduleFrom": "Recipe", "timeZone": "Europe/Paris"}
    obj = {"metadata": {}, "spec": spec, "status": {"displaySchedule": found}}
    assert next_schedule_time(obj, read_status(obj), NOW) == time


def test_what_is_displayed_does_not_count_beside_a_schedule_of_the_spec() -> None:
    spec = {"recipe": {"path": "r.yaml"}, "schedule": "0 9 * * *"}
    obj = {"metadata": {}, "spec": spec, "status": {"displaySchedule": "0 12 * * *"}}
    assert next_schedule_time(obj, read_status(obj), NOW) == "2026-11-21T09:00:00Z"
