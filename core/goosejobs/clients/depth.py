"""JSON from the API server, which accepts objects nested 10,000 levels deep. Python's decoder does not.

How deep it goes depends on the version, and beyond that it raises RecursionError: one GooseJob whose inline
recipe is nested so deep would end every process that lists or watches GooseJobs, again and again.
"""

import json
import re
from typing import Any, Final

from pydantic_core import from_json

MAX_DEPTH: Final = 100
"""Lists and mappings in each other that are kept. A GooseJob that can be served needs fewer: its recipe may
have 64, and lists, events and the spec put some around it."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]')
_OPENS = frozenset(b"[{")


def decode(text: bytes) -> Any:
    """Decode JSON; what is nested too deep for Python's decoder is left out as by `shallow`.

    Python's own makes one string of it all first: four bytes for each character, if one of them is an emoji.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return from_json(text)
    except ValueError:  # or deeper than that decoder goes
        pass
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(shallow(text))


def shallow(text: bytes) -> bytes:
    """The same JSON, but lists and mappings at the depth MAX_DEPTH are empty."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return text
    kept, begin, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in _OPENS:
            depth += 1
            if depth == MAX_DEPTH:
                kept.append(text[begin : token.end()])
        elif mark != ord('"'):
            if depth == MAX_DEPTH:
                begin = token.start()
            depth -= 1
    return b"".join([*kept, text[begin:]])
