"""JSON that is nested deeper than Python's decoder goes, as the API server may send it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.clients.depth import MAX_DEPTH, decode, shallow

TEXTS = st.text(alphabet='ab"\\[]{},:\u2028🪿', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(TEXTS, child, max_size=4),
    max_leaves=40,
)


def nested(levels: int, value: Any = 1) -> bytes:
    half = levels // 2
    return b'{"a":[' * half + json.dumps(value).encode() + b"]}" * half


def depth_of(value: Any) -> int:
    depth = 0
    while value and isinstance(value, dict | list):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
        depth += 1
    return depth


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_is_not_deep_stays_as_it_is(value: Any) -> None:
    text = json.dumps([value, [[]] * MAX_DEPTH]).encode()  # enough brackets to be looked at
    assert shallow(text) == text


@settings(max_examples=100, deadline=None)
@given(before=VALUES, inside=VALUES, after=VALUES)
def test_only_what_is_deep_is_left_out(before: Any, inside: Any, after: Any) -> None:
    text = b"[%b,%b,%b]" % (
        json.dumps(before).encode(),
        nested(MAX_DEPTH, [inside]),
        json.dumps(after).encode(),
    )
    first, deep, last = decode(shallow(text))
    assert (first, last) == (before, after)
    assert depth_of([deep]) == MAX_DEPTH - 1


@pytest.mark.parametrize("levels", [MAX_DEPTH + 2, 1000, 10_000, 100_000])
def test_an_object_nested_however_deep_can_be_decoded(levels: int) -> None:
    text = b'{"metadata": {"name": "x"}, "spec": %b, "status": {"phase": "Active"}}' % nested(levels)
    found = decode(text)
    assert (found["metadata"], found["status"]) == ({"name": "x"}, {"phase": "Active"})
    assert depth_of(json.loads(shallow(text))["spec"]) == MAX_DEPTH - 2


def test_one_wide_character_does_not_make_all_others_as_wide() -> None:
    text = json.dumps(["x" * 4_000_000, "🪿"], ensure_ascii=False).encode()
    tracemalloc.start()
    try:
        assert len(decode(text)) == 2
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * len(text)


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        decode(b"upstream connect error")
