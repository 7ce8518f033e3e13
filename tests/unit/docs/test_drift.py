"""docs/drift.md has a rule for each kind of drift, and each rule names tests that are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/drift.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.rstrip().endswith("| test |")
]


@cache
def functions(file: Path) -> frozenset[str]:
    """The tests that a file defines."""
    found = ast.walk(ast.parse(file.read_text()))
    return frozenset(each.name for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_page_has_rules() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_rule_names_tests_that_are_there(row: list[str]) -> None:
    what, rule, *_, shown = row
    assert what
    assert rule
    named = re.findall(r"\[`(test_\w+)`\]\((\.\./tests/[^)]+\.py)\)", shown)
    assert named
    for name, path in named:
        assert name in functions((ROOT / "docs" / path).resolve()), f"{name} is not in {path}"
