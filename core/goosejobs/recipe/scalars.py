"""What an unquoted YAML word means to goose.

goose reads YAML with serde_yaml 0.9, which follows YAML 1.2: `yes`, `on`, `1_000`, `012` and `2026-11-21` are
text, `0o17` and `0b11` are numbers. PyYAML's own rules are those of YAML 1.1, where each of these is
something else, so they are not used. Every line of the table in tests/unit/recipe/test_parse.py was read back
from `goose run --render-recipe`.
"""

import math
import re

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False
}  # fmt: skip
_NOT_FINITE = frozenset({".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"}) | {
    ".nan",
    ".NaN",
    ".NAN",
}
_INTEGER = re.compile(r"([+-]?)(0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[+-]?(?!0[0-9]+\Z)([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_LONGEST_INTEGER = 66
"""Characters of -0b with 63 digits; a longer one is out of range and not worth reading."""


class NotJson(ValueError):
    """A number that JSON, and so goose, cannot hold; str() is a sentence."""


def is_null(text: str) -> bool:
    """Whether an unquoted word is YAML's null."""
    return text in _NULLS


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted word.

    Raises:
        NotJson: For infinities, not-a-number, and whole numbers of more than 64 bits, which goose refuses
            ("JSON number out of range") or turns into null.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NOT_FINITE:
        raise NotJson(f"{text} is a number that goose cannot read; quote it if it is a text")
    if _INTEGER.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        value = float(text)
        return value if math.isfinite(value) else text
    return text


def looks_quoted(text: str) -> bool:
    """Whether a text would be something else without its quotes."""
    try:
        return not isinstance(resolve(text), str)
    except NotJson:
        return True


def _integer(text: str) -> int:
    value = int(text, base=0) if len(text) <= _LONGEST_INTEGER else 1 << 64
    if not -(1 << 63) <= value < 1 << 64:
        raise NotJson("the number has more than 64 bits, which goose cannot read; quote it if it is a text")
    return value
