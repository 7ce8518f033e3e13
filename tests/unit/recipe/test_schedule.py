"""The recipe's own schedule: read where it is asked for, else left alone."""

import json
from typing import Any

import pytest

from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import Problem, RecipeError
from goosejobs.recipe.files import RecipeFolder
from goosejobs.recipe.prepare import prepare
from goosejobs.recipe.schedule import read_schedule

HEAD = "title: t\ndescription: d\nprompt: p\n"
NOWHERE = RecipeFolder(None, None)


def schedule_of(added: str) -> str:
    return prepare(HEAD + added, {}, NOWHERE, scheduled=True).schedule


def problems_of(added: str, given: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(RecipeError) as caught:
        prepare(HEAD + added, given or {}, NOWHERE, scheduled=True)
    return caught.value.problems


@pytest.mark.parametrize(
    ("added", "expression"),
    [
        ('schedule: {cron: "0 8 * * 1", foreground: false}', "0 8 * * 1"),
        ('schedule: {cron: "@every 15m", foreground: true}', "@every 15m"),
        ("schedule:\n  cron: 0 8 * * MON-FRI\n", "0 8 * * MON-FRI"),
        ("schedule:\n  cron: 0 8 * * *\n  foreground:\n", "0 8 * * *"),
        ('"schedule": {"cron": "30 2 1 */3 ?"}', "30 2 1 */3 ?"),
        ("schedule: {cron: 5}", "5"),  # whether it is an expression is for the operator to say
    ],
)
def test_the_expression_comes_out_as_it_was_written(added: str, expression: str) -> None:
    assert schedule_of(added) == expression


def test_it_is_found_in_the_wrapper_that_goose_allows() -> None:
    recipe = {"title": "t", "description": "d", "prompt": "p", "schedule": {"cron": "@daily"}}
    assert prepare(json.dumps({"recipe": recipe}), {}, NOWHERE, scheduled=True).schedule == "@daily"


def test_goose_does_not_get_it() -> None:
    prepared = prepare(HEAD + "schedule: {cron: '@daily'}", {}, NOWHERE, scheduled=True)
    assert json.loads(prepared.text) == {"title": "t", "description": "d", "prompt": "p"}


@pytest.mark.parametrize(
    "added", ["", "schedule: {cron: '{{ nobody }}', foreground: perhaps}", "schedule: [8, 9]", "schedule:"]
)
def test_unless_it_is_asked_for_it_is_left_alone_as_goose_does(added: str) -> None:
    assert prepare(HEAD + added, {}, NOWHERE).schedule == ""


@pytest.mark.parametrize(
    ("added", "path", "says"),
    [
        ("", "schedule", "is missing, and spec.scheduleFrom asks for it: add schedule: {cron:"),
        ("schedule:", "schedule", "is missing, and spec.scheduleFrom asks for it"),
        ("schedule: '@daily'", "schedule", "must be a mapping: write schedule: {cron:"),
        ("schedule: ['@daily']", "schedule", "must be a mapping"),
        ("schedule: {foreground: true}", "schedule.cron", "is missing: write five fields"),
        ("schedule: {cron: ''}", "schedule.cron", "is missing: write five fields"),
        ("schedule: {cron: [0, 8]}", "schedule.cron", "must be text: write it in quotes"),
        (f"schedule: {{cron: '{'1,' * 200}'}}", "schedule.cron", "has 400 characters: write at most 256"),
        ("schedule: {cron: '@daily', foreground: 'true'}", "schedule.foreground", "must be true or false"),
        ("schedule: {cron: '@daily', zone: UTC}", "schedule.zone", "is not known here: write cron, and"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(added: str, path: str, says: str) -> None:
    (problem,) = problems_of(added)
    assert (problem.path, problem.reason) == (path, StalledReason.INVALID_SCHEDULE)
    assert problem.message.startswith(says)


@pytest.mark.parametrize(
    "template", ["0 {{ hour }} * * *", "{% if hour %}@daily{% endif %}", "@daily{# x #}"]
)
def test_parameters_do_not_reach_it(template: str) -> None:
    parameter = "{key: hour, input_type: string, requirement: required, description: d}"
    added = f'instructions: "{{{{ hour }}}}"\nparameters: [{parameter}]\nschedule: {{cron: "{template}"}}'
    (problem,) = problems_of(added, {"hour": "8"})
    assert problem.message.endswith(
        "is a template, and parameters do not reach the schedule: write the times out"
    )


def test_a_parameter_that_only_the_schedule_uses_is_used_nowhere() -> None:
    parameter = "{key: hour, input_type: string, requirement: required, description: d}"
    text = f'{HEAD}parameters: [{parameter}]\nschedule: {{cron: "0 {{{{ hour }}}} * * *"}}'
    with pytest.raises(RecipeError) as caught:
        prepare(text, {"hour": "8"}, NOWHERE)
    assert caught.value.message.startswith('"hour" is used nowhere')


@pytest.mark.parametrize("line", ["  cron: * * * * *", "  cron: @daily", "  cron: *"])
def test_yaml_that_needs_quotes_says_so(line: str) -> None:
    (problem,) = problems_of(f"schedule:\n{line}\n")
    assert "a cron expression must be quoted" in problem.message


@pytest.mark.parametrize("section", [None, 1, "x", [], {}, {"cron": None}, {"cron": {}}, {1: 2}])
def test_anything_else_is_refused_never_a_crash(section: Any) -> None:
    _, problems = read_schedule(section)
    assert problems
