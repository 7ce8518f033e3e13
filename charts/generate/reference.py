"""The reference of all fields, docs/reference.md: its tables, made from the CRD. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Schema = dict[str, Any]

BEGIN = "<!-- fields: made by `make generate` from crds/goosejobs.yaml -->"
END = "<!-- end of fields -->"
_SECTIONS = 3
"""How many names a path may have to get a table of its own; deeper ones stand in their parent's."""
_WHOLE = {"inline", "resources", "tokens", "conditions"}
"""Parts that read better in their parent's table."""


@dataclass(slots=True)
class Section:
    """A table: an object, and its fields.

    Attributes:
        path: Of the object: `spec.retry`; of what a list holds: `status.active[]`.
        schema: The object's.
        rows: The lines of its table.
        alike: A sentence that takes the table's place: another one has the same fields.
    """

    path: str
    schema: Schema
    rows: list[str] = field(default_factory=list)
    alike: str = ""


def tables(crd: str) -> str:
    """What stands between `BEGIN` and `END`: what kubectl prints, and a table for each part of a GooseJob."""
    [version] = yaml.safe_load(crd)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = ["## What kubectl get prints\n", _columns(version["additionalPrinterColumns"])]
    parts.append("## metadata\n\n" + _refusals(schema))
    for name in ("spec", "status"):
        sections = list(_sections(name, schema["properties"][name]))
        _name_what_is_alike(sections)
        for section in sections:
            parts += [f"{'#' * (2 if section.path == name else 3)} {section.path}\n", _text(section)]
    return "\n".join(parts)


def _columns(columns: list[Schema]) -> str:
    lines = ["| Column | From | |", "|---|---|---|"]
    for column in columns:
        wide = " (`-o wide`)" if column.get("priority") else ""
        described = column.get("description", "")
        lines.append(
            f"| {column['name'].upper()}{wide} | `{_cell(column['jsonPath'])}` | {_cell(described)} |"
        )
    return "\n".join(lines) + "\n"


def _sections(path: str, schema: Schema) -> Iterator[Section]:
    """The table of an object, and then those of its parts that have one of their own."""
    section = Section(path, schema)
    own: list[tuple[str, Schema]] = []
    _fill(section, "", schema, own)
    yield section
    for inner, part in own:
        yield from _sections(f"{path}.{inner}", part)


def _fill(section: Section, prefix: str, schema: Schema, own: list[tuple[str, Schema]]) -> None:
    """Add the rows of an object's fields; those that get a table of their own are named in `own`."""
    required = schema.get("required", [])
    for name, given in schema.get("properties", {}).items():
        label, part, rules = f"{prefix}{name}", given, list(given.get("x-kubernetes-validations", []))
        if given.get("type") == "array":
            part = given["items"]
            rules += [] if "properties" in part else part.get("x-kubernetes-validations", [])
        inside = label + ("[]" if part is not given else "")
        separate = "properties" in part and name not in _WHOLE and _depth(section.path, inside) <= _SECTIONS
        section.rows.append(_row(label, given, name in required, [] if separate else rules))
        if separate:
            own.append((inside, part))
        elif "properties" in part:
            if part is not given and part.get("x-kubernetes-validations"):
                section.rows[-1] = _row(
                    label, given, name in required, rules + part["x-kubernetes-validations"]
                )
            _fill(section, f"{inside}.", part, own)


def _depth(path: str, inside: str) -> int:
    return len(f"{path}.{inside}".split("."))


def _row(label: str, schema: Schema, required: bool, rules: list[Schema]) -> str:
    default = "" if schema.get("default") in (None, {}, []) else f"`{json.dumps(schema['default'])}`"
    told = [schema.get("description", "").strip()]
    told += [f"Refused otherwise: {rule['message']}." for rule in _unlike(rules)]
    described = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in told if part)
    return f"| `{label}` | {_type(schema)} | {'required' if required else default} | {_cell(described)} |"


def _unlike(rules: list[Schema]) -> list[Schema]:
    """Rules, each message once."""
    return list({rule["message"]: rule for rule in rules}.values())


def _type(schema: Schema) -> str:
    """A field's type and its bounds, in a few words."""
    kind = schema.get("type", "int or string" if schema.get("x-kubernetes-int-or-string") else "any")
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    if kind == "array":
        items = schema["items"]
        return f"list of {_plural(items)}{_range(schema, 'minItems', 'maxItems')}"
    if kind == "object" and "additionalProperties" in schema:
        return f"map of {_plural(schema['additionalProperties'])}{_range(schema, '', 'maxProperties')}"
    if kind == "string":
        pattern = f", `{_cell(schema['pattern'])}`" if "pattern" in schema else ""
        return f"{_plain(schema)}{_range(schema, 'minLength', 'maxLength')}{pattern}"
    return f"{kind}{_range(schema, 'minimum', 'maximum')}"


def _plural(schema: Schema) -> str:
    return "quantities" if schema.get("x-kubernetes-int-or-string") else f"{_plain(schema)}s"


def _plain(schema: Schema) -> str:
    return str(
        schema.get("format")
        if schema.get("type") == "string" and "format" in schema
        else schema.get("type", "quantity")
    )


def _range(schema: Schema, low: str, high: str) -> str:
    """`, 1 to 64`, `, at most 64`, or nothing."""
    least, most = schema.get(low), schema.get(high)
    if most is None:
        return "" if least is None else f", at least {least}"
    return f", {least} to {most}" if least is not None else f", at most {most}"


def _text(section: Section) -> str:
    """A section without its heading."""
    told = section.schema.get("description", "").strip()
    described = f"{told}\n\n" if told else ""
    if section.alike:
        return described + section.alike
    head = "| Field | Type | Default | |\n|---|---|---|---|\n"
    refused = _refusals(section.schema)
    return described + (f"{refused}\n" if refused else "") + head + "\n".join(section.rows) + "\n"


def _refusals(schema: Schema) -> str:
    rules = _unlike(schema.get("x-kubernetes-validations", []))
    return (
        "Refused with one of these sentences:\n\n" + "".join(f"- {rule['message']}\n" for rule in rules)
        if rules
        else ""
    )


def _name_what_is_alike(sections: list[Section]) -> None:
    """Tell what has the fields of a section before it, or most of them, by naming that one."""
    for index, section in enumerate(sections):
        fields = section.schema["properties"]
        for before in (one for one in sections[:index] if not one.alike):
            known = before.schema["properties"]
            left_out = [f"`{name}`" for name in known if name not in fields]
            if fields.items() <= known.items() and len(left_out) <= 1:
                without = f", without {left_out[0]}" if left_out else ""
                section.alike = f"The same fields as [{before.path}](#{_anchor(before.path)}){without}.\n"


def _anchor(path: str) -> str:
    return path.lower().replace(".", "").replace("[]", "")


def _cell(text: str) -> str:
    """Text that stays one cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("{{", "{&#123;")
