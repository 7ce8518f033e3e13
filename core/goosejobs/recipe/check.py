"""What is wrong with a recipe, or with the values given to it, told before anything runs. Pure.

Each rule is goose's own (crates/goose/src/recipe/validate_recipe.rs, and tried on goose 1.52.0), or is
stricter because nobody watches a scheduled run: a prompt is needed, values are checked by their type, names
that goose would ignore are told when they look like a slip of the pen.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import Problem, quoted
from goosejobs.recipe.fields import (
    INPUT_TYPES,
    RECIPE,
    REQUIREMENTS,
    Leaf,
    Many,
    Record,
    Shape,
    Table,
    Variants,
)
from goosejobs.recipe.output_schema import schema_problems
from goosejobs.recipe.render import TemplateProblem, is_name, leaves, variables
from goosejobs.recipe.scalars import looks_quoted
from goosejobs.recipe.values import NotOfType, read_value

RECIPE_DIR = "recipe_dir"
"""goose's one built-in variable: the folder of the recipe's file."""


def check_recipe(recipe: dict[str, Any]) -> list[Problem]:
    """All problems that a recipe has whatever values it is given.

    Args:
        recipe: As parse() returned it.
    """
    problems = list(_structure(recipe, RECIPE, ""))
    if problems:
        return problems
    return [
        *_prompt(recipe),
        *_parameters(recipe.get("parameters", [])),
        *_variables(recipe),
        *_retry(recipe.get("retry", {})),
        *_response(recipe.get("response", {})),
    ]


def check_values(recipe: dict[str, Any], given: Mapping[str, str]) -> list[Problem]:
    """All problems of the values that a GooseJob gives to a recipe that is itself in order.

    Args:
        recipe: As parse() returned it.
        given: `spec.parameters`, in its order.
    """
    parameters = {parameter["key"]: parameter for parameter in recipe.get("parameters", [])}
    problems = []
    for index, (name, text) in enumerate(given.items()):
        place = f"spec.parameters[{index}]"
        if name not in parameters:
            message = f"the recipe has no parameter {quoted(name)}{_suggestion(name, parameters)}"
            problems.append(invalid_value(f"{place}.name", message))
        elif text != parameters[name].get("default"):
            problems += _value_of_type(parameters[name], text, f"{place}.value")
    for name in [name for name in parameters if name not in given]:
        problems += _missing_value(parameters[name])
    return problems


def invalid_value(path: str, message: str) -> Problem:
    """A problem of what the GooseJob gives, not of the recipe."""
    return Problem(path, message, StalledReason.INVALID_PARAMETERS)


def _missing_value(parameter: dict[str, Any]) -> Iterator[Problem]:
    if "default" in parameter:
        return
    missing = f"{quoted(parameter['key'])} is missing"
    if parameter["requirement"] == "user_prompt":
        message = f"{missing}; the recipe asks a person for it, and a GooseJob has nobody to ask"
    else:
        message = f"{missing}; the recipe requires it ({quoted(parameter['description'])})"
    yield invalid_value("spec.parameters", message)


def _value_of_type(parameter: dict[str, Any], text: str, path: str) -> Iterator[Problem]:
    try:
        read_value(text, parameter["input_type"], parameter.get("options", []))
    except NotOfType as error:
        yield invalid_value(path, f"{quoted(parameter['key'])}: {error}")


def _structure(value: Any, shape: Shape, path: str) -> Iterator[Problem]:
    """Where a recipe is not of the shape that goose reads."""
    if isinstance(shape, Leaf):
        yield from _leaf(value, shape, path)
    elif isinstance(shape, Many):
        if not isinstance(value, list):
            yield _not_a(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from _structure(item, shape.item, f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield _not_a(path, "a mapping", value)
    elif isinstance(shape, Table):
        for key, child in value.items():
            yield from _structure(child, shape.value, f"{path}.{key}")
    else:
        yield from _mapping(value, shape, path)


def _mapping(value: dict[str, Any], shape: Record | Variants, path: str) -> Iterator[Problem]:
    inside = f"{path}." if path else ""
    if isinstance(shape, Variants):
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in shape.records:
            yield Problem(f"{inside}type", _one_of(kind, shape.records))
            return
        shape = shape.records[kind]
    for name in shape.required:
        if name not in value:
            yield Problem(f"{inside}{name}", "is missing")
    for name, child in value.items():
        if name in shape.fields:
            yield from _structure(child, shape.fields[name], f"{inside}{name}")
        elif likely := _close(name, [known for known in shape.fields if known not in value]):
            yield Problem(f"{inside}{name}", f"goose knows no such field; did you mean {likely}?")


def _leaf(value: Any, shape: Leaf, path: str) -> Iterator[Problem]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if shape in (Leaf.TEXT, Leaf.OPTIONAL_TEXT) and not isinstance(value, str):
        yield _not_a(path, "text", value)
    elif shape is Leaf.BOOLEAN and not isinstance(value, bool):
        yield _not_a(path, "true or false", value)
    elif shape is Leaf.NUMBER and not number:
        yield _not_a(path, "a number", value)
    elif shape is Leaf.INTEGER and not (number and isinstance(value, int) and value >= 0):
        yield _not_a(path, "a whole number, not negative", value)


def _not_a(path: str, wanted: str, value: Any) -> Problem:
    return Problem(path, f"must be {wanted}; it is {_kind(value)}{_quoting(value)}")


def _quoting(value: Any) -> str:
    """What to do about a text where something else is wanted."""
    if not isinstance(value, str):
        return ""
    if "{{" in value or "{%" in value:
        return "; goose fills templates into texts only"
    return "; write it without quotes" if looks_quoted(value) else ""


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else "empty"


def _one_of(value: Any, allowed: Iterable[str]) -> str:
    choices = f"write one of {', '.join(allowed)}"
    return f"is missing; {choices}" if value is None else f"{quoted(str(value))} is unknown; {choices}"


def _close(name: str, known: Iterable[str]) -> str | None:
    matches = difflib.get_close_matches(name.lower()[:100], list(known), n=1, cutoff=0.7)
    return matches[0] if matches else None


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    if likely := _close(name, known):
        return f"; did you mean {likely}?"
    return f"; it has {quoted(', '.join(known), limit=200)}" if known else "; it has none"


def _prompt(recipe: dict[str, Any]) -> Iterator[Problem]:
    if not recipe.get("prompt", "").strip():
        yield Problem(
            "prompt",
            "is missing; a run that nobody watches needs a prompt, for instructions alone start nothing",
        )


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, parameter in enumerate(parameters):
        path = f"parameters[{index}]"
        yield from _key(parameter["key"], f"{path}.key", seen)
        for name, allowed in (("input_type", INPUT_TYPES), ("requirement", REQUIREMENTS)):
            if parameter[name] not in allowed:
                yield Problem(f"{path}.{name}", _one_of(parameter[name], allowed))
        yield from _default(parameter, f"{path}.default")
        if parameter["input_type"] == "select" and not parameter.get("options"):
            yield Problem(f"{path}.options", "is missing; a select parameter needs its options")


def _key(key: str, path: str, seen: set[str]) -> Iterator[Problem]:
    if key == RECIPE_DIR:
        yield Problem(path, "recipe_dir is goose's own variable; choose another name")
    elif not is_name(key):
        yield Problem(
            path,
            f"{quoted(key)} cannot be used in a template; use letters, digits and underscores, as in topic_1",
        )
    if key in seen:
        yield Problem(path, f"{quoted(key)} is defined twice")
    seen.add(key)


def _default(parameter: dict[str, Any], path: str) -> Iterator[Problem]:
    kind, default = parameter["input_type"], parameter.get("default")
    if default is None:
        if parameter["requirement"] == "optional":
            yield Problem(path, 'is missing; an optional parameter needs one, at least default: ""')
    elif kind == "file":
        yield Problem(path, "a file parameter may have no default, so that no file is read unasked")
    elif kind in ("object", "array"):
        try:
            read_value(default, kind, [])
        except NotOfType as error:
            yield Problem(path, str(error))


def _variables(recipe: dict[str, Any]) -> Iterator[Problem]:
    """Every name used must be a parameter, every parameter must be used: goose refuses the rest."""
    parameters = {parameter["key"]: index for index, parameter in enumerate(recipe.get("parameters", []))}
    used: set[str] = set()
    readable = True
    for path, text in leaves(recipe):
        try:
            names = variables(text)
        except TemplateProblem as error:
            readable = False
            yield Problem(path, str(error))
            continue
        used |= names
        for name in sorted(names - parameters.keys() - {RECIPE_DIR}):
            yield Problem(
                path, f"uses {quoted(name)}, which is not among the parameters{_hint(name, parameters)}"
            )
    for name in parameters if readable else ():
        if name not in used and is_name(name):
            message = f"{quoted(name)} is used nowhere, which goose refuses; use it in a text or remove it"
            yield Problem(f"parameters[{parameters[name]}].key", message)


def _hint(name: str, parameters: Mapping[str, Any]) -> str:
    likely = _close(name, parameters)
    return f"; did you mean {likely}?" if likely else ""


def _retry(retry: dict[str, Any]) -> Iterator[Problem]:
    for name in ("max_retries", "timeout_seconds", "on_failure_timeout_seconds"):
        if retry.get(name) == 0:
            yield Problem(f"retry.{name}", "must be at least 1")


def _response(response: dict[str, Any]) -> Iterator[Problem]:
    schema = response.get("json_schema")
    if schema is None:
        return
    if not isinstance(schema, dict):
        yield _not_a("response.json_schema", "a mapping", schema)
        return
    for path, message in schema_problems(schema, "response.json_schema"):
        yield Problem(path, message)
