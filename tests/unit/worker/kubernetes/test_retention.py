"""Which Kubernetes Jobs are kept for how long, and which are looked after."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goosejobs.model import names
from goosejobs_worker.executors.kubernetes.retention import Fate, after_record, doubtful

Object = dict[str, Any]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def job(run: str, attempt: int = 1, *, ttl: bool = False, age: float = 3600, deleted: bool = False) -> Object:
    created = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta: Object = {
        "namespace": "team-a",
        "name": f"{run}-{attempt}",
        "creationTimestamp": created,
        "labels": {names.RUN_LABEL: run, names.ATTEMPT_LABEL: str(attempt)},
        "annotations": {names.WORKFLOW_ANNOTATION: "w"},
    }
    if deleted:
        meta["deletionTimestamp"] = created
    return {"metadata": meta, "spec": {"ttlSecondsAfterFinished": 60} if ttl else {}, "status": {}}


def fates(jobs: list[Object], run: str, kept: set[str]) -> dict[str, Fate]:
    return {job["metadata"]["name"]: fate for job, fate in after_record(jobs, run, kept)}


def test_all_jobs_of_a_recorded_run_are_kept_for_a_while() -> None:
    jobs = [job("new", 1), job("new", 2)]
    assert fates(jobs, "new", {"new"}) == {"new-1": Fate.KEEP_FOR, "new-2": Fate.KEEP_FOR}


def test_jobs_of_recorded_runs_go_with_their_record() -> None:
    jobs = [job("old", ttl=True), job("middle", ttl=True), job("new")]
    assert fates(jobs, "new", {"middle", "new"}) == {"old-1": Fate.DELETE, "new-1": Fate.KEEP_FOR}


def test_a_run_that_is_not_kept_at_all_leaves_no_job() -> None:
    assert fates([job("new")], "new", set()) == {"new-1": Fate.DELETE}


def test_jobs_of_runs_that_are_not_recorded_yet_are_not_touched() -> None:
    assert fates([job("running"), job("new")], "new", {"new"}) == {"new-1": Fate.KEEP_FOR}


def test_what_is_settled_is_not_settled_again() -> None:
    assert fates([job("new", ttl=True)], "new", {"new"}) == {}


def test_only_jobs_that_nobody_takes_care_of_are_doubtful() -> None:
    jobs = [
        job("followed"),
        job("recorded", ttl=True),
        job("going", deleted=True),
        job("young", age=5),
        job("older", age=7200),
        job("old"),
    ]
    found = doubtful(jobs, {("team-a", "followed-1")}, NOW, young=60)
    assert [job["metadata"]["name"] for job in found] == ["older-1", "old-1"]


@pytest.mark.parametrize(
    "annotations", [{}, {names.WORKFLOW_ANNOTATION: ""}, {names.WORKFLOW_ANNOTATION: "w" * 2000}]
)
def test_jobs_that_only_look_like_ours_take_no_turns_from_ours(annotations: dict[str, str]) -> None:
    forged = job("forged")
    forged["metadata"]["annotations"] = annotations
    assert doubtful([forged], set(), NOW, young=60) == []
