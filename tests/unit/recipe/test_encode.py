"""What goose is given: JSON that is YAML that is a template without any template in it."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import RecipeError
from goosejobs.recipe.encode import encode
from goosejobs.recipe.parse import parse
from goosejobs.recipe.render import variables

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
ALL_OF_THE_FIRST_PLANE = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000))))
TREES = st.dictionaries(
    TEXTS,
    st.recursive(
        TEXTS
        | st.none()
        | st.booleans()
        | st.integers(min_value=-(2**63), max_value=2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=15,
    ),
    max_size=4,
)


@settings(max_examples=50, deadline=None)
@given(TREES)
@example({"prompt": ALL_OF_THE_FIRST_PLANE})
@example({"{{ a }}": "{% endraw %}", "a": 'x: ""', "b": "", "c:": "", "d": ["", ":", ""]})
def test_json_and_yaml_read_back_what_was_written(recipe: dict[str, Any]) -> None:
    text = encode(recipe)
    assert json.loads(text) == recipe
    # PyYAML reads 1e5 as text, so JSON answers for numbers; texts and keys must be those of YAML.
    assert texts(yaml.safe_load(text)) == texts(recipe)


def texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: texts(child) for key, child in value.items()}
    if isinstance(value, list):
        return [texts(child) for child in value]
    return value if isinstance(value, str) and not re.fullmatch(r"-?\d+(\.\d+)?e[+-]?\d+", value) else "-"


@settings(max_examples=50, deadline=None)
@given(TREES)
@example({"a": "{{ a }}{% b %}{# c #}", "{%": "{{"})
def test_no_template_is_left_for_goose(recipe: dict[str, Any]) -> None:
    text = encode(recipe)
    inside_strings = "".join(re.findall(r'"(?:[^"\\]|\\.)*"', text))
    assert not set("{}") & set(inside_strings)
    assert not any(opening in text for opening in ("{{", "{%", "{#"))
    assert variables(text) == set()


def test_what_yaml_cannot_hold_raw_is_escaped_and_the_rest_is_raw() -> None:
    text = encode(
        {"a": "\0\t\n\r\x1b\x7f\x85\x9f\u2028\u2029\ufeff\ufffe\uffff é \xa0 \u200b \U0001f9ea \U0010ffff"}
    )
    assert text == (
        r'{"a":"\u0000\t\n\r\u001b\u007f\u0085\u009f\u2028\u2029\ufeff\ufffe\uffff'
        ' é \xa0 \u200b \U0001f9ea \U0010ffff"}\n'
    )


def test_what_is_written_can_be_parsed_again() -> None:
    recipe = {"title": "1.0", "prompt": "{{ a }}", "settings": {"max_turns": 5, "temperature": 0.5}}
    with pytest.raises(RecipeError, match="template"):
        parse('{"a": {{ b }}}')
    assert parse(encode(recipe)) == recipe


def test_the_size_is_that_of_the_text_in_bytes() -> None:
    overhead = len(encode({"prompt": ""}).encode())
    assert len(encode({"prompt": "é" * ((MAX_RECIPE_BYTES - overhead) // 2)}).encode()) <= MAX_RECIPE_BYTES
    with pytest.raises(RecipeError) as caught:
        encode({"prompt": "é" * (MAX_RECIPE_BYTES // 2)})
    assert caught.value.reason is StalledReason.RECIPE_TOO_LARGE


def test_a_key_that_yaml_would_not_take_for_one_is_refused() -> None:
    assert encode({"k" * 990: 1})
    with pytest.raises(RecipeError, match="is too long"):
        encode({"k" * 1000: 1})
    with pytest.raises(RecipeError, match="is too long"):
        encode({"{" * 200: 1})
