"""A rendered recipe as the text of a .yaml file that goose reads back exactly, and renders to itself.

goose treats every recipe file as a template before it reads it as YAML. What leaves here has no template
syntax in it: JSON (which is YAML), braces inside strings written as escapes, everything on one line. JSON's
own escapes cover quotes, backslashes and control characters; YAML needs the rest of `_ESCAPES`, for it
refuses those characters raw ("control characters are not allowed") or takes them for line breaks or a byte
order mark. Characters beyond U+FFFF stay raw: goose refuses surrogate pairs.
"""

import json
from typing import Any

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import Problem, RecipeError, quoted

YAML_ESCAPES = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
}
"""What JSON text may hold raw and YAML may not, for `str.translate`."""
_ESCAPES = {**YAML_ESCAPES, ord("{"): "\\u007b", ord("}"): "\\u007d"}
_LONGEST_KEY = 1000
"""YAML wants a key and its colon within 1,024 characters."""


def encode(recipe: dict[str, Any]) -> str:
    """Write a recipe.

    Args:
        recipe: Rendered; nothing in it is a template any more.

    Raises:
        RecipeError: It is larger than MAX_RECIPE_BYTES of UTF-8, or one of its keys is too long for YAML.
    """
    text = _encoded(recipe) + "\n"
    size = len(text.encode())
    if size > MAX_RECIPE_BYTES:
        message = (
            f"the recipe has {size} bytes once filled in; at most {MAX_RECIPE_BYTES // 1024} KiB are allowed"
        )
        raise RecipeError([Problem("", message, StalledReason.RECIPE_TOO_LARGE)])
    return text


def _encoded(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(key)}:{_encoded(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encoded, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).translate(_ESCAPES)
    return json.dumps(value, allow_nan=False)


def _key(key: str) -> str:
    text = _encoded(key)
    if len(text) > _LONGEST_KEY:
        raise RecipeError([Problem("", f"the key {quoted(key)} is too long")])
    return text
