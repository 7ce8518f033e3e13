"""What a spec asks for, and what is said of one that makes no sense."""

from typing import Any

import pytest

from goosejobs.model.execution import Execution, Mode
from goosejobs.model.pool import Offer, poller_identity
from goosejobs.model.spec import GooseJobSpec
from goosejobs_operator import desired
from goosejobs_operator.desired import Refused
from support.observations import NOW, RECIPE, REF

GOOD: dict[str, Any] = {"schedule": "0 8 * * *", "recipe": {"text": "prompt: hi"}}


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({}, "InvalidSpec", "spec.recipe: "),
        (None, "InvalidSpec", "spec.recipe: "),
        ({**GOOD, "schedul": "x"}, "InvalidSpec", "spec.schedul: "),
        ({**GOOD, "runOnce": True}, "InvalidSpec", "exactly one of spec.schedule"),
        ({"recipe": GOOD["recipe"]}, "InvalidSpec", "exactly one of spec.schedule"),
        ({**GOOD, "scheduleFrom": "Recipe"}, "InvalidSpec", "exactly one of spec.schedule"),
        ({"recipe": GOOD["recipe"], "scheduleFrom": "Pool"}, "InvalidSpec", "spec.scheduleFrom: "),
        ({**GOOD, "recipe": {}}, "InvalidSpec", "exactly one of inline, text"),
        ({**GOOD, "recipe": {"text": "a", "path": "b"}}, "InvalidSpec", "exactly one of inline, text"),
        ({**GOOD, "startingDeadlineSeconds": 1}, "InvalidSpec", "spec.startingDeadlineSeconds: "),
        ({**GOOD, "parameters": [{"name": "a"}]}, "InvalidSpec", "spec.parameters[0].value: "),
        ({**GOOD, "retry": {"maxAttempts": "many"}}, "InvalidSpec", "spec.retry.maxAttempts: "),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_by_its_field(spec: Any, reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        desired.read({"metadata": {}, "spec": spec})
    assert refused.value.reason == reason
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"schedule": "61 * * * *"}, "InvalidSchedule", "spec.schedule: "),
        ({"schedules": ["0 8 * * *", "x"]}, "InvalidSchedule", "spec.schedules[1]: "),
        ({"schedule": "0 0 31 2 *"}, "ScheduleNeverFires", "spec.schedule: "),
        ({"schedule": "0 8 * * *", "timeZone": "Mars/Base"}, "InvalidTimeZone", "spec.timeZone: "),
    ],
)
def test_a_schedule_that_cannot_be_served_is_refused_by_its_field(
    spec: dict[str, Any], reason: str, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        desired.times(GooseJobSpec.model_validate({"recipe": GOOD["recipe"], **spec}), NOW)
    assert refused.value.reason == reason
    assert refused.value.message.startswith(says)


ELSEWHERE = Offer(Mode.JOB, frozenset({"team-b", "team-c"}))
JOBS, PROCESSES = (Offer(mode, frozenset({"team-a", "team-b"})) for mode in (Mode.JOB, Mode.PROCESS))


@pytest.mark.parametrize(
    ("execution", "offers", "says"),
    [
        (
            {},
            {ELSEWHERE},
            "spec.execution.pool: pool default does not serve namespace team-a, only team-b, team-c",
        ),
        ({"mode": "Process"}, {JOBS}, "spec.execution.mode: pool default runs in mode Job: leave this out"),
        ({"mode": "Job"}, {PROCESSES, ELSEWHERE}, "spec.execution.mode: pool default runs in mode Process:"),
        ({"job": {}}, {PROCESSES}, "spec.execution.job: pool default runs processes"),
    ],
)
def test_a_pool_that_would_refuse_the_runs_is_told_before_the_first(
    execution: dict[str, Any], offers: set[Offer | None], says: str
) -> None:
    with pytest.raises(Refused) as refused:
        desired.ensure_served(Execution.model_validate(execution), "team-a", offers)
    assert refused.value.reason == "PoolRefused"
    assert refused.value.message.startswith(says)


@pytest.mark.parametrize(
    ("execution", "offers"),
    [
        ({}, {JOBS}),
        ({"mode": "Process"}, {PROCESSES}),
        ({"mode": "Job", "job": {}}, {JOBS, ELSEWHERE}),
        ({}, {Offer(Mode.JOB, frozenset({"*"}))}),
        ({"mode": "Job"}, {JOBS, PROCESSES}),  # a pool on its way from one mode to the other
        ({}, {ELSEWHERE, None}),  # one that does not say may take it
        ({}, set()),
        ({}, None),
    ],
)
def test_a_pool_that_may_take_the_runs_is_not_refused(
    execution: dict[str, Any], offers: set[Offer | None] | None
) -> None:
    desired.ensure_served(Execution.model_validate(execution), "team-a", offers)


@pytest.mark.parametrize("namespaces", [["*"], ["team-a"], ["team-b", "team-a"]])
def test_what_a_worker_announces_is_what_the_operator_reads(namespaces: list[str]) -> None:
    identity = poller_identity("pod-1 mode=Job namespaces=x", Mode.PROCESS, namespaces)
    assert Offer.of(identity) == Offer(Mode.PROCESS, frozenset(namespaces))


@pytest.mark.parametrize("count", [1, 500])
def test_an_identity_is_never_longer_than_temporal_takes(count: int) -> None:
    identity = poller_identity("x" * 253, Mode.JOB, [f"namespace-{n}" for n in range(count)])
    assert len(identity) <= 1000
    assert identity.startswith("x" * 253)
    assert (Offer.of(identity) is None) == (count == 500)


def test_a_run_is_asked_for_what_the_spec_says() -> None:
    spec = GooseJobSpec.model_validate(
        {
            **GOOD,
            "parameters": [{"name": "topic", "value": "kubernetes"}],
            "model": {"name": "gpt-5", "maxTurns": 7},
            "execution": {"pool": "gpu"},
            "concurrencyPolicy": "Queue",
            "activeDeadlineSeconds": 60,
            "runDeadlineSeconds": 600,
            "retry": {"maxAttempts": 1},
        }
    )
    asked = desired.request(REF, 4, spec, RECIPE)
    assert asked.model_dump(mode="json", exclude={"recipe"}) == {
        "goosejob": REF.model_dump(),
        "generation": 4,
        "parameters": [{"name": "topic", "value": "kubernetes"}],
        "model": {"provider": None, "name": "gpt-5", "max_turns": 7},
        "pool": "gpu",
        "mode": None,
        "env": [],
        "env_from": [],
        "job": None,
        "concurrency_policy": "Queue",
        "active_deadline_seconds": 60,
        "run_deadline_seconds": 600,
        "retry": {
            "max_attempts": 1,
            "initial_interval_seconds": 1,
            "backoff_coefficient": 2,
            "max_interval_seconds": 30,
        },
        "max_runs": 0,
        "odd_intervals": [],
    }
    assert asked.recipe == RECIPE
