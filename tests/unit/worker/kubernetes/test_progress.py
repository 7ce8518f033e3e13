"""What heartbeats carry from one worker to the next."""

import json
from dataclasses import replace
from typing import Any

import pytest

from goosejobs.model.run import Tokens
from goosejobs.model.status import MAX_RESULT
from goosejobs_worker.executors.kubernetes.logs import better
from goosejobs_worker.executors.kubernetes.progress import Progress, compact
from goosejobs_worker.goose.classify import classify
from goosejobs_worker.goose.stream import MAX_TEXT, Remark, Transcript

LONG = Transcript(
    text="x" * MAX_TEXT + "the end",
    text_length=MAX_TEXT + 7,
    output=json.dumps({"a": "y" * MAX_TEXT}),
    output_length=MAX_TEXT + 9,
    remarks=tuple(Remark("text", "z" * MAX_TEXT) for _ in range(16)),
    complete=True,
    tokens=Tokens(input=1, output=2, total=3),
    error="e" * MAX_TEXT,
    stray="s" * 8192,
    messages=9,
)


def test_it_survives_the_way_through_temporal() -> None:
    sent = Progress(job_uid="u", needs_output=True, told=compact(LONG))
    assert Progress.of([json.loads(sent.model_dump_json())]) == sent


@pytest.mark.parametrize("details", [[], [{}], ["nonsense"], [None], [{"job_uid": 7}]])
def test_what_cannot_be_read_is_as_if_nothing_had_been_said(details: list[Any]) -> None:
    assert Progress.of(details) == Progress()


def test_it_is_small() -> None:
    sent = Progress(job_uid="u", told=compact(LONG))
    assert len(sent.model_dump_json()) < 32 * 1024


@pytest.mark.parametrize("needs_output", [True, False])
def test_what_is_left_out_changes_no_ending(needs_output: bool) -> None:
    said = replace(LONG, error=None, remarks=())
    whole, small = (classify(each, 0, None, "", needs_output=needs_output) for each in (said, compact(said)))
    assert small == whole
    assert len(small.result) == MAX_RESULT
    whole, small = (classify(each, 0, None, "", needs_output=needs_output) for each in (LONG, compact(LONG)))
    assert (small.outcome, small.reason) == (whole.outcome, whole.reason)


def test_a_later_reading_of_a_log_counts_unless_rotation_took_the_end_away() -> None:
    old, new = Transcript(messages=3), Transcript(messages=5, complete=True)
    assert better(old, new) is new
    assert better(new, old) is new
    assert better(new, Transcript()) is new
    assert better(old, Transcript(stray="rest of a line")) is old
    assert better(Transcript(), Transcript(stray="error: no")).stray == "error: no"
