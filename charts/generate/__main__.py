"""`make generate`: writes what follows from elsewhere; `--check` says what is out of date.

- The CRD's chart from crds/goosejobs.yaml, and its copy in deploy/: kustomize reads nothing above its folder.
- The schemas of the values from schemas.py, and so from the worker's own model of a pool's template.
- The tables in the READMEs from the comments in each values.yaml.
- What the charts of operator and worker share, from the one to the other.
- The tables of docs/reference.md from crds/goosejobs.yaml.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from charts.generate import reference, schemas

CHARTS = Path(__file__).resolve().parents[1]
CHARTED = ("goosejobs-crds", "goosejobs", "goosejobs-worker")
SHARED = (
    "files/check.py",
    "templates/_common.tpl",
    "templates/networkpolicy.yaml",
    "templates/poddisruptionbudget.yaml",
    "templates/podmonitor.yaml",
    "templates/service.yaml",
    "templates/serviceaccount.yaml",
)
BEGIN, END = "<!-- values: made by `make generate` from values.yaml -->", "<!-- end of values -->"
_COMMENT = re.compile(r"^ *# -- (?:\((?P<type>\w+)\) )?(?P<text>.*)$")
_DEFAULT = re.compile(r"^ *# @default -- (?P<text>.*)$")
_MORE = re.compile(r"^ *# (?P<text>.*)$")
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):")


def wanted() -> dict[Path, str]:
    """What the generated files should be."""
    root = CHARTS.parent
    contract = (root / "crds/goosejobs.yaml").read_text()
    files = {
        CHARTS / "goosejobs-crds/templates/goosejobs.yaml": crd(contract),
        root / "deploy/base/operator/crd.yaml": contract,
    }
    for chart, schema in schemas.of_charts().items():
        files[CHARTS / chart / "values.schema.json"] = json.dumps(schema, indent=2) + "\n"
    for name in SHARED:
        files[CHARTS / "goosejobs-worker" / name] = (CHARTS / "goosejobs" / name).read_text()
    for chart in CHARTED:
        readme = CHARTS / chart / "README.md"
        files[readme] = with_table(readme.read_text(), table((CHARTS / chart / "values.yaml").read_text()))
    page = root / "docs/reference.md"
    fields = reference.tables(contract)
    files[page] = with_table(page.read_text(), fields, reference.BEGIN, reference.END)
    return files


def crd(text: str) -> str:
    """The CRD as a template: its metadata are the chart's, and what looks like a template stays text."""
    body = text[text.index("apiVersion:") :]
    escaped = re.sub(r"{{|}}", lambda found: f'{{{{ "{found[0]}" }}}}', body)
    metadata = 'metadata:\n  {{- include "goosejobs-crds.metadata" . | nindent 2 }}\n'
    made, count = re.subn(r"^metadata:\n(?: .*\n)+", lambda _: metadata, escaped, count=1, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit("crds/goosejobs.yaml has no metadata at its root")
    return "{{- /* Made by `make generate` from crds/goosejobs.yaml. */ -}}\n" + made


def with_table(page: str, rows: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with what is between two lines of it replaced."""
    before, begins, rest = page.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise SystemExit(f"a page has no lines `{begin}` and `{end}`")
    return f"{before}{begin}\n\n{rows}\n{end}{after}"


def table(text: str) -> str:
    """A values.yaml as a table: each commented value, in the order of the file.

    Raises:
        SystemExit: A value has no comment, and no value above it has one.
    """
    values = yaml.safe_load(text)
    rows = list(documented(text))
    paths = [path for path, *_ in rows]
    for leaf in leaves((), values):
        if not any(leaf[: len(path)] == path for path in paths):
            raise SystemExit(f"values.yaml: {'.'.join(leaf)} has no comment `# -- ...`")
    lines = ["| Key | Type | Default | Description |", "|---|---|---|---|"]
    for path, kind, default, description in rows:
        value = values
        for key in path:
            value = value[key]
        shown = default or f"`{json.dumps(value)}`"
        lines.append(f"| {'.'.join(path)} | {kind or type_of(value)} | {shown} | {description} |")
    return "\n".join(lines) + "\n"


def documented(text: str) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    """Path, type, default and description of each commented value."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    kind = default = ""
    for line in text.splitlines():
        if found := _COMMENT.match(line):
            comment, kind, default = [found["text"]], found["type"] or "", ""
        elif found := _DEFAULT.match(line):
            default = found["text"]
        elif comment and (found := _MORE.match(line)):
            comment.append(found["text"])
        elif found := _KEY.match(line):
            path = [step for step in path if step[0] < len(found["indent"])]
            path.append((len(found["indent"]), found["key"]))
            if comment:
                yield tuple(key for _, key in path), kind, default, " ".join(comment).replace("|", "\\|")
            comment = []


def leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    """The paths of all values that are no objects, or empty ones."""
    if not isinstance(value, dict) or not value:
        yield path
        return
    for key, inner in value.items():
        yield from leaves((*path, key), inner)


def type_of(value: Any) -> str:
    """A value's type in the words of a table."""
    words = {bool: "bool", int: "int", str: "string", list: "list", dict: "object"}
    return words.get(type(value), "any")


def main(arguments: list[str]) -> int:
    """Write what differs, or with `--check` name it; returns the exit code."""
    differs = [
        (path, text) for path, text in wanted().items() if not path.exists() or path.read_text() != text
    ]
    for path, text in differs:
        print(f"{path.relative_to(CHARTS.parent)} {'is out of date' if arguments else 'written'}")
        if not arguments:
            path.write_text(text)
    if differs and arguments:
        print("run: make generate")
    return 1 if differs and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
