"""Runs under way survive a new release: its workflows replay the histories of runs that were real (I21).

How they were made: tests/support/histories.py.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from goosejobs.model import names
from goosejobs.model.run import RunRequest
from goosejobs_worker.workflow import GooseJobReadRecipe, GooseJobRecord, GooseJobRun

HISTORIES = sorted((Path(__file__).parents[2] / "histories").glob("*.json"))
KINDS = {
    "api-away",
    "api-away-record",
    "cancelled",
    "cancelled-lost",
    "cancelled-waiting",
    "deadline-kept",
    "deadline-passed",
    "deadline-passed-waiting",
    "failed",
    "fenced",
    "job-cancelled",
    "outwaited",
    "recipe-read",
    "recipe-refused",
    "retried",
    "succeeded",
    "worker-lost",
}


def read(path: Path) -> WorkflowHistory:
    kept = json.loads(path.read_text())
    return WorkflowHistory.from_json(kept["workflowId"], {"events": kept["events"]})


def replayer(workflows: Iterable[type]) -> Replayer:
    return Replayer(workflows=list(workflows), data_converter=pydantic_data_converter)


@pytest.mark.invariant("I21")
@pytest.mark.parametrize("path", HISTORIES, ids=[path.stem for path in HISTORIES])
async def test_a_kept_history_replays(path: Path) -> None:
    await replayer([GooseJobRun, GooseJobRecord, GooseJobReadRecipe]).replay_workflow(read(path))


def test_there_is_a_history_of_each_kind() -> None:
    assert {path.stem for path in HISTORIES} == KINDS


@workflow.defn(name=names.WORKFLOW_TYPE, sandboxed=False)
class Changed:
    """What a careless change would be like: the run is no longer announced."""

    @workflow.run
    async def run(self, request: RunRequest) -> None:
        await workflow.sleep(request.active_deadline_seconds)


async def test_a_careless_change_would_be_noticed() -> None:
    path = next(path for path in HISTORIES if path.stem == "succeeded")
    with pytest.raises(NondeterminismError):
        await replayer([Changed]).replay_workflow(read(path))
