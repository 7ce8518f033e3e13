"""The operator's part of the status, as kstatus reads it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.schedule.v1 import ScheduleState

from goosejobs.clients.kube import Object
from goosejobs.model.reasons import ReadyReason, StalledReason
from goosejobs.model.spec import ConcurrencyPolicy
from goosejobs_operator.desired import refusal
from goosejobs_operator.observe import Observation
from goosejobs_operator.schedule import LeftOut
from goosejobs_operator.status import OWNED_CONDITIONS, derive, derive_failing
from goosejobs_operator.temporal import RunState
from support.observations import NOW, described, goosejob, request, seen, served, wanted

REFUSED = refusal(StalledReason.NEVER_FIRES, "spec.schedule", "it never fires")
SOON = "2026-11-21T12:00:00Z"
OPEN = RunState(open=True, terminated=False, start_time=NOW, close_time=None)


def conditions(status: dict[str, Any] | None) -> dict[str, tuple[str, str]]:
    assert status is not None
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def message(status: dict[str, Any] | None, kind: str) -> str:
    assert status is not None
    return next(str(c["message"]) for c in status["conditions"] if c["type"] == kind)


def kstatus(obj: Object) -> str:
    """What kstatus makes of an object (its documented order of rules)."""
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    status = obj["status"]
    if status["observedGeneration"] != obj["metadata"]["generation"]:
        return "InProgress"
    truths = {c["type"]: c["status"] for c in status["conditions"]}
    if truths.get("Reconciling") == "True":
        return "InProgress"
    if truths.get("Stalled") == "True":
        return "Failed"
    return "Current" if truths.get("Ready", "True") == "True" else "InProgress"


def written(look: Observation) -> Object:
    """The object after the status was written."""
    status = derive(look)
    return {**look.obj, "status": {**look.obj["status"], **(status or {})}}


once = goosejob(spec={"runOnce": True})
suspended = goosejob(spec={"suspend": True})
paused_by_us = described(wanted(suspend=True))
paused_by_them = described(wanted(), ScheduleState(paused=True, notes="maintenance"))

LOOKS = {
    "scheduled": (served(), "Current", "Active", "Scheduled"),
    "suspended": (seen(suspended, schedule=paused_by_us), "Current", "Paused", "Suspended"),
    "paused in Temporal": (seen(schedule=paused_by_them), "Current", "Paused", "Suspended"),
    "refused": (seen(refused=REFUSED), "Failed", "Invalid", "ScheduleNeverFires"),
    "waiting for a worker": (seen(waiting="wait"), "InProgress", "Pending", "WaitingForWorker"),
    "started once": (seen(once, once=OPEN), "Current", "Active", "Started"),
    "once, suspended": (
        seen(goosejob(spec={"runOnce": True, "suspend": True}), request=request()),
        "Current",
        "Paused",
        "Suspended",
    ),
    "once, suspended too late": (
        seen(goosejob(spec={"runOnce": True, "suspend": True}), once=OPEN),
        "Current",
        "Paused",
        "Started",
    ),
    "completed": (
        seen(goosejob(spec={"runOnce": True}, status={"completionTime": SOON})),
        "Current",
        "Completed",
        "Completed",
    ),
    "deleted": (seen(goosejob(deleted=SOON), open_runs=("a",)), "Terminating", "Terminating", "Deleting"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_ready_the_phase_and_kstatus_say_the_same(name: str) -> None:
    look, judged, phase, reason = LOOKS[name]
    obj = written(look)
    assert (kstatus(obj), obj["status"]["phase"]) == (judged, phase)
    assert conditions(obj["status"])["Ready"][1] == reason


@pytest.mark.parametrize("name", LOOKS)
def test_reconciling_and_stalled_stand_there_only_while_true(name: str) -> None:
    now = conditions(derive(LOOKS[name][0]))
    for kind in ("Reconciling", "Stalled"):
        assert now.get(kind, ("True", ""))[0] == "True"
    assert now["Ready"][0] == ("False" if {"Reconciling", "Stalled"} & set(now) else "True")


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.invariant("I19")
def test_a_second_look_at_the_same_writes_nothing(name: str) -> None:
    look = LOOKS[name][0]
    again = replace(look, obj=written(look), now=NOW + timedelta(seconds=5))
    assert derive(again) is None


@pytest.mark.invariant("I14")
def test_every_condition_speaks_of_the_generation_that_was_looked_at() -> None:
    status = derive(seen(goosejob(generation=9), refused=REFUSED))
    assert status is not None
    assert status["observedGeneration"] == 9
    assert {c["observedGeneration"] for c in status["conditions"]} == {9}


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    old = "2026-01-01T00:00:00Z"
    status = {"conditions": [{"type": "Ready", "status": "True", "reason": "X", "lastTransitionTime": old}]}
    look = served()
    kept = derive(seen(goosejob(status=status), schedule=look.schedule))
    assert kept is not None
    times = {c["type"]: c["lastTransitionTime"] for c in kept["conditions"]}
    assert times["Ready"] == old
    assert times["Suspended"] == "2026-11-21T12:00:30Z"


def test_the_others_conditions_and_fields_are_not_ours_to_write() -> None:
    theirs = {
        "type": "LastRunSucceeded",
        "status": "True",
        "reason": "Completed",
        "lastTransitionTime": SOON,
    }
    status = derive(seen(goosejob(status={"conditions": [theirs], "counts": {"succeeded": 4}})))
    assert status is not None
    assert set(conditions(status)) <= OWNED_CONDITIONS
    assert set(status["counts"]) == {"skipped", "missed", "queued"}
    assert not {"active", "lastRun", "recentRuns", "completionTime"} & set(status)


def test_a_refusal_says_the_field_and_that_the_schedule_goes_on() -> None:
    status = derive(seen(refused=REFUSED, schedule=described(wanted(generation=2))))
    assert message(status, "Stalled").startswith("spec.schedule: it never fires")
    assert "goes on as generation 2" in message(status, "Stalled")
    paused = described(wanted(suspend=True))
    status = derive(seen(refused=REFUSED, schedule=paused))
    assert message(status, "Stalled").endswith("Until this is mended, its schedule stays paused.")


def test_without_a_schedule_nothing_comes_next() -> None:
    refused, scheduled = derive(seen(refused=REFUSED)), derive(served())
    assert refused is not None
    assert scheduled is not None
    assert (refused["nextScheduleTime"], "scheduleId" in refused) == ("", False)
    assert scheduled["nextScheduleTime"] == "2026-11-22T08:00:00Z"
    assert derive(seen(schedule=paused_by_them))["nextScheduleTime"] == ""  # type: ignore[index]


@pytest.mark.invariant("I5")
def test_what_did_not_run_is_counted_and_never_counted_back() -> None:
    have = described(wanted(), counted=LeftOut(skipped=5, missed=2))
    counted = derive(seen(schedule=have))
    assert counted is not None
    assert counted["counts"] == {"skipped": 5, "missed": 2, "queued": 0}
    kept = derive(seen(goosejob(status={"counts": {"skipped": 9, "missed": 1}}), schedule=have))
    assert kept is not None
    assert kept["counts"] == {"skipped": 9, "missed": 2, "queued": 0}


@pytest.mark.parametrize(("policy", "number"), [("Queue", 7), ("Replace", 0), ("Forbid", 0)])
def test_how_many_wait_is_told_where_runs_are_queued(policy: str, number: int) -> None:
    have = described(wanted(concurrency_policy=ConcurrencyPolicy(policy)), buffered=7)
    status = derive(seen(schedule=have))
    assert status is not None
    assert status["counts"]["queued"] == number
    gone = derive(seen(goosejob(status={"counts": {"queued": 7}})))
    assert gone is not None
    assert gone["counts"]["queued"] == 0


def test_a_due_time_that_passed_just_now_is_left_to_the_worker_that_starts_the_run() -> None:
    late = {**written(served())["status"], "nextScheduleTime": "2026-11-21T12:00:25Z"}
    look = served(obj=goosejob(status=late))
    assert derive(look) is None
    assert derive(replace(look, now=NOW + timedelta(seconds=5))) is not None
    counted = replace(look, schedule=described(wanted(), counted=LeftOut(skipped=1)))
    status = derive(counted)
    assert status is not None
    assert status["nextScheduleTime"] == "2026-11-22T08:00:00Z"


@pytest.mark.parametrize(("workers", "truth"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_whether_the_pool_has_workers_is_told_without_making_it_unready(
    workers: bool | None, truth: str
) -> None:
    now = conditions(derive(seen(schedule=described(wanted()), workers=workers)))
    assert (now["WorkersAvailable"][0], now["Ready"][0]) == (truth, "True")


def test_while_temporal_is_away_it_is_not_ready_but_in_progress() -> None:
    obj = written(served())
    status = derive_failing(obj, ReadyReason.TEMPORAL_UNAVAILABLE, "Temporal: no answer", NOW)
    assert conditions(status)["Ready"] == ("False", "TemporalUnavailable")
    assert conditions(status)["Reconciling"] == ("True", "TemporalUnavailable")
    assert {"Suspended", "WorkersAvailable"} <= set(conditions(status))
    assert kstatus({**obj, "status": status}) == "InProgress"
    again = derive_failing({**obj, "status": status}, ReadyReason.TEMPORAL_UNAVAILABLE, "x", NOW)
    assert conditions(again)["Ready"] == ("False", "TemporalUnavailable")


def test_a_deletion_that_waits_for_temporal_says_so() -> None:
    status = derive_failing(
        goosejob(deleted=SOON), ReadyReason.TEMPORAL_UNAVAILABLE, "Temporal: no answer", NOW
    )
    assert conditions(status)["Ready"] == ("False", "Deleting")
    assert "Temporal: no answer" in message(status, "Ready")


@given(text=st.text(max_size=9000), schedules=st.lists(st.just("0 8 * * * "), min_size=1, max_size=16))
@settings(max_examples=50, deadline=None)
def test_whatever_is_said_fits_into_the_crd(text: str, schedules: list[str]) -> None:
    obj = goosejob(spec={"schedule": None, "schedules": [s * 20 for s in schedules]})
    del obj["spec"]["schedule"]
    status = derive(seen(obj, refused=refusal(StalledReason.INVALID_SPEC, "spec", text)))
    assert status is not None
    assert len(status["displaySchedule"]) <= 512
    assert all(len(c["message"]) <= 32768 for c in status["conditions"])
