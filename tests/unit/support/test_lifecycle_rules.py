"""The rules of a GooseJob's life: each is broken by a state that breaks it, and a good life breaks none."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from support.lifecycle_rules import LEAVES_CURRENT, violations
from support.lifecycle_states import computed

Object = dict[str, Any]
Edit = Callable[[Object], Any]

LATER = "2026-11-21T12:30:00Z"


def condition(kind: str, status: str, reason: str, generation: int = 2) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-11-21T11:00:00Z",
        "observedGeneration": generation,
    }


def run(hour: int, outcome: str = "Succeeded") -> Object:
    at = f"2026-11-21T{hour:02}:00:0"
    return {
        "id": f"r{hour}",
        "trigger": "Schedule",
        "scheduledTime": f"{at}0Z",
        "startTime": f"{at}1Z",
        "finishTime": f"{at}9Z",
        "attempt": 2,
        "outcome": outcome,
        "reason": "Completed",
    }


def served() -> Object:
    """A state in which everything is right: it waits for its next time, and has run three times."""
    return {
        "metadata": {"name": "a", "uid": "u1", "generation": 2, "resourceVersion": "7"},
        "spec": {"schedule": "0 * * * *", "successfulRunsHistoryLimit": 2, "failedRunsHistoryLimit": 1},
        "status": {
            "observedGeneration": 2,
            "phase": "Active",
            "displaySchedule": "0 * * * *",
            "scheduleId": "s",
            "recipeDigest": "d",
            "nextScheduleTime": "2026-11-21T13:00:00Z",
            "lastScheduleTime": "2026-11-21T12:00:00Z",
            "lastSuccessfulTime": "2026-11-21T12:00:09Z",
            "conditions": [
                condition("Ready", "True", "Scheduled"),
                condition("Suspended", "False", "NotSuspended"),
                condition("LastRunSucceeded", "True", "Completed", 1),
            ],
            "active": [],
            "lastRun": run(12),
            "recentRuns": [run(12), run(11), run(10, "Failed")],
            "counts": {"succeeded": 2, "failed": 1, "killed": 0, "skipped": 4, "consecutiveFailures": 0},
            "handledRequests": {"run": {"token": "t", "answer": "Started"}},
        },
    }


def edited(*edits: Edit) -> Object:
    obj = served()
    for edit in edits:
        edit(obj["status"])
    return obj


def found(*states: Object, leaves: tuple[str, ...] = tuple(LEAVES_CURRENT), gap: bool = False) -> list[str]:
    """The rules that a life of these states breaks, one sentence each."""
    events = [{"type": "MODIFIED", "object": state, **({"gap": True} if gap else {})} for state in states]
    return [text.splitlines()[0].partition("): ")[2] for text in violations(events, leaves=leaves)]


def said(status: Object, kind: str) -> Object:
    return next(c for c in status["conditions"] if c["type"] == kind)


def become(status: Object, kind: str, reason: str) -> None:
    """As the operator says that it is not Ready any more."""
    said(status, "Ready").update(status="False", reason=reason, lastTransitionTime=LATER)
    status["conditions"].append(condition(kind, "True", reason))
    status["phase"] = "Invalid" if kind == "Stalled" else "Pending"


def test_a_good_life_breaks_no_rule() -> None:
    new: Object = {
        "metadata": {"name": "a", "uid": "u1", "generation": 1, "resourceVersion": "1"},
        "spec": {"schedule": "0 * * * *"},
        "status": {"observedGeneration": -1, "phase": "Pending"},
    }
    starts = edited(lambda s: s.update(phase="Running", active=[{**run(13), "workflowId": "w"}]))
    ends = edited(
        lambda s: s.update(lastRun=run(13), recentRuns=[run(13), run(12), run(10, "Failed")]),
        lambda s: s["counts"].update(succeeded=3),
        lambda s: s.update(lastSuccessfulTime="2026-11-21T13:00:09Z"),
    )
    assert found(new) == []
    assert found(served(), starts, ends) == []
    again = deepcopy(new)
    again["metadata"]["uid"] = "u2"
    assert found(ends, again) == []  # another object of that name inherits nothing


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda s: s.pop("observedGeneration"), "observedGeneration is missing"),
        (lambda s: s.update(observedGeneration=3), "beyond generation 2"),
        (lambda s: said(s, "LastRunSucceeded").pop("observedGeneration"), "has observedGeneration None"),
        (lambda s: said(s, "LastRunSucceeded").update(observedGeneration=3), "has observedGeneration 3"),
        (lambda s: said(s, "Ready").update(observedGeneration=1), "Ready is of generation 1"),
        (lambda s: s.update(conditions=[], phase="Pending"), "it is Current, and not Ready"),
        (lambda s: s.update(displaySchedule="@daily"), "displaySchedule is '@daily' instead of '0 * * * *'"),
        (lambda s: said(s, "Suspended").update(status="True", reason="Suspended"), "it is Suspended by it"),
        (lambda s: s.pop("scheduleId"), "no scheduleId"),
        (
            lambda s: s["conditions"].append(condition("Stalled", "False", "Mended")),
            "Stalled is there, and False",
        ),
        (
            lambda s: s["conditions"].append(condition("Reconciling", "True", "Progressing")),
            "it is Reconciling, and Ready is not False",
        ),
        (lambda s: said(s, "Ready").update(status="False"), "nothing says whether somebody has to"),
        (lambda s: s.update(phase="Paused"), "phase is Paused, and all that is said makes it Active"),
        (lambda s: s.update(phase="Terminating"), "nobody has deleted it"),
        (lambda s: s.update(recentRuns=[run(11), run(12)]), "not newest first"),
        (lambda s: s.update(recentRuns=[run(12), run(12)]), "recentRuns has a run twice"),
        (lambda s: s.update(phase="Running", active=[run(12)]), "run r12 is active, and has ended"),
        (
            lambda s: s.update(recentRuns=[run(12), run(11), run(9)]),
            "recentRuns has 3 runs that succeeded, and the limit is 2",
        ),
    ],
)
def test_a_state_that_is_wrong_is_seen(edit: Edit, sentence: str) -> None:
    seen = found(edited(edit))
    assert any(sentence in text for text in seen), seen


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda s: s.update(observedGeneration=1), "observedGeneration fell from 2 to 1"),
        (
            lambda s: said(s, "Ready").update(lastTransitionTime=LATER),
            "changed lastTransitionTime, and not its status",
        ),
        (
            lambda s: said(s, "Ready").update(lastTransitionTime="2026-11-21T10:00:00Z"),
            "lastTransitionTime of condition Ready fell",
        ),
        (lambda s: s.pop("handledRequests"), "the answer to run-requested is gone"),
        (
            lambda s: s["handledRequests"]["run"].update(answer="Skipped"),
            "was Started, and is Skipped",
        ),
        (lambda s: s.pop("lastScheduleTime"), "status.lastScheduleTime is gone"),
        (
            lambda s: s.update(lastSuccessfulTime="2026-11-21T11:00:09Z"),
            "status.lastSuccessfulTime fell from 2026-11-21T12:00:09Z to 2026-11-21T11:00:09Z",
        ),
        (lambda s: s.update(nextScheduleTime="2026-11-21T12:00:00Z"), "nextScheduleTime fell"),
        (lambda s: s["counts"].update(skipped=3), "counts.skipped fell from 4 to 3"),
        (lambda s: s["counts"].pop("failed"), "counts.failed fell from 1 to 0"),
        (lambda s: s["counts"].update(succeeded=4), "2 runs were counted in one write"),
        (lambda s: s.pop("lastRun"), "status.lastRun is gone"),
        (lambda s: s.update(lastRun=run(11)), "lastRun went back from run r12 to run r11"),
        (lambda s: s["recentRuns"].pop(1), "recentRuns lost run r11, with 1 newer ones and a limit of 2"),
        (lambda s: s["recentRuns"].pop(2), "recentRuns lost run r10, with 0 newer ones and a limit of 1"),
        (lambda s: s["recentRuns"][1].update(attempt=1), "run r11 went back to attempt 1"),
        (lambda s: s["recentRuns"][1].update(outcome="Failed"), "run r11 changed its outcome"),
        (
            lambda s: s["recentRuns"][1].update(finishTime="2026-11-21T11:00:08Z"),
            "run r11 ended at 2026-11-21T11:00:09Z, and now earlier",
        ),
        (lambda s: s.update(lastRun=run(13)), "['r13'] were recorded, and 0 counted"),
        (lambda s: s.update(), "a write changed nothing"),
    ],
)
def test_a_change_that_takes_something_back_is_seen(edit: Edit, sentence: str) -> None:
    seen = found(served(), edited(edit))
    assert any(sentence in text for text in seen), seen


def test_a_run_that_is_over_and_not_counted_is_seen() -> None:
    starts = edited(lambda s: s.update(phase="Running", active=[run(13)]))
    assert found(starts, served()) == ["run r13 is not active any more, and was not counted"]
    assert found(starts, served(), gap=True) == []  # it may have been counted in a state that nobody saw


def test_what_comes_next_may_come_earlier_by_a_spec_that_nobody_had_looked_at() -> None:
    sooner = edited(lambda s: s.update(nextScheduleTime="2026-11-21T12:30:00Z"))
    assert found(served(), sooner) != []
    waiting = served()
    for obj in (waiting, sooner):
        obj["metadata"]["generation"] = 3
    sooner["status"]["observedGeneration"] = 3
    for each in sooner["status"]["conditions"]:
        each["observedGeneration"] = 3
    assert found(served(), waiting, sooner) == []


def test_it_leaves_current_only_for_a_reason_that_is_written_down_and_expected() -> None:
    away = edited(lambda s: become(s, "Reconciling", "TemporalUnavailable"))
    back = edited(lambda s: said(s, "Ready").update(lastTransitionTime=LATER))
    assert found(served(), away, back) == []
    left = "it was Current and is InProgress for the same generation (TemporalUnavailable)"
    assert found(served(), away, leaves=()) == [left]
    odd = edited(lambda s: become(s, "Stalled", "InvalidSchedule"))
    assert found(served(), odd) == ["it was Current and is Failed for the same generation (InvalidSchedule)"]
    odd["metadata"]["generation"] = odd["status"]["observedGeneration"] = 3
    for each in odd["status"]["conditions"]:
        each["observedGeneration"] = 3
    assert found(served(), odd) == []


def test_failures_in_a_row_count_from_0_again_only_after_a_success() -> None:
    failed = edited(lambda s: s["counts"].update(consecutiveFailures=1))
    assert found(failed, served()) == ["counts.consecutiveFailures fell from 1 to 0"]
    succeeded = edited(
        lambda s: s.update(lastRun=run(13), recentRuns=[run(13), run(12), run(10, "Failed")]),
        lambda s: s["counts"].update(succeeded=3),
    )
    assert found(failed, succeeded) == []


def test_a_message_shows_the_state_and_the_one_before() -> None:
    fallen = edited(lambda s: s["counts"].update(skipped=3))
    events = [{"type": "ADDED", "object": served()}, {"type": "MODIFIED", "object": fallen}]
    text = violations(events)[0]
    lines = text.splitlines()
    assert lines[0] == "event 1 (MODIFIED): counts.skipped fell from 4 to 3"
    assert "generation=2 observed=2 kstatus=Current phase=Active Ready=True(Scheduled)@2" in lines[1]
    assert lines[2].strip().startswith("was: a v7")


def test_a_write_to_what_is_not_ours_is_seen() -> None:
    ours = served()
    status: Object = {"f:phase": {}}
    finalizers: Object = {"f:finalizers": {".": {}}}
    ours["metadata"]["managedFields"] = [
        {"manager": "kubectl", "fieldsV1": {"f:spec": {}}},
        {"manager": "goosejobs-worker", "fieldsV1": {"f:status": status}},
        {"manager": "goosejobs-operator", "fieldsV1": {"f:metadata": finalizers}},
    ]
    assert found(ours) == []
    finalizers["f:labels"] = {}
    assert found(ours) == ["goosejobs-operator has written ['f:metadata']"]
    ours["metadata"]["managedFields"][1]["fieldsV1"]["f:spec"] = {}
    assert "goosejobs-worker has written ['f:spec', 'f:status']" in found(ours)


def test_kstatus_rules_come_in_their_order() -> None:
    assert computed(served()) == "Current"
    assert computed(edited(lambda s: become(s, "Stalled", "InvalidSpec"))) == "Failed"
    assert computed(edited(lambda s: become(s, "Reconciling", "Progressing"))) == "InProgress"
    assert computed(edited(lambda s: s.update(observedGeneration=1))) == "InProgress"
    leaving = served()
    leaving["metadata"]["deletionTimestamp"] = LATER
    assert computed(leaving) == "Terminating"
    assert computed({"metadata": {"generation": 1}, "spec": {}}) == "Current"  # why -1 is the default
