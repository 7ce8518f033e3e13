"""What the operator answers to requests that people write as annotations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status
from goosejobs.model.reasons import ReadyReason, StalledReason
from goosejobs.model.run import Trigger
from goosejobs.model.spec import ConcurrencyPolicy
from goosejobs_operator.annotations import is_token, token_of
from goosejobs_operator.desired import refusal
from goosejobs_operator.known import mark_of
from goosejobs_operator.observe import Observation
from goosejobs_operator.plan import CancelRun, LookAgain, TriggerRun, UpdateSchedule, plan
from goosejobs_operator.requests import is_pending
from goosejobs_operator.schedule import OVERLAP, LeftOut
from goosejobs_operator.status import derive, derive_failing
from goosejobs_operator.temporal import RunState
from support.observations import NOW, described, goosejob, request, schedule, seen, wanted

RUN = "goosejobs.dev/run-requested"
ID = "goosejob/team-a/report/11111111-2222-3333-4444-555555555555"
AT = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
MINE = f"{ID}-2026-11-21T12:00:30Z"
NOTED = {"token": "t", "answer": "Noted", "workflowId": MINE, "message": "It is starting."}
REFUSED = refusal(StalledReason.INVALID_SCHEDULE, "spec.schedule", "no")
OPEN = RunState(open=True, terminated=False, start_time=NOW, close_time=None)
ENDED = RunState(open=False, terminated=False, start_time=NOW, close_time=NOW)


def asking(value: str | None = "t", run: Object | None = None, **more: Any) -> Object:
    """A GooseJob that was seen before, whose annotation asks for a run."""
    handled = {"handledRequests": {"run": run} if run else {}}
    obj = goosejob(status={"observedGeneration": 3, **handled}, **more)
    obj["metadata"]["annotations"] = {} if value is None else {RUN: value}
    return obj


def look(obj: Object, have: dict[str, Any] | None = None, **more: Any) -> Observation:
    """A look at it, whose schedule is as wanted."""
    policy = more.pop("policy", ConcurrencyPolicy.FORBID)
    want = wanted(concurrency_policy=policy, odd_intervals=more.pop("odd_intervals", []))
    found = described(want, **(have or {}))
    return seen(obj, request=want.request, wanted=want, schedule=found, target=found.schedule, **more)


def said(one: Observation) -> dict[str, Any] | None:
    """What the status says of the request after a look."""
    status = derive(one)
    handled: dict[str, Any] = (status or one.obj["status"]).get("handledRequests", {})
    return handled.get("run")


def after(one: Observation) -> Object:
    """The object after the status was written."""
    return {**one.obj, "status": {**one.obj["status"], **(derive(one) or {})}}


def test_a_new_value_is_noted_with_the_time_of_its_run_before_temporal_is_asked() -> None:
    one = look(asking())
    assert plan(one) == []
    assert said(one) == NOTED
    assert is_pending(after(one))


def test_a_noted_run_is_asked_for_under_its_time_and_token() -> None:
    assert plan(look(asking(run=NOTED))) == [TriggerRun(ID, AT, "t")]


def test_a_noted_run_is_asked_for_although_its_annotation_has_changed_since() -> None:
    assert plan(look(asking("u", run=NOTED))) == [TriggerRun(ID, AT, "t")]
    assert plan(look(asking(None, run=NOTED))) == [TriggerRun(ID, AT, "t")]


def test_the_schedule_is_first_made_as_the_spec_says() -> None:
    have = described(wanted("0 9 * * *"))
    steps = plan(seen(asking(run=NOTED), schedule=have, wanted=wanted(), target=schedule(wanted())))
    assert [type(step) for step in steps] == [UpdateSchedule, LookAgain]


@pytest.mark.parametrize("state", [OPEN, ENDED])
@pytest.mark.parametrize("triggered", [True, False])
def test_a_run_that_is_there_is_not_asked_for_again(state: RunState, triggered: bool) -> None:
    one = look(asking(run=NOTED), asked_run=state, triggered=triggered)
    assert plan(one) == []
    assert said(one) == {"token": "t", "answer": "Started", "workflowId": MINE, "message": ""}


@pytest.mark.parametrize(
    ("policy", "have", "later", "word"),
    [
        ("Forbid", {"running": ("other",)}, 0, "Skipped"),
        ("Forbid", {}, 0, "Noted"),
        ("Forbid", {"counted": LeftOut(skipped=1, missed=0)}, 0, "Skipped"),
        ("Forbid", {}, 9, "Noted"),
        ("Forbid", {}, 10, "Skipped"),
        ("Forbid", {"buffered": 1}, 3, "Queued"),
        ("Queue", {"buffered": 1, "running": ("other",)}, 0, "Queued"),
        ("Replace", {"buffered": 1, "running": ("other",)}, 0, "Queued"),
        ("Allow", {"running": ("other",)}, 3, "Noted"),
        ("Allow", {"counted": LeftOut(skipped=1, missed=0)}, 3, "Noted"),
        ("Allow", {"running": ("other",)}, 20, "Refused"),
    ],
)
def test_what_became_of_a_run_that_did_not_start(
    policy: str, have: dict[str, Any], later: int, word: str
) -> None:
    one = look(asking(run=NOTED), have, policy=ConcurrencyPolicy(policy), triggered=True)
    found = said(replace(one, now=NOW + timedelta(seconds=later)))
    assert found is not None
    assert found["answer"] == word
    assert found["workflowId"] == MINE
    assert (word == "Noted") or found["message"]


@pytest.mark.parametrize("answer", ["Skipped", "Refused"])
@pytest.mark.parametrize("id_", ["20261121-120029", "20261121-120030"])
def test_a_run_that_starts_although_it_was_given_up_corrects_the_answer(answer: str, id_: str) -> None:
    obj = asking(run={**NOTED, "answer": answer, "message": "why"})
    active = {"id": id_, "workflowId": f"{ID}-x", "trigger": "Manual", "startTime": "2026-11-21T12:00:31Z"}
    obj["status"]["active"] = [active]
    found = said(look(obj))
    assert found is not None
    corrected = id_ == "20261121-120030"
    assert (found["answer"], found["message"]) == (("Started", "") if corrected else (answer, "why"))


def test_a_value_that_is_there_at_first_sight_is_echoed_and_does_nothing() -> None:
    obj = asking()
    obj["status"] = {"observedGeneration": -1}
    for status in (derive(look(obj)), derive_failing(obj, ReadyReason.TEMPORAL_UNAVAILABLE, "away", NOW)):
        assert status is not None
        assert status["handledRequests"]["run"]["answer"] == "NotNew"
    again = look(after(look(obj)))
    assert (plan(again), derive(again)) == ([], None)


@pytest.mark.parametrize("answer", ["Started", "Queued", "Skipped", "Refused", "NotNew"])
@pytest.mark.parametrize("token", ["t", None, ""])
def test_an_answered_value_stays_answered(answer: str, token: str | None) -> None:
    one = look(asking(token, run={**NOTED, "answer": answer, "message": ""}))
    assert plan(one) == []
    assert said(one) == {**NOTED, "answer": answer, "message": ""}
    assert not is_pending(one.obj)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ({"refused": REFUSED}, "Stalled (InvalidSchedule: spec.schedule: no)"),
        ({"waiting": "no worker"}, "cannot be read yet (no worker)"),
        ({"over": True}, "Completed"),
    ],
)
@pytest.mark.parametrize("run", [None, NOTED])
def test_what_cannot_run_is_refused_in_a_sentence(
    why: dict[str, Any], words: str, run: Object | None
) -> None:
    one = look(asking(run=run), **why)
    found = said(one)
    assert plan(one) == []
    assert found is not None
    assert (found["answer"], "workflowId" in found) == ("Refused", False)
    assert words in found["message"]


def test_a_run_once_is_refused_with_the_way_to_run_it_again() -> None:
    one = seen(asking(spec={"runOnce": True}), once=OPEN)
    found = said(one)
    assert found is not None
    assert found["answer"] == "Refused"
    assert "under another name" in found["message"]


@given(st.text(min_size=1))
def test_any_value_gets_an_answer_that_fits_and_is_given_once(value: str) -> None:
    one = look(asking(value))
    found = said(one)
    assert found is not None
    assert found["answer"] == ("Noted" if is_token(value) else "Refused")
    assert is_token(found["token"])
    read_status(after(one))
    if found["answer"] == "Refused":
        assert derive(replace(one, obj=after(one))) is None


def test_long_values_that_begin_alike_are_told_apart() -> None:
    one, other = (token_of(asking("x" * 5000 + end), RUN) for end in "ab")
    assert one != other


def test_two_runs_of_one_second_have_times_of_their_own() -> None:
    found = said(look(asking("u", run={**NOTED, "answer": "Started"})))
    assert found is not None
    assert found["workflowId"] == f"{ID}-2026-11-21T12:00:31Z"


def test_a_time_that_a_run_has_that_somebody_triggered_in_temporal_is_left_out() -> None:
    found = said(look(asking(), {"workflow_ids": (MINE,)}))
    assert found is not None
    assert found["workflowId"] == f"{ID}-2026-11-21T12:00:31Z"


def test_a_time_in_the_far_future_that_somebody_wrote_into_the_status_is_not_taken_up() -> None:
    far = {**NOTED, "answer": "Started", "workflowId": f"{ID}-2999-01-01T00:00:00Z"}
    found = said(look(asking("u", run=far)))
    assert found is not None
    assert found["workflowId"] == MINE


@given(
    st.datetimes(NOW.replace(tzinfo=None), timezones=st.just(UTC)), st.lists(st.integers(2, 4000), max_size=3)
)
def test_a_run_that_is_asked_for_is_never_at_a_time_when_the_schedule_is_due(
    now: datetime, intervals: list[int]
) -> None:
    one = replace(look(asking(), odd_intervals=intervals), now=now)
    found = said(one)
    assert found is not None
    if found["answer"] == "Refused":
        assert "every second" in found["message"]
        return
    at = datetime.fromisoformat(found["workflowId"].removeprefix(f"{ID}-"))
    assert at.second
    assert all(int(at.timestamp()) % each for each in intervals)
    assert request(odd_intervals=intervals).trigger_at(at) is Trigger.MANUAL


def test_a_schedule_that_is_due_at_every_second_leaves_no_time_for_another_run() -> None:
    found = said(look(asking(), odd_intervals=[1]))
    assert found is not None
    assert found["answer"] == "Refused"


@pytest.mark.parametrize(
    "workflow_id", [None, "", "other", f"{ID}-", f"{ID}-yesterday", f"{ID}x-2026-11-21T12:00:30Z"]
)
def test_a_note_that_somebody_made_up_starts_nothing(workflow_id: str | None) -> None:
    one = look(asking(run={**NOTED, "workflowId": workflow_id}))
    found = said(one)
    assert plan(one) == []
    assert found is not None
    assert found["answer"] == "Refused"


def test_what_a_run_is_follows_from_its_time() -> None:
    assert request(odd_intervals=[90]).trigger_at(None) is Trigger.ONCE
    assert request(odd_intervals=[30]).trigger_at(AT) is Trigger.SCHEDULE
    assert request(odd_intervals=[7]).trigger_at(AT) is Trigger.MANUAL
    assert request().trigger_at(AT) is Trigger.SCHEDULE  # what an earlier release asked for says nothing


def test_a_new_value_is_a_cause_to_look_at_the_object() -> None:
    assert mark_of(asking("t")) != mark_of(asking("u"))
    assert mark_of(asking("t")) == mark_of(asking("t", run=NOTED))


KILL = "goosejobs.dev/kill-requested"
OTHER = "goosejob/team-b/report/11111111-2222-3333-4444-555555555555-2026-11-21T12:00:30Z"


def killing(value: str, kill: Object | None = None, **more: Any) -> Object:
    """A GooseJob that was seen before, whose annotation asks for an end of runs."""
    handled = {"handledRequests": {"kill": kill} if kill else {}}
    obj = goosejob(status={"observedGeneration": 3, **handled}, **more)
    obj["metadata"]["annotations"] = {KILL: value}
    return obj


def killed(one: Observation) -> dict[str, Any]:
    """What the status says of the request after a look."""
    found: dict[str, Any] = (derive(one) or one.obj["status"])["handledRequests"]["kill"]
    return found


@pytest.mark.parametrize(
    ("value", "active", "ids"),
    [
        ("all", (MINE, f"{ID}-2026-11-21T12:00:00Z"), [MINE, f"{ID}-2026-11-21T12:00:00Z"]),
        ("all:2", (MINE,), [MINE]),
        ("20261121-120030", (MINE, f"{ID}-2026-11-21T12:00:00Z"), [MINE]),
        ("once", (f"{ID}/once",), [f"{ID}/once"]),
    ],
)
def test_runs_that_are_to_end_are_noted_first(value: str, active: tuple[str, ...], ids: list[str]) -> None:
    one = look(killing(value), open_runs=active)
    assert plan(one) == []
    assert killed(one) == {"token": value, "answer": "Noted", "workflowIds": ids, "message": ""}
    assert is_pending(after(one))


@pytest.mark.parametrize("value", ["20261121-120031", "once", "everything", "20269999-000000", "all" * 100])
def test_what_names_no_active_run_ends_none(value: str) -> None:
    one = look(killing(value), open_runs=(MINE,))
    found = killed(one)
    assert plan(one) == []
    assert (found["answer"], found["workflowIds"]) == ("Refused", [])
    assert "No such run is active" in found["message"]
    assert not is_pending(after(one))


@pytest.mark.parametrize(
    "more",
    [{}, {"refused": REFUSED}, {"waiting": "no"}, {"over": True}],
    ids=["well", "stalled", "waiting", "over"],
)
def test_noted_runs_are_asked_to_end_whatever_else_is_wrong(more: dict[str, Any]) -> None:
    note = {"token": "all", "answer": "Noted", "workflowIds": [MINE, OTHER], "message": ""}
    one = look(killing("all", note), **more)
    assert plan(one) == [CancelRun(MINE)]  # and never another's, whoever wrote that into the status
    assert killed(one)["answer"] == "Cancelled"
    assert not is_pending(after(one))
    assert plan(replace(one, obj=after(one), open_runs=(MINE,))) == []


def test_what_is_noted_goes_on_although_the_schedule_is_being_changed() -> None:
    have = described(wanted("0 9 * * *"))
    note = {"token": "all", "answer": "Noted", "workflowIds": [MINE], "message": ""}
    steps = plan(seen(killing("all", note), schedule=have, wanted=wanted(), target=schedule(wanted())))
    assert [type(step) for step in steps] == [CancelRun, UpdateSchedule, LookAgain]


def test_more_runs_than_fit_into_the_status_are_ended_in_parts() -> None:
    many = tuple(f"{ID}-2026-11-21T12:{n // 60:02}:{n % 60:02}Z" for n in range(100))
    assert len(killed(look(killing("all"), open_runs=many))["workflowIds"]) == 32


def test_an_end_that_was_asked_for_before_the_object_was_seen_ends_nothing() -> None:
    obj = killing("all")
    obj["status"] = {"observedGeneration": -1}
    assert killed(look(obj, open_runs=(MINE,)))["answer"] == "NotNew"


QUEUE: dict[str, Any] = {"policy": ConcurrencyPolicy.QUEUE}
ALL = {"token": "all", "answer": "Noted", "workflowIds": [MINE], "message": ""}


def test_what_waits_is_left_out_before_all_runs_end_and_the_schedule_is_set_right_afterwards() -> None:
    one = look(killing("all", ALL), {"buffered": 3}, **QUEUE)
    update, again = plan(one)
    assert isinstance(update, UpdateSchedule)
    assert isinstance(again, LookAgain)
    assert update.to.policies.overlap_policy == OVERLAP[ConcurrencyPolicy.FORBID]
    assert is_pending(after(one))
    have = replace(one.schedule or described(wanted()), schedule=update.to, buffered=0)
    cancel, repair, _ = plan(replace(one, schedule=have))
    assert cancel == CancelRun(MINE)
    assert isinstance(repair, UpdateSchedule)
    assert repair.to.policies.overlap_policy == OVERLAP[ConcurrencyPolicy.QUEUE]
    assert not repair.drift  # nobody else did this
    assert killed(replace(one, schedule=have))["answer"] == "Cancelled"


@pytest.mark.parametrize(
    ("more", "token"), [({}, "20261121-120030"), ({"wanted": None, "refused": REFUSED}, "all")]
)
def test_what_waits_starts_when_one_run_ends_or_when_nobody_could_set_the_schedule_right(
    more: dict[str, Any], token: str
) -> None:
    one = replace(look(killing(token, {**ALL, "token": token}), {"buffered": 3}, **QUEUE), **more)
    assert plan(one) == [CancelRun(MINE)]
    assert killed(one)["answer"] == "Cancelled"


def test_more_than_temporal_keeps_are_refused_before_it_drops_them() -> None:
    assert (said(look(asking(), {"buffered": 999}, **QUEUE)) or {})["answer"] == "Noted"
    full = said(look(asking(), {"buffered": 1000}, **QUEUE)) or {}
    assert (full["answer"], "1000 runs wait" in full["message"]) == ("Refused", True)


@pytest.mark.parametrize(
    ("started", "buffered", "word"), [(1, 1, "Noted"), (1, 2, "Refused"), (0, 0, "Noted")]
)
def test_no_more_wait_than_may_start(started: int, buffered: int, word: str) -> None:
    one = look(asking(spec={"maxRuns": 3}), {"buffered": buffered}, **QUEUE)
    assert one.wanted is not None
    limited = replace(
        one.wanted, started=started, request=one.wanted.request.model_copy(update={"max_runs": 3})
    )
    found = said(replace(one, wanted=limited, request=limited.request)) or {}
    assert (found["answer"], "spec.maxRuns" in found["message"]) == (word, word == "Refused")
