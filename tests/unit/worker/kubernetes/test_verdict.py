"""What a look at an attempt's Job and pod means: what is certain at once, and what only after a while."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goosejobs.model.reasons import Reason
from goosejobs_worker.executors.kubernetes.diagnose import Diagnosis
from goosejobs_worker.executors.kubernetes.verdict import (
    OVERDUE,
    PATIENCE,
    Exited,
    Judge,
    Lost,
    Verdict,
    is_ending,
    is_running,
)

Object = dict[str, Any]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CREATED = "2026-11-21T11:59:00Z"
TIMEOUT = timedelta(minutes=10)
DEADLINE = timedelta(hours=1)


def job(*conditions: str, deleted: bool = False, reason: str = "BackoffLimitExceeded") -> Object:
    meta = {"namespace": "n", "name": "j", "uid": "u", "creationTimestamp": CREATED}
    if deleted:
        meta["deletionTimestamp"] = CREATED
    told = [
        {"type": kind, "status": "True", "reason": reason, "message": f"{kind} it is"} for kind in conditions
    ]
    return {"metadata": meta, "spec": {"activeDeadlineSeconds": 3600}, "status": {"conditions": told}}


def pod(state: Object | None = None, *, deleted: bool = False) -> Object:
    meta = {"namespace": "n", "name": "p", "uid": "v", "creationTimestamp": CREATED}
    if deleted:
        meta["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    status: Object = {
        "phase": "Running",
        "containerStatuses": [{"name": "goose", "state": state or {"running": {}}}],
    }
    return {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": status}


def ended(code: int, **more: Any) -> Object:
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", **more}}


def look(
    job: Object | None,
    pod: Object | None,
    *,
    gone: str = "",
    now: datetime = NOW,
    judge: Judge | None = None,
    blind: bool = False,
) -> Verdict:
    judge = judge or Judge(start_timeout=TIMEOUT, deadline=DEADLINE)
    return judge.look(job, pod, now, job_gone="job" in gone, pod_gone="pod" in gone, blind=blind)


def test_a_goose_that_runs_is_left_alone() -> None:
    assert look(job(), pod()) is None
    assert look(job(), None) is None


@pytest.mark.parametrize("gone", ["", "pod", "job pod"])
def test_a_goose_that_exited_with_0_was_done_whatever_else_happened(gone: str) -> None:
    assert look(job(), pod(ended(0), deleted=True), gone=gone) == Exited(0, None)
    assert look(job("Failed", reason="DeadlineExceeded"), pod(ended(0)), gone=gone) == Exited(0, None)


def test_a_goose_that_failed_by_itself_is_settled_at_once() -> None:
    assert look(job(), pod(ended(1))) == Exited(1, None)
    assert look(job(), pod(ended(139))) == Exited(None, 11)
    assert look(job(), pod(ended(137, signal=9))) == Exited(None, 9)


def test_a_goose_whose_pod_was_ended_waits_for_the_word_of_its_job() -> None:
    judge = Judge(start_timeout=TIMEOUT, deadline=DEADLINE)
    killed = pod(ended(137), deleted=True)
    assert look(job(), killed, judge=judge) is None
    told = look(job("FailureTarget", reason="DeadlineExceeded"), killed, judge=judge)
    assert isinstance(told, Diagnosis)
    assert told.reason is Reason.DEADLINE_EXCEEDED


def test_where_that_word_does_not_come_the_exit_counts() -> None:
    judge = Judge(start_timeout=TIMEOUT, deadline=DEADLINE)
    killed = pod(ended(137), deleted=True)
    assert look(job(), killed, judge=judge) is None
    assert look(job(), killed, now=NOW + PATIENCE, judge=judge) == Exited(None, 9)


def test_a_word_that_could_not_be_heard_is_not_missed() -> None:
    judge = Judge(start_timeout=TIMEOUT, deadline=DEADLINE)
    killed = pod(ended(137), deleted=True)
    assert look(job(), killed, judge=judge) is None
    assert look(job(), killed, now=NOW + PATIENCE, judge=judge, blind=True) is None
    again = NOW + 3 * PATIENCE
    assert look(job(), killed, now=again, judge=judge) is None
    assert look(job(), killed, now=again + PATIENCE, judge=judge) == Exited(None, 9)


def test_who_sees_nothing_any_more_keeps_the_deadline_itself() -> None:
    late = NOW + TIMEOUT + DEADLINE + OVERDUE
    told = look(job(), pod(ended(137), deleted=True), now=late, blind=True)
    assert isinstance(told, Diagnosis)
    assert told.reason is Reason.DEADLINE_EXCEEDED


def test_a_job_that_is_complete_tells_of_a_pod_that_nobody_saw_end() -> None:
    assert look(job("Complete"), None) == Exited(0, None)
    assert look(job("Complete"), pod(), gone="pod") == Exited(0, None)


def test_a_job_that_is_being_deleted_is_waited_for_and_then_lost() -> None:
    assert look(job(deleted=True), pod(ended(137), deleted=True)) is None
    assert isinstance(look(job(deleted=True), pod(ended(137), deleted=True), gone="job"), Lost)
    assert isinstance(look(None, None), Lost)


def test_a_failed_job_without_a_pod_says_what_kubernetes_says() -> None:
    told = look(job("Failed"), pod(), gone="pod")
    assert isinstance(told, Diagnosis)
    assert told.reason is Reason.POD_FAILED
    assert "Failed it is" in told.message


def test_a_failed_job_whose_pod_says_that_it_runs_is_believed_after_a_while() -> None:
    judge = Judge(start_timeout=TIMEOUT, deadline=DEADLINE)
    assert look(job("Failed"), pod(), judge=judge) is None
    told = look(job("Failed"), pod(), now=NOW + PATIENCE, judge=judge)
    assert isinstance(told, Diagnosis)
    assert told.reason is Reason.POD_FAILED


def test_where_kubernetes_does_not_keep_the_deadline_we_do() -> None:
    late = datetime.fromisoformat(CREATED) + TIMEOUT + DEADLINE + OVERDUE
    assert look(job(), pod(), now=late - timedelta(seconds=1)) is None
    told = look(job(), pod(), now=late)
    assert isinstance(told, Diagnosis)
    assert told.reason is Reason.DEADLINE_EXCEEDED


def test_only_what_kubernetes_is_about_to_finish_is_waited_for() -> None:
    assert not is_ending(job(), pod())
    assert not is_ending(job(), None)
    assert is_ending(job(), pod(deleted=True))
    assert is_ending(job(), pod(ended(1)))
    assert is_ending(job("FailureTarget"), None)


def test_only_a_goose_that_runs_undisturbed_needs_no_second_look() -> None:
    assert is_running(job(), pod())
    assert not is_running(job(), None)
    assert not is_running(job(), pod({"waiting": {"reason": "ContainerCreating"}}))
    assert not is_running(job(), pod(deleted=True))
    assert not is_running(job("FailureTarget"), pod())
