"""The values given to parameters, which are texts, against the types their recipe declares.

goose 1.52.0 passes `number`, `boolean`, `date` and `select` values on unchecked; here a wrong one is told at
apply. Except for `object` and `array`, a template still sees the text, as with goose.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from goosejobs.recipe import quoted

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")


class NotOfType(ValueError):
    """A value is not of its parameter's type; str() is a sentence."""


def read_value(text: str, input_type: str, options: Sequence[str]) -> Any:
    """What templates see of a value.

    Args:
        text: The value as given.
        input_type: The parameter's; `file` values are paths and taken as they are.
        options: What a `select` may be.

    Returns:
        The text itself, or for `object` and `array` what its JSON says.

    Raises:
        NotOfType: The text cannot be read so.
    """
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise NotOfType("has half of a surrogate pair, which is not Unicode text")
    if input_type == "select" and text not in options:
        raise NotOfType(
            f"{quoted(text)} is not an option; choose one of {quoted(', '.join(options), limit=200)}"
        )
    read = _READERS.get(input_type)
    return read(text) if read else text


def _number(text: str) -> str:
    if not _NUMBER.match(text):
        raise NotOfType(f"{quoted(text)} is not a number, such as 3 or -1.5")
    return text


def _boolean(text: str) -> str:
    if text not in ("true", "false"):
        raise NotOfType(f"{quoted(text)} is neither true nor false")
    return text


def _date(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise NotOfType(f"{quoted(text)} is not a date, such as 2026-11-21 or 2026-11-21T08:00:00Z") from None
    return text


def _object(text: str) -> Any:
    return _json(text, dict, 'an object in JSON, such as {"name": "value"}')


def _array(text: str) -> Any:
    return _json(text, list, 'an array in JSON, such as ["a", "b"]')


def _json(text: str, kind: type, wanted: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise NotOfType(f"{quoted(text)} is not {wanted}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "object": _object,
    "array": _array,
}
