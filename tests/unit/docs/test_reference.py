"""docs/reference.md: its tables follow from the CRD, and its other words are those that the code has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs.model import names
from goosejobs_operator import status as operator_status

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference.md").read_text()
CRD = yaml.safe_load((ROOT / "crds/goosejobs.yaml").read_text())
[VERSION] = CRD["spec"]["versions"]
OBJECT = VERSION["schema"]["openAPIV3Schema"]
Schema = dict[str, Any]


def section(title: str) -> str:
    """What stands under a heading of the second level."""
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def told() -> set[str]:
    """The paths of all fields in the tables, and of those that are told by naming a table before."""
    texts = dict(re.findall(r"^#{2,3} ((?:spec|status)\S*)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    found: set[str] = set()
    for path, text in texts.items():
        like = re.search(r"The same fields as \[(\S+)\]\(", text)
        rows = re.findall(r"^\| `([\w.\[\]]+)` \|", texts[like[1]] if like else text, re.MULTILINE)
        found |= {f"{path}.{row}".replace("[]", "") for row in rows}
    return found


def fields(path: str, schema: Schema) -> Iterator[str]:
    """The paths of all fields of a schema."""
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(f"{path}.{name}", part)
    if "items" in schema:
        yield from fields(path, schema["items"])


def sentences(schema: Any) -> Iterator[str]:
    """All that the API server may say."""
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", []))
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from sentences(part)


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_told(part: str) -> None:
    assert set(fields(part, OBJECT["properties"][part])) - told() == set()


def test_every_sentence_of_the_api_server_and_every_column_is_told() -> None:
    assert [sentence for sentence in sentences(OBJECT) if sentence not in PAGE] == []
    for column in VERSION["additionalPrinterColumns"]:
        assert f"| {column['name'].upper()}" in PAGE


def test_type_bounds_and_default_stand_beside_a_field() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]* \| [^|]*?) ?\| .* \|$", section("spec"), re.MULTILINE))
    assert rows["maxTurns"] == "integer, 1 to 1000 | `50`"
    assert rows["concurrencyPolicy"] == '`Forbid`, `Allow`, `Replace`, `Queue` | `"Forbid"`'
    assert rows["skipDates"] == "list of dates, at most 366 | "


def test_requests_labels_and_annotations_are_the_ones_of_the_code() -> None:
    requests = {names.RUN_REQUESTED, names.KILL_REQUESTED, names.RESUME_REQUESTED}
    assert set(re.findall(r"^\| `(\S+)` \|", section("Requests"), re.MULTILINE)) == requests
    others = {value for value in vars(names).values() if str(value).startswith(f"{names.GROUP}/")}
    told_of = set(re.findall(rf"`({re.escape(names.GROUP)}/[\w-]+)`", section("Labels and annotations")))
    assert told_of == others - requests - {names.API_VERSION}


def test_conditions_are_the_ones_of_the_code() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", section("Conditions"), re.MULTILINE))
    sources = [Path(operator_status.__file__), ROOT / "core/goosejobs/record.py"]
    types = {*re.findall(r'(?:Said\(|_OWNED_CONDITION = )\s*"(\w+)"', "".join(map(Path.read_text, sources)))}
    assert table == types
