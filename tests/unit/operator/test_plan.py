"""What the operator decides to do, from one look."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.api.schedule.v1 import ScheduleState

from goosejobs.model.reasons import StalledReason
from goosejobs.model.run import Trigger
from goosejobs.model.status import ActiveRun
from goosejobs_operator.desired import refusal
from goosejobs_operator.observe import GoneRun
from goosejobs_operator.plan import (
    ATTRIBUTES,
    STILL_LEAVING_SECONDS,
    VERIFY_SECONDS,
    AddFinalizer,
    CancelRun,
    CloseRecord,
    CreateSchedule,
    DeleteSchedule,
    LookAgain,
    RemoveFinalizer,
    StartOnce,
    TerminateRun,
    TrimHistory,
    UpdateSchedule,
    plan,
)
from goosejobs_operator.schedule import NOTE_SUSPEND, Described, WantedSchedule, paused
from goosejobs_operator.temporal import RunState
from support.observations import NOW, described, goosejob, request, schedule, seen, served, wanted

ID = "goosejob/team-a/report/11111111-2222-3333-4444-555555555555"
JUST_NOW, LONG_AGO = "2026-11-21T12:00:00Z", "2026-11-21T11:00:00Z"
EDITED = "Somebody edited the schedule in Temporal ({}): it is as the spec says again."
REFUSED = refusal(StalledReason.INVALID_SCHEDULE, "spec.schedule", "no")
OPEN = RunState(open=True, terminated=False, start_time=NOW, close_time=None)
CLOSED = RunState(open=False, terminated=True, start_time=NOW, close_time=NOW)
RECORD = {
    "id": "once",
    "trigger": "Once",
    "startTime": JUST_NOW,
    "finishTime": JUST_NOW,
    "attempt": 1,
    "outcome": "Succeeded",
    "reason": "Completed",
}


def once(**more: object) -> dict[str, object]:
    return goosejob(spec={"runOnce": True, **more})


def test_nothing_is_to_be_done_when_everything_is_as_it_should_be() -> None:
    assert plan(served()) == []


def test_a_new_object_gets_our_finalizer_before_its_schedule() -> None:
    want = wanted()
    assert plan(seen(goosejob(finalizer=False), wanted=want)) == [AddFinalizer(), CreateSchedule(want)]


def test_a_schedule_that_somebody_deleted_is_created_again() -> None:
    want = wanted()
    assert plan(seen(wanted=want)) == [CreateSchedule(want)]


def test_a_schedule_that_differs_is_replaced_in_one_step_and_looked_at_again() -> None:
    have, target = described(wanted("0 9 * * *")), schedule(wanted())
    assert plan(seen(schedule=have, wanted=wanted(), target=target)) == [
        UpdateSchedule(ID, target, b"token", ("spec",), EDITED.format("spec")),
        LookAgain(VERIFY_SECONDS),
    ]


def told(have: Described, want: WantedSchedule) -> str:
    """What is told of a schedule that is not as wanted."""
    target = schedule(want, have.schedule.state)
    return next(
        step.drift
        for step in plan(seen(schedule=have, wanted=want, target=target))
        if isinstance(step, UpdateSchedule)
    )


def test_what_the_spec_or_a_recipe_or_a_key_has_changed_is_not_told_as_somebodys_edit() -> None:
    old = described(wanted("0 9 * * *", generation=2))
    assert told(old, wanted()) == ""
    newer = request().recipe.model_copy(update={"text": "prompt: bye"})
    want = replace(wanted(), request=request().model_copy(update={"recipe": newer}))
    assert told(described(wanted()), want) == ""
    assert told(described(wanted("0 9 * * *"), current=False), wanted()) == ""


def test_an_argument_that_is_nothing_of_ours_is_somebodys_edit() -> None:
    assert told(replace(described(wanted("0 9 * * *")), request=None), wanted()) == EDITED.format("spec")


def test_moments_that_are_other_ones_each_year_are_nobodys_edit() -> None:
    have, want = described(wanted()), wanted()
    moment = have.schedule.spec.interval.add()
    moment.interval.FromSeconds(1_800_000_000)
    assert told(have, want) == ""
    often = have.schedule.spec.interval.add()
    often.interval.FromSeconds(60)
    assert told(have, want) == EDITED.format("spec")


def test_a_pause_that_is_ours_is_told_only_where_somebody_had_lifted_it() -> None:
    assert "paused again" in told(described(wanted()), wanted(suspend=True))
    failing = replace(wanted(), failing=True)
    have = described(wanted())
    target = schedule(failing)
    (update, _) = plan(seen(schedule=have, wanted=failing, target=target))
    assert isinstance(update, UpdateSchedule)
    assert (update.parts, update.drift) == (("state",), "")


def test_a_schedule_without_our_search_attribute_gets_it_back() -> None:
    have = described(wanted(), attributed=False)
    (update, _) = plan(seen(schedule=have, wanted=wanted(), target=have.schedule))
    assert isinstance(update, UpdateSchedule)
    assert (update.parts, update.drift) == ((ATTRIBUTES,), EDITED.format(ATTRIBUTES))


def test_a_schedule_that_was_there_before_is_lost_and_its_pause_is_looked_at_before_all_else() -> None:
    obj = goosejob(status={"scheduleId": ID})
    want = wanted()
    assert plan(seen(obj, wanted=want)) == [CreateSchedule(want, lost=True)]
    for paused_ in (replace(want, failing=True), replace(want, held="theirs")):
        assert plan(seen(obj, wanted=paused_)) == [CreateSchedule(paused_, lost=True), LookAgain(0)]


@pytest.mark.parametrize(
    "more", [{"refused": REFUSED}, {"wanted": wanted(), "target": described(wanted()).schedule}]
)
def test_a_finalizer_that_somebody_removed_is_put_back(more: dict[str, Any]) -> None:
    assert plan(seen(goosejob(finalizer=False), schedule=described(wanted()), **more)) == [AddFinalizer()]


def test_a_run_that_goes_on_without_our_finalizer_gets_it_back() -> None:
    obj = goosejob(spec={"runOnce": True}, finalizer=False)
    assert plan(seen(obj, request=request(), once=OPEN)) == [AddFinalizer()]


def test_suspend_pauses_under_our_note() -> None:
    have = described(wanted())
    target = schedule(wanted(suspend=True), have.schedule.state)
    (update, _) = plan(seen(schedule=have, wanted=wanted(suspend=True), target=target))
    assert isinstance(update, UpdateSchedule)
    assert (update.to.state.paused, update.to.state.notes, update.parts) == (True, NOTE_SUSPEND, ("state",))


@pytest.mark.parametrize("finalizer", [True, False])
def test_a_bad_spec_changes_nothing(finalizer: bool) -> None:
    assert plan(seen(goosejob(finalizer=finalizer), refused=REFUSED)) == []
    assert plan(seen(refused=REFUSED, schedule=described(wanted()))) == []


def test_suspend_works_even_where_the_spec_is_bad_otherwise() -> None:
    have = described(wanted())
    (update, _) = plan(seen(refused=REFUSED, schedule=have, target=paused(have.schedule)))
    assert isinstance(update, UpdateSchedule)
    assert update.parts == ("state",)


def test_a_bad_spec_does_not_lift_anybodys_pause() -> None:
    state = ScheduleState(paused=True, notes="me")
    have = described(wanted(), state)
    assert plan(seen(refused=REFUSED, schedule=have, target=paused(have.schedule))) == []


def test_a_run_once_starts_after_our_finalizer_is_there() -> None:
    obj = goosejob(spec={"runOnce": True}, finalizer=False)
    assert plan(seen(obj, request=request())) == [AddFinalizer(), StartOnce(request())]


@pytest.mark.parametrize(
    "status",
    [
        {"completionTime": JUST_NOW},
        {"lastRun": RECORD},
        {"recentRuns": [RECORD]},
    ],
)
def test_a_run_once_that_is_on_record_never_starts_again(status: dict[str, object]) -> None:
    obj = goosejob(spec={"runOnce": True}, status=status)
    assert plan(seen(obj, request=request())) == []


def test_a_run_once_that_has_started_is_left_alone() -> None:
    assert plan(seen(once(), request=request(), once=OPEN)) == []


def test_a_suspended_run_once_waits() -> None:
    assert plan(seen(once(suspend=True), request=request())) == []


def test_the_record_of_a_run_whose_workflow_is_gone_is_closed_before_anything_else() -> None:
    run = ActiveRun(id="once", workflow_id=f"{ID}/once", trigger=Trigger.ONCE, start_time=NOW)
    gone = GoneRun(run=run, state=CLOSED)
    assert plan(seen(once(), request=request(), gone=(gone,))) == [CloseRecord(gone), LookAgain(0)]


def test_records_beyond_a_lowered_limit_go_before_the_generation_counts_as_served() -> None:
    runs = [{**RECORD, "id": id_, "trigger": "Schedule"} for id_ in ("b", "a")]
    obj = goosejob(spec={"successfulRunsHistoryLimit": 1}, status={"recentRuns": runs})
    assert plan(seen(obj)) == [TrimHistory(), LookAgain(0)]
    assert plan(seen(goosejob(spec={"successfulRunsHistoryLimit": 2}, status={"recentRuns": runs}))) == []


def test_deletion_removes_the_schedule_then_cancels_runs_and_keeps_the_object_until_none_is_left() -> None:
    obj = goosejob(deleted=JUST_NOW)
    first = seen(obj, schedule=described(wanted()), open_runs=("a", "b"), workers=True)
    again = LookAgain(STILL_LEAVING_SECONDS)
    assert plan(first) == [DeleteSchedule(ID), CancelRun("a"), CancelRun("b"), again]
    assert plan(seen(obj, open_runs=("b",), workers=True)) == [CancelRun("b"), again]
    assert plan(seen(obj, workers=True)) == [RemoveFinalizer()]


def test_the_object_stays_for_one_more_look_after_its_schedule_was_deleted() -> None:
    steps = plan(seen(goosejob(deleted=JUST_NOW), schedule=described(wanted())))
    assert RemoveFinalizer() not in steps


@pytest.mark.parametrize(
    ("deleted", "workers", "ended"),
    [
        (JUST_NOW, True, CancelRun),
        (JUST_NOW, None, CancelRun),
        (JUST_NOW, False, TerminateRun),
        (LONG_AGO, True, TerminateRun),
    ],
)
def test_a_run_is_cut_short_only_where_no_worker_ends_it(
    deleted: str, workers: bool | None, ended: type
) -> None:
    (step, _) = plan(seen(goosejob(deleted=deleted), open_runs=("a",), workers=workers))
    assert isinstance(step, ended)


@pytest.mark.invariant("I15")
def test_a_deletion_that_waited_long_enough_for_temporal_ends_without_it() -> None:
    assert plan(seen(goosejob(deleted=LONG_AGO), unreachable=True)) == [RemoveFinalizer()]


def test_a_deletion_is_overdue_after_its_patience() -> None:
    assert seen(goosejob(deleted=LONG_AGO)).overdue
    assert not seen(goosejob(deleted=JUST_NOW)).overdue
