"""From a recipe's text and the values given to it to the text that goose gets: the steps in order."""

from collections.abc import Iterator, Mapping
from typing import Any

from goosejobs.recipe import PreparedRecipe, Problem, RecipeError, quoted
from goosejobs.recipe.check import RECIPE_DIR, check_recipe, check_values, invalid_value
from goosejobs.recipe.encode import encode
from goosejobs.recipe.files import FileProblem, Files
from goosejobs.recipe.parse import parse
from goosejobs.recipe.render import Value, leaves, render, variables
from goosejobs.recipe.schedule import SECTION, read_schedule
from goosejobs.recipe.values import read_value

_UNSAFE_FOR_SUB_RECIPES = frozenset("\"'\\\x7f\x85\u2028\u2029") | {chr(code) for code in range(0x20)}


def prepare(text: str, given: Mapping[str, str], files: Files, *, scheduled: bool = False) -> PreparedRecipe:
    """Parse, check, fill in and write a recipe.

    Args:
        text: The recipe, YAML or JSON.
        given: The values of its parameters, all texts.
        files: The files around the recipe.
        scheduled: Its own `schedule` section is to say when it runs.

    Raises:
        RecipeError: With all problems that the first failing step found.
    """
    recipe = parse(text)
    section = recipe.pop(SECTION, None)  # goose does not know it, and no parameter reaches it
    schedule, problems = read_schedule(section) if scheduled else ("", [])
    _stop_on(problems)
    _stop_on(check_recipe(recipe))
    _stop_on(check_values(recipe, given))
    values, problems = _values(recipe, given, files)
    _stop_on([*problems, *_recipe_dir_problems(recipe, values)])
    # The parameters are filled in by now: goose would call them unnecessary.
    rendered, problems = render({k: v for k, v in recipe.items() if k != "parameters"}, values)
    _stop_on(problems)
    _stop_on([*_empty_prompt(rendered), *_sub_recipes(recipe, rendered, files)])
    return PreparedRecipe(
        text=encode(rendered),
        title=rendered["title"],
        needs_output=rendered.get("response", {}).get("json_schema") is not None,
        schedule=schedule,
    )


def _stop_on(problems: list[Problem]) -> None:
    if problems:
        raise RecipeError(problems)


def _values(
    recipe: dict[str, Any], given: Mapping[str, str], files: Files
) -> tuple[dict[str, Value], list[Problem]]:
    """What each name stands for in the templates.

    As in goose, a default is taken as it is (its own `{{ }}` are not filled in), and a `file` parameter
    stands for the file's content.
    """
    values: dict[str, Value] = {}
    problems = []
    for parameter in recipe.get("parameters", []):
        name, kind = parameter["key"], parameter["input_type"]
        value = given.get(name, parameter.get("default"))
        try:
            if kind == "file":
                values[name] = files.text(value)
            elif kind in ("object", "array"):
                values[name] = read_value(value, kind, [])
            else:
                values[name] = value
        except FileProblem as error:
            place = f"spec.parameters[{list(given).index(name)}].value"
            problems.append(invalid_value(place, f"{quoted(name)}: {error}"))
    if files.recipe_dir is not None:
        values[RECIPE_DIR] = files.recipe_dir
    return values, problems


def _recipe_dir_problems(recipe: dict[str, Any], values: Mapping[str, Value]) -> Iterator[Problem]:
    if RECIPE_DIR in values:
        return
    for path, text in leaves(recipe):
        if RECIPE_DIR in variables(text):
            yield Problem(path, "uses recipe_dir, which only a recipe from spec.recipe.path has")


def _empty_prompt(rendered: dict[str, Any]) -> Iterator[Problem]:
    if not rendered["prompt"].strip():
        yield Problem("prompt", "is empty once its templates are filled in; a run needs a prompt")


def _sub_recipes(recipe: dict[str, Any], rendered: dict[str, Any], files: Files) -> list[Problem]:
    """Put the real path of each sub-recipe into `rendered`."""
    problems = []
    for index, sub_recipe in enumerate(rendered.get("sub_recipes", [])):
        path = f"sub_recipes[{index}]"
        try:
            sub_recipe["path"] = files.sub_recipe(sub_recipe["path"])
        except FileProblem as error:
            problems.append(Problem(f"{path}.path", str(error)))
        written = recipe["sub_recipes"][index].get("values", {})
        problems += _unsafe_values(written, sub_recipe.get("values", {}), f"{path}.values")
    return problems


def _unsafe_values(written: dict[str, Any], filled: dict[str, Any], path: str) -> Iterator[Problem]:
    """Filled-in values that could change a sub-recipe.

    goose puts them into the text of the sub-recipe's file before it reads that as YAML, and it does so while
    the run goes on, out of our reach: a quote or a line break could add an extension there, that is, a
    command.
    """
    before = dict(leaves(written, path))
    for place, text in leaves(filled, path):
        if text != before.get(place) and not _UNSAFE_FOR_SUB_RECIPES.isdisjoint(text):
            yield Problem(
                place,
                "has a quote, backslash, line break or control character from a parameter, which could "
                "change the sub-recipe; leave those out of the value, or pass it in the prompt",
            )
