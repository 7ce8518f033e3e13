"""The slips in a `response.json_schema` that can be told without a JSON Schema library.

goose compiles the schema when a run starts and refuses what does not compile; this is the cheap half of that
at apply: a keyword with a value of the wrong kind, an unknown `type`, a reference to another document.
"""

from collections.abc import Iterator
from typing import Any

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_SCHEMA = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


def schema_problems(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """What is wrong in a schema: pairs of a path and a sentence."""
    for keyword, value in schema.items():
        place = f"{path}.{keyword}"
        if keyword in _NAMED_SCHEMAS:
            yield from _named(value, place)
        elif keyword in _SCHEMAS:
            yield from _several(value, place)
        elif keyword in _SCHEMA:
            yield from _one(value, place)
        elif message := _wrong(keyword, value):
            yield place, message


def _one(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from schema_problems(value, path)
    elif not isinstance(value, bool | list):  # a list: `items` of older drafts
        yield path, "must be a JSON Schema, that is, a mapping"


def _several(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list) or not value:
        yield path, "must be a list of JSON Schemas"
        return
    for index, item in enumerate(value):
        yield from _one(item, f"{path}[{index}]")


def _named(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield path, "must be a mapping from names to JSON Schemas"
        return
    for name, child in value.items():
        yield from _one(child, f"{path}.{name}")


def _wrong(keyword: str, value: Any) -> str | None:
    if keyword == "type":
        kinds = value if isinstance(value, list) else [value]
        if not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
            return f"must be one of {', '.join(_TYPES)}, or a list of them"
    if keyword == "required" and not (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    ):
        return "must be a list of property names"
    if keyword == "enum" and not isinstance(value, list):
        return "must be a list of values"
    if keyword == "$ref" and not (isinstance(value, str) and value.startswith("#")):
        return "must point into this schema, as in #/$defs/name; goose fetches no other document"
    return None
