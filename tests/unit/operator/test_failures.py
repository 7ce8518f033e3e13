"""Failures in a row pause a GooseJob until somebody resumes it."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.api.schedule.v1 import ScheduleState

from goosejobs.clients.kube import Object
from goosejobs.model.reasons import StalledReason
from goosejobs_operator import failures
from goosejobs_operator.desired import refusal
from goosejobs_operator.known import mark_of
from goosejobs_operator.observe import Observation
from goosejobs_operator.requests import is_pending
from goosejobs_operator.schedule import NOTE_FAILURES, NOTE_SUSPEND, merged_state
from goosejobs_operator.status import derive
from support.observations import described, goosejob, seen, wanted

RESUME = "goosejobs.dev/resume-requested"
PAUSED = ScheduleState(paused=True, notes=NOTE_FAILURES)


def failing(
    in_a_row: int, failed: int = 9, limit: Any = 3, resume: Object | None = None, ask: str = "", **more: Any
) -> Object:
    """A GooseJob with so many failures in a row, of so many in all."""
    status: Object = {"observedGeneration": 3, "counts": {"failed": failed, "consecutiveFailures": in_a_row}}
    status["handledRequests"] = {"resume": resume} if resume else {}
    obj = goosejob(spec={"pauseAfterFailures": limit, **more.pop("spec", {})}, status=status, **more)
    obj["metadata"]["annotations"] = {RESUME: ask} if ask else {}
    return obj


def resumed(failed: int, answer: str = "Resumed", value: str = "t") -> Object:
    return {"token": value, "answer": answer, "failed": failed, "message": ""}


@pytest.mark.parametrize(
    ("obj", "reached"),
    [
        (failing(2), False),
        (failing(3), True),
        (failing(3, limit=0), False),
        (failing(3, limit="x", spec={"schedule": 7}), False),
        (failing(5, 5, resume=resumed(5)), False),
        (failing(7, 7, resume=resumed(5)), False),
        (failing(8, 8, resume=resumed(5)), True),
        (failing(3, 8, resume=resumed(5)), True),  # another streak, after a success
        (failing(2, 20, resume=resumed(5)), False),
    ],
)
def test_failures_are_counted_from_the_last_success_or_the_last_time_it_was_resumed(
    obj: Object, reached: bool
) -> None:
    assert failures.is_reached(obj) is reached
    assert failures.pauses(obj, is_paused=False) is reached


def test_a_pause_stays_after_a_success_but_not_without_a_limit_nor_when_it_is_resumed() -> None:
    assert failures.pauses(failing(0), is_paused=True)
    assert not failures.pauses(failing(5, limit=0), is_paused=True)
    assert not failures.pauses(failing(5, resume=resumed(9, "Noted")), is_paused=True)


@pytest.mark.parametrize(
    ("old", "suspend", "failing", "new"),
    [
        ((False, ""), False, True, (True, NOTE_FAILURES)),
        ((True, NOTE_SUSPEND), True, True, (True, NOTE_FAILURES)),
        ((True, NOTE_FAILURES), True, False, (True, NOTE_SUSPEND)),
        ((True, NOTE_FAILURES), False, False, (False, "")),
        ((True, "me"), False, True, (True, "me")),
        ((True, "me"), False, False, (True, "me")),
    ],
)
def test_only_our_own_pause_is_lifted(
    old: tuple[bool, str], suspend: bool, failing: bool, new: tuple[bool, str]
) -> None:
    state = merged_state(
        ScheduleState(paused=old[0], notes=old[1], remaining_actions=4), suspend=suspend, failing=failing
    )
    assert (state.paused, state.notes, state.remaining_actions) == (*new, 4)


def test_the_record_of_the_last_failure_that_is_allowed_is_a_cause_to_look() -> None:
    assert mark_of(failing(2)) == mark_of(failing(1))
    assert mark_of(failing(2)) != mark_of(failing(3))


def look(obj: Object, state: ScheduleState | None = None, **more: Any) -> Observation:
    want = replace(wanted(), failing=state is PAUSED)
    return seen(obj, schedule=described(want, state), **more)


def said(one: Observation) -> Object:
    found: Object = (derive(one) or one.obj["status"])["handledRequests"]["resume"]
    return found


def test_the_condition_says_how_to_resume() -> None:
    status = derive(look(failing(3), PAUSED))
    assert status is not None
    (found,) = (each for each in status["conditions"] if each["type"] == "Suspended")
    assert (found["status"], found["reason"]) == ("True", "PausedAfterFailures")
    assert (
        "kubectl annotate goosejob report -n team-a --overwrite goosejobs.dev/resume-requested"
        in found["message"]
    )
    assert (status["phase"], status["nextScheduleTime"]) == ("Paused", "")


def test_to_resume_is_noted_with_the_failures_so_far_and_answered_once_the_schedule_goes_on() -> None:
    one = look(failing(3, ask="t"), PAUSED)
    assert said(one) == resumed(9, "Noted")
    noted = failing(3, ask="t", resume=resumed(9, "Noted"))
    assert said(look(noted, PAUSED)) == resumed(9, "Noted")
    assert is_pending(noted)
    assert said(look(noted)) == resumed(9)
    assert not is_pending(failing(3, ask="t", resume=resumed(9)))


@pytest.mark.parametrize(
    ("more", "state", "words"),
    [
        ({}, None, "It is not paused after failures."),
        ({"spec": {"suspend": True}}, None, "while spec.suspend is true"),
        ({}, ScheduleState(paused=True, notes="me"), "unpaused in Temporal, where somebody paused it (me)"),
    ],
)
def test_what_is_not_ours_to_lift_is_told(more: Any, state: ScheduleState | None, words: str) -> None:
    one = look(failing(0, ask="u", resume=resumed(5), **more), state)
    found = said(one)
    assert (found["token"], found["answer"], found["failed"]) == ("u", "Refused", 5)
    assert words in found["message"]


@pytest.mark.parametrize("resume", [None, resumed(9, "Noted")])
def test_a_stalled_one_is_mended_first(resume: Object | None) -> None:
    refused = refusal(StalledReason.INVALID_SCHEDULE, "spec.schedule", "no")
    one = look(failing(3, ask="t", resume=resume), PAUSED, refused=refused)
    assert said(one)["answer"] == "Refused"
    assert "spec.schedule: no" in said(one)["message"]
    status = derive(one)
    assert not is_pending({**one.obj, "status": {**one.obj["status"], **(status or {})}})


CONDITION = {
    "type": "Suspended",
    "status": "True",
    "reason": "PausedAfterFailures",
    "lastTransitionTime": "2026-11-21T12:00:00Z",
}


def unpaused(in_a_row: int, resume: Object | None = None, ask: str = "") -> Observation:
    """A look at one that is said to be paused, whose schedule goes on."""
    obj = failing(in_a_row, resume=resume, ask=ask)
    obj["status"]["conditions"] = [CONDITION]
    return look(obj)


def test_unpausing_it_in_temporal_counts_as_resuming_it_from_there() -> None:
    one = unpaused(3)
    found = said(one)
    assert (found["token"], found["answer"], found["failed"]) == ("unpaused-in-temporal", "Resumed", 9)
    after = {**one.obj, "status": {**one.obj["status"], **(derive(one) or {})}}
    assert not failures.pauses(after, is_paused=False)
    assert derive(look(after)) is None


def test_the_answer_to_an_annotation_that_still_stands_there_stays_an_answer_to_it() -> None:
    found = said(unpaused(3, resume=resumed(5, value="in-git"), ask="in-git"))
    assert (found["token"], found["failed"]) == ("in-git", 9)


def test_where_failures_would_not_pause_it_again_there_is_nothing_to_note() -> None:
    one = unpaused(0)
    assert (derive(one) or {}).get("handledRequests") == {}
