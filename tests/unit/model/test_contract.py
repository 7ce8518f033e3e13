"""crds/goosejobs.yaml and the pydantic model say the same: names, types, enums, defaults and bounds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs.model.spec import GooseJobSpec
from goosejobs.model.status import GooseJobStatus

Schema = dict[str, Any]

CRD = yaml.safe_load((Path(__file__).parents[3] / "crds/goosejobs.yaml").read_text())
OPEN_API = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
BOUNDS = (
    "enum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "minimum", "maximum", "pattern"
)  # fmt: skip


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Pydantic's JSON schema without its references and without `| None`."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return resolved({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:
        [given] = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        return resolved({**given, **{k: v for k, v in schema.items() if k != "anyOf"}}, definitions)
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": "int-or-string"}
    if "const" in schema:
        return {**schema, "enum": [schema["const"]]}
    return schema


def facts(path: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, str, Any]]:
    """All that both schemas can say, as (path, what, value)."""
    schema = resolved(schema, definitions)
    yield path, "type", schema["type"]
    yield from ((path, bound, schema[bound]) for bound in BOUNDS if bound in schema)
    if schema.get("default") not in (None, {}, []):
        yield path, "default", schema["default"]
    if schema.get("format") in {"date", "date-time"}:
        yield path, "format", schema["format"]
    if schema["type"] == "array":
        yield from facts(f"{path}[]", schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from facts(f"{path}.*", schema["additionalProperties"], definitions)
    for name, part in schema.get("properties", {}).items():
        if name in schema.get("required", []):
            yield f"{path}.{name}", "required", True
        yield from facts(f"{path}.{name}", part, definitions)


def of_crd(part: str) -> set[str]:
    return {str(fact) for fact in facts(part, OPEN_API[part], {})}


def of_model(part: str, model: type[GooseJobSpec | GooseJobStatus]) -> set[str]:
    schema = model.model_json_schema()
    return {str(fact) for fact in facts(part, schema, schema["$defs"])}


@pytest.mark.parametrize(("part", "model"), [("spec", GooseJobSpec), ("status", GooseJobStatus)])
def test_the_crd_and_the_model_agree_on_every_field(
    part: str, model: type[GooseJobSpec | GooseJobStatus]
) -> None:
    crd, ours = of_crd(part), of_model(part, model)
    # The object's own default is what makes kstatus wait for the first look; a model has no such thing.
    crd.discard("('status', 'default', {'observedGeneration': -1})")
    assert sorted(crd - ours) == sorted(ours - crd) == []


def strings_and_lists(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    if schema.get("type") in {"string", "array"}:
        yield path, schema
    if "items" in schema:
        yield from strings_and_lists(f"{path}[]", schema["items"])
    for name, part in schema.get("properties", {}).items():
        yield from strings_and_lists(f"{path}.{name}", part)


def test_every_string_and_list_is_bounded() -> None:
    unbounded = [
        path
        for part in ("spec", "status")
        for path, schema in strings_and_lists(part, OPEN_API[part])
        if not {"maxLength", "maxItems", "enum", "format"} & set(schema)
    ]
    assert unbounded == []


def test_every_field_of_the_spec_explains_itself() -> None:
    def silent(path: str, schema: Schema) -> Iterator[str]:
        for name, part in schema.get("properties", {}).items():
            if not part.get("description"):
                yield f"{path}.{name}"
            yield from silent(f"{path}.{name}", part)

    assert list(silent("spec", OPEN_API["spec"])) == []
