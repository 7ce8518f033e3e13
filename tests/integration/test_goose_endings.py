"""Real goose, driven by the stub model to every ending that it has a way to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from goosejobs.model.reasons import Reason
from goosejobs_local.modelstub import Stub, serve
from support.goose_runs import SCENARIOS, Scenario, run_goose


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serve() as running:
        yield running


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_run_of_goose_ends_with_the_reason_that_is_true(
    name: str, goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    scenario = SCENARIOS[name]
    ending = (await run_goose(goose_binary, scenario, stub, tmp_path)).classify(scenario)
    assert (ending.outcome, ending.reason, ending.result) == (
        scenario.outcome,
        scenario.reason,
        scenario.result,
    ), ending
    assert scenario.says in ending.message


def test_every_reason_that_goose_can_give_is_driven() -> None:
    given_by_the_platform = {
        Reason.NO_OUTCOME,  # only a lost or cut output; see the unit tests
        Reason.DEADLINE_EXCEEDED,
        Reason.START_FAILED,
        Reason.WORKER_SHUTDOWN,
        Reason.WORKER_LOST,
        Reason.POOL_REFUSED,
        Reason.CANCELLED,
        Reason.TERMINATED,
        Reason.WORKFLOW_LOST,
        Reason.CONFIG_NOT_FOUND,
        # Kubernetes' own; see tests/e2e/test_jobs.py
        Reason.IMAGE_PULL_FAILED,
        Reason.OOM_KILLED,
        Reason.EVICTED,
        Reason.NODE_LOST,
        Reason.UNSCHEDULABLE,
        Reason.POD_FAILED,
        Reason.JOB_LOST,
    }
    assert {scenario.reason for scenario in SCENARIOS.values()} == set(Reason) - given_by_the_platform


async def test_goose_asks_a_failing_provider_four_times_in_one_attempt(
    goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    await run_goose(goose_binary, Scenario("stub: status 500", Reason.PROVIDER_ERROR), stub, tmp_path)
    assert stub.count == 4


async def test_goose_by_itself_survives_a_provider_that_fails_briefly(
    goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    scenario = Scenario("stub: fail 3 then answer recovered", Reason.COMPLETED)
    ending = (await run_goose(goose_binary, scenario, stub, tmp_path)).classify(scenario)
    assert (ending.reason, ending.result) == (Reason.COMPLETED, "recovered")


async def test_the_tokens_are_the_providers_count(goose_binary: Path, stub: Stub, tmp_path: Path) -> None:
    scenario = Scenario("stub: answer one two three", Reason.COMPLETED)
    ending = (await run_goose(goose_binary, scenario, stub, tmp_path)).classify(scenario)
    assert ending.tokens is not None
    assert (ending.tokens.input, ending.tokens.output, ending.tokens.total) == (5, 3, 8)


async def test_an_agent_sees_only_the_variables_that_it_is_given(
    goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    scenario = Scenario(
        "stub: shell env | cut -d= -f1 | sort | tr '\\n' ' '",
        Reason.COMPLETED,
        environment={"KUBECONFIG": "/etc/admin.conf", "TEMPORAL_API_KEY": "t", "AWS_REGION": "eu-west-1"},
    )
    ending = (await run_goose(goose_binary, scenario, stub, tmp_path)).classify(scenario)
    seen = set(ending.result.split())
    assert {"GOOSE_JOB_ID", "HOME", "AWS_REGION", "OPENAI_API_KEY"} <= seen
    assert not {"KUBECONFIG", "TEMPORAL_API_KEY"} & seen


MODELS = {
    "the worker's": ({}, None, "stub"),
    "the recipe's wins": ({"goose_model": "the-recipes"}, None, "the-recipes"),
    "the spec's wins over both": ({"goose_model": "the-recipes"}, "the-specs", "the-specs"),
    "a leading dash stays a value": ({}, "-q", "-q"),
}


@pytest.mark.parametrize("case", MODELS)
async def test_the_model_is_the_specs_then_the_recipes_then_the_workers(
    case: str, goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    settings, chosen, asked_for = MODELS[case]
    scenario = Scenario("stub: answer x", Reason.COMPLETED, recipe={"settings": settings}, model=chosen)
    await run_goose(goose_binary, scenario, stub, tmp_path)
    assert [request["body"]["model"] for request in stub.requests] == [asked_for]


async def test_the_model_gets_the_prompt_to_the_letter(
    goose_binary: Path, stub: Stub, tmp_path: Path
) -> None:
    prompt = 'Zeile 1 "quoted"\n\n  indented\t🪿\nstub: echo'
    scenario = Scenario(prompt, Reason.COMPLETED)
    ending = (await run_goose(goose_binary, scenario, stub, tmp_path)).classify(scenario)
    assert ending.result == prompt
