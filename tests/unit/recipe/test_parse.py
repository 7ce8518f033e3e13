"""Reading a recipe: as goose reads YAML, and within bounds whatever the text does."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.recipe import MAX_DEPTH, RecipeError
from goosejobs.recipe.parse import MAX_NODES, parse

SCALARS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "data/recipes/scalars.yaml").read_text()
)


def anything(word: str) -> Any:
    """What a word is where goose takes any value."""
    return parse(f"response: {{json_schema: [{word}]}}")["response"]["json_schema"][0]


@pytest.mark.parametrize("word", SCALARS["texts"])
def test_what_goose_reads_as_text_is_text(word: str) -> None:
    assert anything(word) == word


@pytest.mark.parametrize(("word", "value"), SCALARS["others"])
def test_what_goose_reads_as_a_value_is_that_value(word: str, value: Any) -> None:
    assert (anything(word), type(anything(word))) == (value, type(value))


@pytest.mark.parametrize("word", SCALARS["refused"])
def test_a_number_that_goose_cannot_hold_is_refused(word: str) -> None:
    with pytest.raises(RecipeError, match="goose cannot read"):
        anything(word)


@pytest.mark.parametrize("word", [*SCALARS["texts"], *(word for word, _ in SCALARS["others"]), ".inf"])
def test_where_goose_wants_text_every_word_is_the_text_it_looks_like(word: str) -> None:
    recipe = parse(f"version: {word}\nparameters: [{{key: a, options: [{word}]}}]\n")
    assert recipe == {"version": word, "parameters": [{"key": "a", "options": [word]}]}


def test_null_where_goose_wants_nothing_or_text_means_not_set() -> None:
    assert parse("title: null\nprompt: null\ninstructions: ~\nsettings:\nextensions:\n") == {"title": "null"}


def test_quotes_make_text() -> None:
    assert parse("response: {json_schema: ['1', \"true\", '']}") == {
        "response": {"json_schema": ["1", "true", ""]}
    }


def test_keys_are_text_whatever_they_look_like() -> None:
    recipe = parse("response: {json_schema: {1: a, true: b, on: c, ~: d, 0x10: e}}")
    assert recipe["response"]["json_schema"] == {"1": "a", "true": "b", "on": "c", "~": "d", "0x10": "e"}


def test_a_wrapper_is_taken_off_as_goose_does() -> None:
    assert parse("title: outer\nrecipe: {title: 5, prompt: p}\n") == {"title": "5", "prompt": "p"}


def test_block_and_folded_texts_keep_their_line_breaks() -> None:
    assert parse("prompt: |\n  a\n  b\ninstructions: >-\n  a\n  b\n") == {
        "prompt": "a\nb\n",
        "instructions": "a b",
    }


def test_an_alias_is_what_its_anchor_is_read_anew_where_it_stands() -> None:
    recipe = parse("title: &n 1.50\nresponse: {json_schema: [*n]}\nactivities: &l [a]\nx: *l\n")
    assert recipe == {"title": "1.50", "response": {"json_schema": [1.5]}, "activities": ["a"], "x": ["a"]}


def test_templates_in_texts_are_left_alone() -> None:
    text = "é: 'é {% if a %}'\nprompt: |\n  {% if a %}\n  b {% endif %}\ntitle: a {% raw %} # {{ comment }}\n"
    assert parse(text) == {
        "é": "é {% if a %}",
        "prompt": "{% if a %}\nb {% endif %}\n",
        "title": "a {% raw %}",
    }


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def has_template_key(value: Any) -> bool:
    if isinstance(value, dict):
        marks = ("{{", "{%", "{#")
        return any(any(m in key for m in marks) or has_template_key(child) for key, child in value.items())
    return isinstance(value, list) and any(map(has_template_key, value))


@settings(max_examples=50, deadline=None)
@given(TREES.filter(lambda tree: not has_template_key(tree)))
def test_json_is_read_as_json(tree: Any) -> None:
    # DEL and the C1 controls, which JSON may hold raw and YAML may not, are written as escapes.
    text = json.dumps({"response": {"json_schema": [tree]}}, ensure_ascii=False)
    escapes = {c: f"\\u{c:04x}" for c in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}
    assert parse(text.translate(escapes))["response"]["json_schema"] == [tree]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200) | st.text("{}[]\"'%&*!|>-?:, \n\ta1#", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(RecipeError):
        assert isinstance(parse(text), dict)


def laughs(levels: int) -> str:
    nine_each = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels)]
    return "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(nine_each)


BOMBS = {
    "a billion laughs": laughs(10),
    "a quadratic blow-up": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 9_000)}]\n",
    "aliases that add depth": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_alias_bomb_is_refused(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(BOMBS[name])
    assert caught.value.message.endswith(
        "the recipe's aliases expand to far more than it says; write less with aliases"
    )


DEEP = {
    "lists": "[" * 100_000,
    "mappings": "{a: " * 50_000,
    "mixed": "[{a: " * 30_000,
    "block lists": "- " * 90_000,
    "keys": "? " * 90_000,
    "closed": "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_is_bounded(name: str) -> None:
    with pytest.raises(RecipeError, match=f"line 1: the recipe is nested deeper than {MAX_DEPTH} levels"):
        parse(DEEP[name])


def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(RecipeError, match=f"line 1: the recipe has more than {MAX_NODES} values"):
        parse("a: [" + "1," * MAX_NODES + "]")


SLOW = {
    "digits": "a: " + "9" * 200_000,
    "hexadecimal digits": "a: 0x" + "f" * 200_000,
    "long keys": ("a" * 500 + ": ") * 400,
    "an open quote": "a: '" + "b: c\n" * 40_000,
    "anchors": "a: " + "&b " * 60_000,
    "comments": "# {{ \n" * 30_000,
    "braces": "{" * 200_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    assert len(SLOW[name]) <= MAX_RECIPE_BYTES
    start = time.process_time()
    with pytest.raises(RecipeError):
        parse(SLOW[name])
    assert time.process_time() - start < 1
