"""What is told of a GooseJob as Events, and how often."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goosejobs import events
from goosejobs.correlate import BURST, REFILL, REMEMBERED, SAME, Correlator
from goosejobs.events import MAX_BYTES, Event
from goosejobs.model.reasons import INFRASTRUCTURE, RETRYABLE, Outcome, Reason
from goosejobs.model.run import (
    AttemptRequest,
    AttemptResult,
    GooseJobRef,
    RecipeSnapshot,
    RecordRequest,
    RunInfo,
    RunOutcome,
    RunRequest,
    Trigger,
)
from goosejobs.model.spec import Retry

NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
REF = GooseJobRef(namespace="team-a", name="nightly", uid="u1")
RUN = RunInfo(
    goosejob=REF,
    id="20261121-020000",
    workflow_id="w",
    trigger=Trigger.SCHEDULE,
    scheduled_time=NOW,
    start_time=NOW,
)
SAID = Event("Said", "the same")


def news(outcome: Outcome, reason: Reason, message: str = "", attempt: int = 1) -> RecordRequest:
    ended = RunOutcome(
        outcome=outcome,
        reason=reason,
        message=message,
        attempt=attempt,
        start_time=NOW,
        finish_time=NOW + timedelta(seconds=42),
    )
    return RecordRequest(run=RUN, outcome=ended, result="what the agent said")


@pytest.mark.parametrize(
    ("told", "reason", "message", "warning"),
    [
        (
            news(Outcome.SUCCEEDED, Reason.COMPLETED, "fine"),
            "RunSucceeded",
            "Run 20261121-020000 succeeded after 42 s",
            False,
        ),
        (
            news(Outcome.SUCCEEDED, Reason.COMPLETED, attempt=2),
            "RunSucceeded",
            "Run 20261121-020000 succeeded after 42 s, at attempt 2",
            False,
        ),
        (
            news(Outcome.FAILED, Reason.PROVIDER_ERROR, "it answered 500", attempt=3),
            "RunFailed",
            "Run 20261121-020000 failed (ProviderError), at attempt 3: it answered 500",
            True,
        ),
        (
            news(Outcome.KILLED, Reason.CANCELLED, "the run was cancelled"),
            "RunKilled",
            "Run 20261121-020000 was killed (Cancelled): the run was cancelled",
            False,
        ),
        (
            news(Outcome.UNKNOWN, Reason.NO_OUTCOME),
            "RunUnknown",
            "Run 20261121-020000 ended, and nobody knows how (NoOutcome)",
            True,
        ),
    ],
)
def test_the_end_of_a_run_is_told_by_its_outcome(
    told: RecordRequest, reason: str, message: str, warning: bool
) -> None:
    assert events.ended(told) == Event(reason, message, warning=warning, once=RUN.id)


def test_a_run_that_somebody_asked_for_is_told_as_that() -> None:
    by_hand = RUN.model_copy(update={"trigger": Trigger.MANUAL})
    assert events.started(RUN, "Job n-1").message == "Run 20261121-020000 started: Job n-1"
    assert events.started(by_hand, "Job n-1").message == "Run 20261121-020000 started by hand: Job n-1"


def test_what_the_operator_records_in_a_workers_place_is_told_as_what_it_is() -> None:
    terminated = events.closed(news(Outcome.KILLED, Reason.TERMINATED, "The run's workflow was terminated."))
    lost = events.closed(news(Outcome.UNKNOWN, Reason.TERMINATED, "The run's workflow is gone."))
    assert (terminated.reason, lost.reason) == ("RunTerminated", "RunUnknown")
    assert terminated.message == "Run 20261121-020000: The run's workflow was terminated."


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failed_attempt_is_told_when_another_one_is_certain_to_follow(reason: Reason, number: int) -> None:
    recipe = RecipeSnapshot(text="", digest="", source="")
    request = RunRequest(goosejob=REF, generation=1, recipe=recipe, retry=Retry(max_attempts=3))
    attempt = AttemptRequest(run=RUN, request=request, attempt=number)
    ended = AttemptResult(attempt=number, outcome=Outcome.FAILED, reason=reason, message="why")
    told = events.attempt_failed(attempt, ended)
    assert (told is not None) == (reason in RETRYABLE - INFRASTRUCTURE and number < 3)
    if told:
        assert told.message == (
            f"Run 20261121-020000: attempt {number} failed ({reason}), another one follows: why"
        )


def test_a_message_is_one_bounded_line_without_control_characters() -> None:
    wild = "red \x1b[31mtext\x07\non   two lines " + "é" * 2000
    message = events.ended(news(Outcome.FAILED, Reason.GOOSE_FAILED, wild)).message
    assert "red [31mtext on two lines éé" in message
    assert message.isprintable()
    assert MAX_BYTES - 2 <= len(message.encode()) <= MAX_BYTES
    assert message.endswith("é…")


def test_neither_what_the_agent_said_nor_a_recipe_is_told() -> None:
    told = (events.started(RUN, "Job nightly-1"), events.ended(news(Outcome.SUCCEEDED, Reason.COMPLETED)))
    assert all("what the agent said" not in each.message for each in told)


def condition(kind: str, status: str, reason: str = "Because", message: str = "why") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-21T02:00:00Z",
    }


def status(*conditions: dict[str, Any], **counts: int) -> dict[str, Any]:
    return {"conditions": list(conditions), "counts": counts}


def answered(what: str, answer: str) -> dict[str, Any]:
    return {"handledRequests": {what: {"token": "t", "answer": answer, "message": "why not"}}}


def changes(before: dict[str, Any], after: dict[str, Any], **meta: str) -> list[tuple[str, str, bool]]:
    found = events.changed({"metadata": meta, "status": before}, after)
    return [(each.reason, each.message, each.warning) for each in found]


LEFT_OUT = (
    "A run that was due did not start: an earlier one was still active, see spec.concurrencyPolicy. "
    "status.counts.skipped has how many"
)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (status(), status(), []),
        (status(skipped=3, missed=2), status(skipped=3, missed=2), []),
        (status(skipped=3), status(skipped=4), [("RunsSkipped", LEFT_OUT, False)]),
        (status(), status(skipped=4), [("RunsSkipped", LEFT_OUT, False)]),
        (
            status(missed=1),
            status(missed=3),
            [
                (
                    "RunsMissed",
                    "2 runs that were due could not start within spec.startingDeadlineSeconds",
                    True,
                )
            ],
        ),
        (status(), status(condition("Stalled", "True")), [("Stalled", "Because: why", True)]),
        (status(condition("Stalled", "True")), status(condition("Stalled", "True")), []),
        (
            status(condition("Stalled", "True")),
            status(condition("Stalled", "True", message="other")),
            [("Stalled", "Because: other", True)],
        ),
        (status(condition("Stalled", "True")), status(), []),
        (
            status(condition("Suspended", "False")),
            status(condition("Suspended", "True", "Suspended")),
            [("Suspended", "why", False)],
        ),
        (
            status(condition("Suspended", "True", "Suspended")),
            status(condition("Suspended", "True", "PausedInTemporal")),
            [("SchedulePausedInTemporal", "why", True)],
        ),
        (
            status(condition("Suspended", "True")),
            status(condition("Suspended", "False")),
            [("Resumed", "Runs start again when they are due", False)],
        ),
        (status(), status(condition("Suspended", "False")), []),
        (status(condition("Suspended", "True")), status(), []),
        (status(), answered("run", "Started"), []),
        (status(), answered("run", "NotNew"), []),
        (status(), answered("run", "Skipped"), [("RequestRefused", "why not", True)]),
        (answered("kill", "Noted"), answered("kill", "Refused"), [("RequestRefused", "why not", True)]),
        (answered("run", "Refused"), answered("run", "Refused"), []),
    ],
)
def test_of_a_change_of_the_status_its_news_are_told(
    before: dict[str, Any], after: dict[str, Any], told: list[tuple[str, str, bool]]
) -> None:
    assert changes(before, after) == told


def test_of_a_goosejob_that_is_being_deleted_nothing_more_is_told() -> None:
    paused, lifted = status(condition("Suspended", "True")), status(condition("Suspended", "False"), missed=1)
    assert changes(paused, lifted, deletionTimestamp="2026-11-21T02:00:00Z") == []


def test_the_same_within_an_hour_is_counted_and_later_is_told_anew() -> None:
    correlator = Correlator()
    first = correlator.judge(REF, SAID, NOW)
    again = correlator.judge(REF, SAID, NOW + SAME)
    later = correlator.judge(REF, SAID, NOW + 2 * SAME + timedelta(seconds=1))
    assert first
    assert again
    assert later
    assert (first.count, again.count, later.count) == (1, 2, 1)
    assert (again.name, again.first, again.last) == (first.name, NOW, NOW + SAME)
    assert later.name != first.name


def test_what_happens_once_is_told_once_and_under_the_same_name_by_every_replica() -> None:
    event = events.started(RUN, "worker a")
    one, other = Correlator(), Correlator()
    first = one.judge(REF, event, NOW)
    assert first
    assert one.judge(REF, events.started(RUN, "worker b"), NOW) is None
    elsewhere = other.judge(REF, events.started(RUN, "worker b"), NOW + SAME)
    assert elsewhere
    assert elsewhere.name == first.name
    recreated = other.judge(REF.model_copy(update={"uid": "u2"}), event, NOW)
    assert recreated
    assert recreated.name != first.name


def test_an_object_that_has_much_to_say_is_heard_less_and_less() -> None:
    correlator = Correlator()
    told = [correlator.judge(REF, Event("Said", str(n)), NOW) for n in range(BURST + 5)]
    assert [entry is not None for entry in told] == [True] * BURST + [False] * 5
    assert correlator.judge(REF, Event("Said", "soon"), NOW + REFILL / 2) is None
    assert correlator.judge(REF, Event("Said", "later"), NOW + REFILL)
    assert correlator.judge(REF.model_copy(update={"uid": "other"}), SAID, NOW)


def test_what_was_not_heard_is_in_the_count_of_the_next_time() -> None:
    correlator = Correlator()
    for _ in range(BURST + 10):
        correlator.judge(REF, SAID, NOW)
    heard = correlator.judge(REF, SAID, NOW + REFILL)
    assert heard
    assert heard.count == BURST + 11


def test_good_news_neither_drown_bad_news_nor_a_start_the_end() -> None:
    correlator = Correlator()
    runs = [RUN.model_copy(update={"id": str(n)}) for n in range(BURST)]
    assert sum(correlator.judge(REF, events.started(run, "x"), NOW) is not None for run in runs) == BURST - 1
    assert correlator.judge(REF, events.ended(news(Outcome.SUCCEEDED, Reason.COMPLETED)), NOW)
    assert correlator.judge(REF, events.ended(news(Outcome.FAILED, Reason.GOOSE_FAILED)), NOW)


def test_a_night_of_skipped_runs_does_not_drown_what_comes_after_it() -> None:
    correlator = Correlator()
    for n in range(2 * BURST):
        [skipped] = events.changed({"metadata": {}, "status": status(skipped=n)}, status(skipped=n + 1))
        correlator.judge(REF, skipped, NOW)
    suspended, goes_on = status(condition("Suspended", "True")), status(condition("Suspended", "False"))
    [resumed] = events.changed({"metadata": {}, "status": suspended}, goes_on)
    assert correlator.judge(REF, resumed, NOW)


def test_what_is_kept_in_mind_is_bounded() -> None:
    correlator = Correlator()
    first = correlator.judge(REF, SAID, NOW)
    assert first
    for n in range(REMEMBERED):
        correlator.judge(REF.model_copy(update={"uid": str(n)}), SAID, NOW)
    anew = correlator.judge(REF, SAID, NOW + timedelta(seconds=1))
    assert anew
    assert anew.count == 1
