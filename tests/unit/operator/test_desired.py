"""What a spec asks for, and what is said of one that makes no sense."""

from typing import Any

import pytest

from goosejobs.model.spec import GooseJobSpec
from goosejobs_operator import desired
from goosejobs_operator.desired import Refused
from support.observations import RECIPE, REF

GOOD: dict[str, Any] = {"schedule": "0 8 * * *", "recipe": {"text": "prompt: hi"}}


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({}, "InvalidSpec", "spec.recipe: "),
        (None, "InvalidSpec", "spec.recipe: "),
        ({**GOOD, "schedul": "x"}, "InvalidSpec", "spec.schedul: "),
        ({**GOOD, "runOnce": True}, "InvalidSpec", "exactly one of spec.schedule"),
        ({"recipe": GOOD["recipe"]}, "InvalidSpec", "exactly one of spec.schedule"),
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
        desired.times(GooseJobSpec.model_validate({"recipe": GOOD["recipe"], **spec}))
    assert refused.value.reason == reason
    assert refused.value.message.startswith(says)


def test_a_run_is_asked_for_what_the_spec_says() -> None:
    spec = GooseJobSpec.model_validate(
        {
            **GOOD,
            "parameters": [{"name": "topic", "value": "kubernetes"}],
            "model": {"name": "gpt-5", "maxTurns": 7},
            "execution": {"pool": "gpu"},
            "concurrencyPolicy": "Queue",
            "activeDeadlineSeconds": 60,
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
        "retry": {
            "max_attempts": 1,
            "initial_interval_seconds": 1,
            "backoff_coefficient": 2,
            "max_interval_seconds": 30,
        },
    }
    assert asked.recipe == RECIPE
