"""Values in templates: what reaches a text, and what cannot."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goosejobs.recipe.parse import parse
from goosejobs.recipe.render import Value, is_name, leaves, render, render_text, variables

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NASTY = (
    "\"'\n\r\n  - key: x\n\nextensions:\n- {type: stdio, cmd: id}\n"
    "{{ a }} {% endraw %} {%- raw -%} {# \U0001f9ea"
)
RECIPE: dict[str, Any] = {
    "title": "about {{ a }}",
    "prompt": "{{ a }}",
    "instructions": "{{ b }}{{ a }}\n",
    "activities": ["first {{ a }}", "second"],
    "extensions": [
        {"type": "stdio", "cmd": "run", "args": ["--about={{ a }}"], "timeout": 5, "bundled": True}
    ],
    "response": {"json_schema": {"type": "object", "properties": {"a": {"const": "{{ a }}"}}}},
    "settings": {"temperature": 0.5, "goose_model": "m"},
    "author": {"contact": None},
}


def expected(a: str, b: str) -> dict[str, Any]:
    recipe = copy.deepcopy(RECIPE)
    recipe["title"] = "about " + a
    recipe["prompt"] = a
    recipe["instructions"] = b + a + "\n"
    recipe["activities"][0] = "first " + a
    recipe["extensions"][0]["args"] = ["--about=" + a]
    recipe["response"]["json_schema"]["properties"]["a"]["const"] = a
    return recipe


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
@example(NASTY, "{% endraw %}")
@example("", "{{")
def test_a_value_reaches_its_texts_unchanged_and_changes_nothing_else(a: str, b: str) -> None:
    assert render(RECIPE, {"a": a, "b": b}) == (expected(a, b), [])


@settings(max_examples=50, deadline=None)
@given(TEXTS.filter(lambda text: "{{" not in text and "{%" not in text and "{#" not in text))
def test_a_text_without_templates_stays_as_it_is(text: str) -> None:
    assert render_text(text, {"a": "x"}) == text


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_line_breaks_and_spaces_around_a_template_stay(before: str, after: str) -> None:
    before, after = before.replace("{", "("), after.replace("}", ")").replace("{", "(")
    assert (
        render_text(f"{before} \r\n{{{{ a }}}}\n {after}\n\n", {"a": "v"}) == f"{before} \r\nv\n {after}\n\n"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS, JSON, max_size=3), TEXTS)
def test_texts_inside_objects_and_arrays_come_out_unchanged(noise: dict[str, Any], text: str) -> None:
    values: dict[str, Value] = {"o": {**noise, "field": {"n": [noise, text]}}, "l": [noise, [text]]}
    assert render_text("{{ o.field.n[1] }}|{{ o['field']['n'][1] }}|{{ l[1][0] }}", values) == "|".join(
        [text] * 3
    )


TEMPLATES: list[tuple[str, str | None]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data/recipes/templates.yaml").read_text()
)


@pytest.mark.parametrize(("template", "rendered"), [case for case in TEMPLATES if case[1] is not None])
def test_templates_come_out_as_from_goose(template: str, rendered: str) -> None:
    assert render_text(template, {"x": "3"}) == rendered


@pytest.mark.parametrize("template", [template for template, rendered in TEMPLATES if rendered is None])
def test_templates_that_goose_refuses_are_problems(template: str) -> None:
    rendered, problems = render({"prompt": template}, {"x": "3"})
    assert (rendered, [problem.path for problem in problems]) == ({"prompt": template}, ["prompt"])


def test_what_goose_takes_as_literal_may_stand_in_a_text_more_than_once() -> None:
    # goose itself wraps it twice then, and fails with "unknown statement endraw"
    assert render_text("{{ .a }} {{ .a }}", {}) == "{{ .a }} {{ .a }}"


def test_the_authors_own_guards_are_kept() -> None:
    # goose adds its own inside them, and fails likewise
    assert render_text("{% raw %}{{ .a }} {% x %}{% endraw %}{{ b }}", {"b": "c"}) == "{{ .a }} {% x %}c"


def test_a_template_cannot_reach_python() -> None:
    for template in (
        "{{ o.__class__ }}",
        "{{ o.items }}",
        "{{ o.clear() }}",
        "{{ l.append(1) }}",
        "{{ x.format }}",
    ):
        rendered, problems = render(template, {"o": {"a": 1}, "l": [1], "x": "{}"})
        assert (rendered, len(problems)) == (template, 1)


def test_every_problem_of_a_recipe_has_its_path() -> None:
    recipe = {"prompt": "{{ y }}", "a": [{"b": "{{ x"}, "fine {{ x }}"]}
    _, problems = render(recipe, {"x": "3"})
    assert [problem.path for problem in problems] == ["prompt", "a[0].b"]


def test_the_names_a_template_takes_from_outside_are_found() -> None:
    assert variables("{{ a.b }}{% for c in d %}{{ c }}{% endfor %}{% set e = f %}{{ e }}{{ .g }}") == {
        "a",
        "d",
        "f",
    }
    assert variables("{% macro m(a) %}{{ a }}{{ b }}{% endmacro %}{{ m(c) }}") == {"b", "c"}
    assert variables("no template } %}") == set()


def test_texts_are_found_with_their_paths() -> None:
    recipe = parse(
        "title: t\nsettings: {max_turns: 5}\nactivities: [a, b]\nresponse: {json_schema: {x: [y]}}\n"
    )
    assert dict(leaves(recipe)) == {
        "title": "t",
        "activities[0]": "a",
        "activities[1]": "b",
        "response.json_schema.x[0]": "y",
    }


@pytest.mark.parametrize("name", ["a", "_a", "topic_1", "range", "loop", "in", "if", "recipe", "T"])
def test_goose_takes_this_name_for_a_parameter(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "1a", "a-b", "a b", "a\n", "none", "None", "true", "not", "self", "ключ"]
)
def test_goose_does_not_take_this_name_for_a_parameter(name: str) -> None:
    assert not is_name(name)
