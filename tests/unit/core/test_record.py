"""How a run's news is folded into the status of its GooseJob."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.lifecycle import read_status
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import EndedAttempt, GooseJobRef, RecordRequest, RunInfo, RunOutcome, Tokens, Trigger
from goosejobs.model.status import (
    MAX_ACTIVE,
    MAX_ATTEMPT_MESSAGE,
    MAX_ATTEMPTS,
    MAX_MESSAGE,
    MAX_RECENT,
    MAX_RECENT_RESULT,
    MAX_RESULT,
    GooseJobStatus,
)
from goosejobs.record import announced, dropped, is_recorded, recorded, trimmed

T0 = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
REF = GooseJobRef(namespace="team-a", name="report", uid="u1")


def goosejob(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team-a", "name": "report", "uid": "u1", "generation": 2},
        "spec": {"schedule": "0 * * * *", "recipe": {"path": "r.yaml"}, **spec},
        "status": status or {"observedGeneration": -1},
    }


def run(hour: int = 0, trigger: Trigger = Trigger.SCHEDULE) -> RunInfo:
    due = T0 + timedelta(hours=hour)
    return RunInfo(
        goosejob=REF,
        id="once" if trigger is Trigger.ONCE else f"20261121-{8 + hour:02}0000",
        workflow_id="w",
        trigger=trigger,
        scheduled_time=None if trigger is Trigger.ONCE else due,
        start_time=due + timedelta(seconds=1, microseconds=5),
        generation=2,
    )


def news(
    of: RunInfo,
    outcome: Outcome = Outcome.SUCCEEDED,
    reason: Reason = Reason.COMPLETED,
    took: int = 60,
    **more: Any,
) -> RecordRequest:
    return RecordRequest(
        run=of,
        outcome=RunOutcome(
            outcome=outcome,
            reason=reason,
            message=more.pop("message", ""),
            attempt=1,
            start_time=of.start_time,
            finish_time=of.start_time + timedelta(seconds=took),
        ),
        **more,
    )


def merged(obj: dict[str, Any], owned: dict[str, Any] | None) -> dict[str, Any]:
    """What server-side apply makes of it: our fields replaced, conditions by type, others kept."""
    if owned is None:
        return obj
    status = dict(obj["status"])
    kept = [c for c in status.get("conditions", []) if c["type"] != "LastRunSucceeded"]
    status.update(owned)
    status["conditions"] = [*kept, *owned["conditions"]]
    status["counts"] = {**obj["status"].get("counts", {}), **owned["counts"]}
    return {**obj, "status": status}


def test_a_run_that_starts_is_active_and_sets_the_times() -> None:
    owned = announced(goosejob(), run(), 1, "worker-1", T0)
    assert owned is not None
    assert owned["phase"] == "Running"
    assert owned["lastScheduleTime"] == "2026-11-21T08:00:00Z"
    assert owned["nextScheduleTime"] == "2026-11-21T09:00:00Z"
    assert owned["active"] == [
        {
            "id": "20261121-080000",
            "workflowId": "w",
            "trigger": "Schedule",
            "scheduledTime": "2026-11-21T08:00:00Z",
            "startTime": "2026-11-21T08:00:01Z",
            "attempt": 1,
            "worker": "worker-1",
        }
    ]


def test_the_last_time_of_a_run_once_is_its_start_in_whole_seconds() -> None:
    owned = announced(goosejob(schedule=None, runOnce=True), run(trigger=Trigger.ONCE), 1, "w", T0)
    assert owned is not None
    assert owned["lastScheduleTime"] == "2026-11-21T08:00:01Z"


def test_telling_the_same_twice_writes_nothing() -> None:
    started = merged(goosejob(), announced(goosejob(), run(), 1, "w", T0))
    assert announced(started, run(), 1, "w", T0) is None
    ended = merged(started, recorded(started, news(run()), T0))
    assert recorded(ended, news(run()), T0) is None


def test_a_success_is_recorded_with_its_result_and_tokens() -> None:
    obj = merged(goosejob(), announced(goosejob(), run(), 1, "w", T0))
    owned = recorded(obj, news(run(), result="done", tokens=Tokens(input=3, output=4, total=7)), T0)
    assert owned is not None
    assert owned["active"] == []
    assert owned["lastRun"]["outcome"] == "Succeeded"
    assert owned["lastRun"]["result"] == "done"
    assert owned["lastRun"]["tokens"] == {"input": 3, "output": 4, "total": 7}
    assert owned["lastSuccessfulTime"] == "2026-11-21T08:01:01Z"
    assert owned["counts"] == {"succeeded": 1, "failed": 0, "killed": 0, "consecutiveFailures": 0}
    [condition] = owned["conditions"]
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == (
        "LastRunSucceeded",
        "True",
        2,
    )


def test_failures_in_a_row_are_counted_and_a_success_ends_the_row() -> None:
    obj = goosejob()
    for hour in range(3):
        obj = merged(obj, recorded(obj, news(run(hour), Outcome.FAILED, Reason.PROVIDER_ERROR), T0))
    assert read_status(obj).counts.consecutive_failures == 3
    obj = merged(obj, recorded(obj, news(run(4)), T0))
    assert read_status(obj).counts.model_dump() == {
        "succeeded": 1,
        "failed": 3,
        "killed": 0,
        "consecutive_failures": 0,
        "skipped": 0,
        "missed": 0,
        "queued": 0,
    }


def test_an_older_run_that_ends_late_does_not_displace_a_newer_one() -> None:
    obj = merged(goosejob(), recorded(goosejob(), news(run(2)), T0))
    obj = merged(obj, recorded(obj, news(run(1), Outcome.FAILED, Reason.NETWORK_ERROR), T0))
    status = read_status(obj)
    assert status.last_run is not None
    assert status.last_run.id == "20261121-100000"
    assert [r.id for r in status.recent_runs] == ["20261121-100000", "20261121-090000"]
    assert [c.status for c in status.conditions] == ["True"]


def test_a_run_that_ends_anew_moves_to_its_new_counter() -> None:
    obj = merged(goosejob(), recorded(goosejob(), news(run(), Outcome.FAILED, Reason.TERMINATED), T0))
    obj = merged(obj, recorded(obj, news(run(), took=120), T0))
    status = read_status(obj)
    assert (status.counts.succeeded, status.counts.failed, len(status.recent_runs)) == (1, 0, 1)


def test_what_the_operator_closed_without_the_text_is_completed_by_the_worker() -> None:
    obj = merged(goosejob(), recorded(goosejob(), news(run()), T0))
    obj = merged(obj, recorded(obj, news(run(), result="the text"), T0))
    status = read_status(obj)
    assert status.last_run is not None
    assert (status.last_run.result, status.recent_runs[0].result) == ("the text", "the text")
    assert status.counts.succeeded == 1


def test_history_keeps_as_many_of_each_kind_as_the_limits_say() -> None:
    obj = goosejob(successfulRunsHistoryLimit=1, failedRunsHistoryLimit=2)
    for hour in range(8):
        failed = hour % 2 == 0
        news_ = news(run(hour), Outcome.FAILED, Reason.GOOSE_FAILED) if failed else news(run(hour))
        obj = merged(obj, recorded(obj, news_, T0))
    assert [(r.id, r.outcome) for r in read_status(obj).recent_runs] == [
        ("20261121-150000", "Succeeded"),
        ("20261121-140000", "Failed"),
        ("20261121-120000", "Failed"),
    ]


def test_a_limit_that_is_lowered_lets_the_oldest_go_at_once() -> None:
    obj = goosejob()
    for hour in range(3):
        obj = merged(obj, recorded(obj, news(run(hour)), T0))
    assert trimmed(obj, T0) is None
    obj["spec"]["successfulRunsHistoryLimit"] = 1
    fewer = merged(obj, trimmed(obj, T0))
    assert [each["id"] for each in fewer["status"]["recentRuns"]] == ["20261121-100000"]
    for same in ("lastRun", "counts", "lastSuccessfulTime", "conditions"):
        assert fewer["status"][same] == obj["status"][same]
    obj["spec"] = {"successfulRunsHistoryLimit": -1}
    assert trimmed(obj, T0) is None


def test_the_condition_speaks_of_the_spec_that_the_run_had() -> None:
    def generation(obj: dict[str, Any]) -> int:
        (condition,) = obj["status"]["conditions"]
        return int(condition["observedGeneration"])

    obj = goosejob()
    obj["metadata"]["generation"] = 5
    first = run().model_copy(update={"generation": 4})
    ended = merged(obj, recorded(obj, news(first), T0))
    assert generation(ended) == 4
    unknown = run(1).model_copy(update={"generation": 0})
    assert generation(merged(ended, recorded(ended, news(unknown), T0))) == 4
    assert generation(merged(obj, recorded(obj, news(unknown), T0))) == 1


def test_a_run_once_gets_a_completion_time_that_stays() -> None:
    obj = goosejob(schedule=None, runOnce=True)
    once = run(trigger=Trigger.ONCE)
    obj = merged(obj, recorded(obj, news(once, Outcome.FAILED, Reason.TURN_LIMIT), T0))
    assert read_status(obj).phase == "Completed"
    again = merged(obj, recorded(obj, news(once, took=600), T0))
    assert again["status"]["completionTime"] == obj["status"]["completionTime"] == "2026-11-21T08:01:01Z"
    assert again["status"]["nextScheduleTime"] == ""


def test_a_killed_run_is_neither_a_failure_nor_a_success() -> None:
    obj = merged(goosejob(), recorded(goosejob(), news(run(), Outcome.KILLED, Reason.CANCELLED), T0))
    status = read_status(obj)
    assert (status.counts.killed, status.counts.failed, status.counts.consecutive_failures) == (1, 0, 0)
    assert status.last_failure_time is None


def test_an_unknown_end_is_unknown_in_the_condition_and_counts_as_failed() -> None:
    obj = merged(goosejob(), recorded(goosejob(), news(run(), Outcome.UNKNOWN, Reason.NO_OUTCOME), T0))
    status = read_status(obj)
    assert [c.status for c in status.conditions] == ["Unknown"]
    assert status.counts.failed == 1


def test_texts_are_cut_to_what_the_crd_allows_and_say_so() -> None:
    owned = recorded(goosejob(), news(run(), result="r" * 99999, message="m" * 9999), T0)
    assert owned is not None
    assert len(owned["lastRun"]["result"]) == MAX_RESULT
    assert len(owned["lastRun"]["message"]) == MAX_MESSAGE
    assert len(owned["recentRuns"][0]["result"]) == MAX_RECENT_RESULT
    assert owned["lastRun"]["result"].endswith("… (cut)")


def test_half_a_surrogate_pair_is_replaced_because_it_cannot_be_sent() -> None:
    owned = recorded(goosejob(), news(run(), result="a\ud83e"), T0)
    assert owned is not None
    assert owned["lastRun"]["result"] == "a?"


def test_a_status_broken_by_hand_is_read_as_far_as_it_makes_sense() -> None:
    status = read_status(goosejob({"active": "nonsense", "counts": {"succeeded": 4}}))
    assert status.active == []
    assert status.counts.succeeded == 4


OUTCOMES = {
    Outcome.SUCCEEDED: Reason.COMPLETED,
    Outcome.FAILED: Reason.GOOSE_FAILED,
    Outcome.KILLED: Reason.CANCELLED,
    Outcome.UNKNOWN: Reason.NO_OUTCOME,
}


@given(
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from(list(OUTCOMES))), unique_by=lambda x: x[0]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_order_of_the_news_each_run_counts_once_and_the_newest_shows(
    ends: list[tuple[int, Outcome]], data: st.DataObject
) -> None:
    told = [news(run(hour), outcome, OUTCOMES[outcome]) for hour, outcome in ends]
    twice = data.draw(st.permutations([*told, *told]))
    obj = goosejob(successfulRunsHistoryLimit=25, failedRunsHistoryLimit=25)
    for one in twice:
        obj = merged(obj, recorded(obj, one, T0))
    status: GooseJobStatus = read_status(obj)
    counts = status.counts
    assert counts.succeeded + counts.failed + counts.killed == len(ends)
    assert [r.id for r in status.recent_runs] == sorted((t.run.id for t in told), reverse=True)
    if told:
        assert status.last_run is not None
        assert status.last_run.id == max(t.run.id for t in told)


def test_a_run_that_somebody_asked_for_leaves_the_last_due_time_alone() -> None:
    obj = goosejob()
    owned = announced(obj, run(trigger=Trigger.MANUAL), 1, "w", T0)
    assert owned is not None
    assert "lastScheduleTime" not in owned
    assert owned["active"][0]["trigger"] == "Manual"


def test_a_run_in_a_pod_names_its_job_while_it_runs_and_afterwards() -> None:
    begun = merged(goosejob(), announced(goosejob(), run(), 1, "worker-1", T0, job_name="report-1a2b3c4-1"))
    assert begun["status"]["active"][0]["jobName"] == "report-1a2b3c4-1"
    again = merged(begun, announced(begun, run(), 2, "worker-1", T0, job_name="report-1a2b3c4-2"))
    assert again["status"]["active"][0]["jobName"] == "report-1a2b3c4-2"
    done = merged(again, recorded(again, news(run(), job_name="report-1a2b3c4-2"), T0))
    assert done["status"]["lastRun"]["jobName"] == "report-1a2b3c4-2"
    assert done["status"]["recentRuns"][0]["jobName"] == "report-1a2b3c4-2"


def attempt(number: int, message: str = "no") -> EndedAttempt:
    started = T0 + timedelta(minutes=number)
    return EndedAttempt(
        attempt=number,
        start_time=started,
        finish_time=started + timedelta(seconds=5, microseconds=7),
        outcome=Outcome.FAILED,
        reason=Reason.RATE_LIMITED,
        message=message,
        job_name=f"report-{number}",
    )


FIRST = {
    "attempt": 1,
    "startTime": "2026-11-21T08:01:00Z",
    "finishTime": "2026-11-21T08:01:05Z",
    "outcome": "Failed",
    "reason": "RateLimited",
    "message": "no",
    "jobName": "report-1",
}


def test_attempts_that_have_ended_are_told_of_a_run_that_is_active_and_of_the_last_one() -> None:
    obj = merged(goosejob(), announced(goosejob(), run(), 2, "w", T0, ended=[attempt(1)]))
    assert obj["status"]["active"][0]["attempts"] == [FIRST]
    done = recorded(obj, news(run(), attempts=[attempt(1), attempt(2)]), T0)
    assert done is not None
    assert [one["attempt"] for one in done["lastRun"]["attempts"]] == [1, 2]
    assert "attempts" not in done["recentRuns"][0]


def test_a_first_attempt_has_none_before_it() -> None:
    owned = announced(goosejob(), run(), 1, "w", T0)
    assert owned is not None
    assert "attempts" not in owned["active"][0]


def test_of_many_attempts_the_newest_are_told_and_their_messages_are_cut() -> None:
    many = [attempt(number, "🪿" * 1000) for number in range(1, 40)]
    for owned in (
        announced(goosejob(), run(), 40, "w", T0, ended=many),
        recorded(goosejob(), news(run(), attempts=many), T0),
    ):
        assert owned is not None
        told = (owned["active"] or [owned.get("lastRun")])[0]["attempts"]
        assert [one["attempt"] for one in told] == list(range(30, 40))
        assert {len(one["message"]) for one in told} == {MAX_ATTEMPT_MESSAGE}
        assert told[0]["message"].endswith("… (cut)")


def test_a_run_whose_record_somebody_else_closes_keeps_the_attempts_that_stood_there() -> None:
    obj = merged(goosejob(), announced(goosejob(), run(), 2, "w", T0, ended=[attempt(1)]))
    closed = merged(obj, recorded(obj, news(run(), Outcome.UNKNOWN, Reason.TERMINATED), T0))
    assert closed["status"]["lastRun"]["attempts"] == [FIRST]
    assert recorded(closed, news(run(), Outcome.UNKNOWN, Reason.TERMINATED), T0) is None


def test_a_status_with_everything_at_its_bounds_is_far_from_what_etcd_takes() -> None:
    """1.5 MiB for a request, of which a recipe may be 200 KiB and managedFields a few."""
    wide = "🪿" * 5000
    obj = goosejob(
        schedule="@hourly",
        concurrencyPolicy="Allow",
        successfulRunsHistoryLimit=25,
        failedRunsHistoryLimit=25,
    )
    many = [attempt(number, wide).model_copy(update={"job_name": "j" * 63}) for number in range(1, 11)]
    for hour in range(MAX_ACTIVE):
        busy = run(hour % 12).model_copy(update={"id": f"{hour:064}", "workflow_id": "w" * 512})
        obj = merged(obj, announced(obj, busy, 11, "w" * 300, T0, job_name="j" * 63, ended=many))
    for number in range(MAX_RECENT + 5):
        outcome = Outcome.SUCCEEDED if number % 2 else Outcome.FAILED
        over = run(number % 12).model_copy(update={"id": f"over-{number}"})
        told = news(over, outcome, message=wide, result=wide, session="s" * 300, attempts=many)
        obj = merged(obj, recorded(obj, told, T0))
    status = obj["status"]
    assert (len(status["active"]), len(status["recentRuns"])) == (MAX_ACTIVE, MAX_RECENT)
    assert len(status["lastRun"]["attempts"]) == len(status["active"][0]["attempts"]) == MAX_ATTEMPTS
    assert len(json.dumps(status, ensure_ascii=False).encode()) < 900 * 1024
    GooseJobStatus.model_validate(status)


def test_a_stale_entry_is_one_of_a_run_on_record_that_did_not_start_anew_since() -> None:
    active = merged(goosejob(), announced(goosejob(), run(), 1, "w-1", T0))
    start = run().start_time
    done = merged(active, recorded(active, news(run()), T0))
    assert not is_recorded(active, run().id, start)
    assert is_recorded(done, run().id, start)
    assert not is_recorded(done, run(1).id, start)
    assert not is_recorded(done, run().id, start + timedelta(hours=1))


def test_to_drop_a_stale_entry_changes_nothing_else() -> None:
    active = merged(goosejob(), announced(goosejob(), run(), 1, "w-1", T0))
    done = merged(active, recorded(active, news(run()), T0))
    stale = {**done, "status": {**done["status"], "active": active["status"]["active"]}}
    assert merged(stale, dropped(stale, run().id, T0))["status"] == done["status"]
    assert dropped(done, run().id, T0) is None
