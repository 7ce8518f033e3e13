"""Templates in a recipe's texts, filled in one text at a time.

goose renders a recipe's whole file and then reads the outcome as YAML, so that a value with a quote and a
line break can add an extension, that is, a command. Here the recipe is read first and each text is rendered
by itself: a value can change nothing but the text it stands in. The engine is goose's own, minijinja (goose
1.52.0 has 2.24), set as goose sets it: undefined is an error, nothing is escaped, no methods of Python's.
Run side by side over about a hundred templates, all that goose accepts came out the same, but for a list or
mapping printed whole: minijinja 2 writes `["a"]` where minijinja 3 writes `['a']`. Ours accepts more (macros,
`tojson`), because goose also renders once without any values.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import minijinja

from goosejobs.recipe import Problem

Value = str | dict[str, Any] | list[Any]
"""What a template sees of a parameter: text, as on goose's command line, even for numbers and booleans; only
`object` and `array` parameters have a structure."""

_MARKS = ("{{", "{%", "{#")
_SIMPLE = re.compile(r"\s*[a-zA-Z_][a-zA-Z0-9_]*\s*\Z")
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}")
_RAW_HINT = "; to keep it as text, write {% raw %} before and {% endraw %} after it"


class TemplateProblem(Exception):
    """A text's template does not work; str() is a sentence."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a recipe with their paths, mapping keys left out."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, f"{path}[{index}]")


def variables(text: str) -> set[str]:
    """The names that a text's template takes from outside.

    As for goose, a function of the engine (`range`, `dict`) is such a name: goose has parameters only.

    Raises:
        TemplateProblem: The template does not parse.
    """
    if not _is_template(text):
        return set()
    try:
        return _environment().undeclared_variables_in_str(_keep_literals(text))
    except minijinja.TemplateError as error:
        raise TemplateProblem(_sentence(error)) from None


def render(value: Any, values: Mapping[str, Value], path: str = "") -> tuple[Any, list[Problem]]:
    """Fill in the templates of every text below `value`; everything else stays as it is.

    Args:
        value: A recipe or a part of one.
        values: What each name stands for.
        path: Where `value` is, for messages.

    Returns:
        The new value, and what went wrong: then the value is of no use.
    """
    problems: list[Problem] = []

    def text(leaf: str, place: str) -> str:
        try:
            return render_text(leaf, values)
        except TemplateProblem as error:
            problems.append(Problem(place, str(error)))
            return leaf

    return _walk(value, path, text), problems


def render_text(text: str, values: Mapping[str, Value]) -> str:
    """Fill in one text's template.

    Raises:
        TemplateProblem: The template does not parse or does not run.
    """
    if not _is_template(text):
        return text
    environment = _environment()
    used = variables(text)
    source = _keep_literals(text)
    for name, value in values.items():
        if isinstance(value, str):
            environment.add_global(name, value)
        elif name in used:
            source = "{% set " + name + " = " + _literal(value) + " %}" + source
    try:
        return environment.render_str(source)
    except minijinja.TemplateError as error:
        raise TemplateProblem(_sentence(error)) from None


def is_name(name: str) -> bool:
    """Whether a template can use a parameter of this name: not `my-key`, `none` or `self`."""
    if not _SIMPLE.match(name):
        return False
    try:
        return _environment().undeclared_variables_in_str("{{" + name + "}}") == {name}
    except minijinja.TemplateError:
        return False


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _walk(value: Any, path: str, text: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return text(value, path)
    if isinstance(value, dict):
        return {key: _walk(child, f"{path}.{key}".lstrip("."), text) for key, child in value.items()}
    if isinstance(value, list):
        return [_walk(child, f"{path}[{index}]", text) for index, child in enumerate(value)]
    return value


def _environment() -> minijinja.Environment:
    return minijinja.Environment(
        undefined_behavior="strict",
        keep_trailing_newline=True,  # a text's last line break belongs to the text
        auto_escape_callback=lambda _name: False,
        pycompat=False,
    )


def _keep_literals(text: str) -> str:
    """Guard `{{ .Values.a }}` and whatever else goose cannot parse between braces: it is text to goose.

    A text whose author wrote `{% raw %}` and that parses as it stands needs no guards. (goose puts its own
    inside the author's, and then fails with "unknown statement endraw".)
    """
    if "{% raw %}" in text and _parses(text):
        return text
    return _EXPRESSION.sub(_guard, text)


def _guard(match: re.Match[str]) -> str:
    body = match[1]
    if _SIMPLE.match(body) or body.strip().startswith(("'", '"')) or _parses(match[0]):
        return match[0]
    return "{% raw %}" + match[0] + "{% endraw %}"


def _parses(text: str) -> bool:
    try:
        _environment().undeclared_variables_in_str(text)
    except minijinja.TemplateError:
        return False
    return True


def _sentence(error: minijinja.TemplateError) -> str:
    detail = error.detail or error.kind
    line = f" (line {error.line} of the text)" if error.line and error.line > 1 else ""
    if error.kind == "TemplateNotFound":
        return "include, import and extends are not supported in a GooseJob; write the text out"
    if error.kind == "SyntaxError":
        return f"the template does not parse: {detail}{line}{_RAW_HINT}"
    return f"the template cannot be rendered: {detail}{line}"


def _literal(value: Any) -> str:
    """A JSON value in minijinja's own notation, so that templates see the engine's values, not Python's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if value is None:
        return "none"
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        value = float(value)  # as serde_json reads a whole number of more than 64 bits
    return json.dumps(value)
