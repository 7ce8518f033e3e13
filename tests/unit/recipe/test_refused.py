"""What is refused, and the sentence each refusal gets: tests/data/recipes/refused.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import MAX_PROBLEMS, Problem, RecipeError, quoted
from goosejobs.recipe.files import RecipeFolder
from goosejobs.recipe.prepare import prepare

HEAD = "title: t\ndescription: d\nprompt: p\n"
CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data/recipes/refused.yaml").read_text()
)


def refusal(text: str, given: dict[str, str] | None = None) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        prepare(text, given or {}, RecipeFolder(None, None))
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"].replace(" ", "-"))
def test_a_refusal_says_what_is_wrong_and_where(case: dict[str, Any]) -> None:
    error = refusal(case.get("text", HEAD + case.get("add", "")), case.get("given"))
    reason = StalledReason(case.get("reason", "InvalidRecipe"))
    assert error.problems == [Problem(case.get("path", ""), case["says"], reason)]


def test_all_problems_of_a_recipe_are_told_at_once() -> None:
    error = refusal("titel: t\nprompt: [p]\nextensions: [{type: x}]\n")
    assert [problem.path for problem in error.problems] == [
        "title",
        "description",
        "titel",
        "prompt",
        "extensions[0].type",
    ]


def test_all_problems_of_the_values_are_told_at_once() -> None:
    parameters = [
        f"{{key: {key}, input_type: number, requirement: required, description: d}}"
        for key in ("a", "b", "c")
    ]
    text = f"{HEAD}instructions: '{{{{ a }}}}{{{{ b }}}}{{{{ c }}}}'\nparameters: [{', '.join(parameters)}]\n"
    error = refusal(text, {"a": "x", "zz": "1", "b": "2"})
    assert [problem.path for problem in error.problems] == [
        "spec.parameters[0].value",
        "spec.parameters[1].name",
        "spec.parameters",
    ]
    assert error.reason is StalledReason.INVALID_PARAMETERS


def test_a_recipe_that_is_too_large_is_refused_before_it_is_read() -> None:
    error = refusal("[" * (MAX_RECIPE_BYTES + 1))
    assert error.problems == [
        Problem(
            "", "the recipe has 204801 bytes; at most 200 KiB are allowed", StalledReason.RECIPE_TOO_LARGE
        )
    ]


def test_a_recipe_that_its_values_make_too_large_is_refused() -> None:
    parameter = "{key: a, input_type: string, requirement: required, description: d}"
    text = f"{HEAD}activities: {['{{ a }}'] * 4}\nparameters: [{parameter}]\n"
    error = refusal(text, {"a": "x" * 60_000})
    assert (error.path, error.reason) == ("", StalledReason.RECIPE_TOO_LARGE)
    assert error.message == "the recipe has 240072 bytes once filled in; at most 200 KiB are allowed"


def test_half_a_surrogate_pair_is_refused_wherever_it_comes_from() -> None:
    assert refusal("title: \ud83d").message == (
        "character 8 is half of a surrogate pair, which is not Unicode text"
    )
    parameter = "{key: a, input_type: string, requirement: required, description: d}"
    text = f"{HEAD}instructions: '{{{{ a }}}}'\nparameters: [{parameter}]\n"
    error = refusal(text, {"a": "\ude00"})
    assert error.message == '"a": has half of a surrogate pair, which is not Unicode text'


def test_a_refusal_names_the_field_that_the_recipe_came_from() -> None:
    error = RecipeError(
        [
            Problem("prompt", "is missing"),
            Problem("", "is too large", StalledReason.RECIPE_TOO_LARGE),
            Problem("spec.parameters[0].value", "is no number", StalledReason.INVALID_PARAMETERS),
        ]
    )
    assert error.describe("spec.recipe.text") == (
        "spec.recipe.text: prompt: is missing; spec.recipe.text: is too large; "
        "spec.parameters[0].value: is no number"
    )


def test_a_refusal_does_not_list_problems_without_end() -> None:
    error = RecipeError([Problem("a", "b")] * (MAX_PROBLEMS + 3))
    assert str(error).count("recipe: a: b") == MAX_PROBLEMS
    assert str(error).endswith("; and 3 more")


def test_somebodys_text_is_quoted_on_one_line_and_cut() -> None:
    assert quoted("a\n\x1b[31m\u202eb") == '"a\\u000a\\u001b[31m\\u202eb"'
    assert quoted("x" * 100) == '"' + "x" * 57 + '..."'
