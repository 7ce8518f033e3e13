"""What goose reads in a recipe: names, types and what must be there.

The table is goose 1.52.0's `Recipe` structure and what hangs from it, found in its sources
(crates/goose/src/recipe) and by running it, and the `schedule` section of goose's old scheduler. `object` and
`array` parameters are of newer releases; since the values are filled in here and not by goose, they work with
1.52.0 too.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias


class Leaf(Enum):
    """A field that holds one value."""

    TEXT = auto()
    """Text. A scalar of any look counts as text, so `version: 1.0` is "1.0" and `title: null` is "null"."""
    OPTIONAL_TEXT = auto()
    """Text as above, but an unquoted `null`, `~` or nothing means: not set."""
    NUMBER = auto()
    INTEGER = auto()
    """A whole number, not negative."""
    BOOLEAN = auto()
    ANY = auto()
    """Whatever YAML can say and JSON can hold."""


@dataclass(frozen=True)
class Many:
    """A list."""

    item: "Shape"


@dataclass(frozen=True)
class Record:
    """A mapping with known names. goose ignores other names."""

    fields: dict[str, "Shape"]
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A mapping whose names are the author's."""

    value: "Shape"


@dataclass(frozen=True)
class Variants:
    """A mapping whose `type` says which record it is."""

    records: dict[str, Record] = field(default_factory=dict)


Shape: TypeAlias = Leaf | Many | Record | Table | Variants

_TEXTS = Many(Leaf.TEXT)

INPUT_TYPES = ("string", "number", "boolean", "date", "file", "select", "object", "array")
REQUIREMENTS = ("required", "optional", "user_prompt")

_PARAMETER = Record(
    {
        "key": Leaf.TEXT,
        "input_type": Leaf.TEXT,
        "requirement": Leaf.TEXT,
        "description": Leaf.TEXT,
        "default": Leaf.OPTIONAL_TEXT,
        "options": _TEXTS,
    },
    required=("key", "input_type", "requirement", "description"),
)


def _extension(required: tuple[str, ...] = (), **fields: Shape) -> Record:
    common: dict[str, Shape] = {
        "type": Leaf.TEXT,
        "name": Leaf.TEXT,
        "description": Leaf.OPTIONAL_TEXT,
        "display_name": Leaf.OPTIONAL_TEXT,
        "timeout": Leaf.INTEGER,
        "bundled": Leaf.BOOLEAN,
        "available_tools": _TEXTS,
    }
    return Record(common | fields, required=("name", *required))


EXTENSION = Variants(
    {
        "stdio": _extension(
            required=("cmd", "args"), cmd=Leaf.TEXT, args=_TEXTS, envs=Table(Leaf.TEXT), env_keys=_TEXTS
        ),
        "builtin": _extension(),
        "platform": _extension(),
        "streamable_http": _extension(
            required=("uri",), uri=Leaf.TEXT, envs=Table(Leaf.TEXT), env_keys=_TEXTS, headers=Table(Leaf.TEXT)
        ),
    }
)

_CHECK = Record({"type": Leaf.TEXT, "command": Leaf.TEXT}, required=("command",))

RECIPE = Record(
    {
        "version": Leaf.TEXT,
        "title": Leaf.TEXT,
        "description": Leaf.TEXT,
        "instructions": Leaf.OPTIONAL_TEXT,
        "prompt": Leaf.OPTIONAL_TEXT,
        "extensions": Many(EXTENSION),
        "settings": Record(
            {
                "goose_provider": Leaf.OPTIONAL_TEXT,
                "goose_model": Leaf.OPTIONAL_TEXT,
                "temperature": Leaf.NUMBER,
                "max_turns": Leaf.INTEGER,
            }
        ),
        "activities": _TEXTS,
        "author": Record({"contact": Leaf.OPTIONAL_TEXT, "metadata": Leaf.OPTIONAL_TEXT}),
        "parameters": Many(_PARAMETER),
        "schedule": Record({"cron": Leaf.OPTIONAL_TEXT, "foreground": Leaf.ANY}),
        "response": Record({"json_schema": Leaf.ANY}),
        "sub_recipes": Many(
            Record(
                {
                    "name": Leaf.TEXT,
                    "path": Leaf.TEXT,
                    "values": Table(Leaf.ANY),
                    "sequential_when_repeated": Leaf.BOOLEAN,
                    "description": Leaf.OPTIONAL_TEXT,
                },
                required=("name", "path"),
            )
        ),
        "retry": Record(
            {
                "max_retries": Leaf.INTEGER,
                "checks": Many(Variants({"shell": _CHECK, "Shell": _CHECK})),
                "timeout_seconds": Leaf.INTEGER,
                "on_failure": Leaf.OPTIONAL_TEXT,
                "on_failure_timeout_seconds": Leaf.INTEGER,
            },
            required=("max_retries", "checks"),
        ),
    },
    required=("title", "description"),
)


def below(shape: Shape, name: str, variant: str | None = None) -> Shape:
    """The shape of the value called `name` in a mapping of this shape.

    Args:
        shape: The mapping's own shape.
        name: The name looked up.
        variant: The mapping's `type`, for a shape that depends on it.
    """
    if isinstance(shape, Variants):
        shape = shape.records.get(variant or "", Record({"type": Leaf.TEXT}))
    if isinstance(shape, Table):
        return shape.value
    return shape.fields.get(name, Leaf.ANY) if isinstance(shape, Record) else Leaf.ANY
