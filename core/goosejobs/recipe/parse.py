"""A recipe's text to plain data, without trusting the text.

The text is read as YAML events, not by a YAML constructor: there are no objects to construct, and every bound
is checked while reading, before anything can grow. JSON is YAML, so JSON recipes take the same way.
"""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import MAX_DEPTH, Problem, RecipeError, quoted
from goosejobs.recipe.fields import RECIPE, Leaf, Many, Record, Shape, Variants, below
from goosejobs.recipe.scalars import NotJson, is_null, resolve

MAX_NODES = 10_000
"""Values, lists and mappings, every use of an alias counted anew."""

QUOTE_IT = (
    'a template must be quoted, for YAML reads "{" as the start of a mapping: write prompt: "{{ topic }}"'
)
QUOTE_CRON = (
    'a cron expression must be quoted, for "*" and "@" mean something to YAML: write cron: "0 8 * * 1"'
)
INSIDE_TEXTS = (
    "templates work inside texts only, not around keys or list items: "
    "put {% if %} and {% for %} inside the prompt's text"
)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Scalar:
    text: str
    plain: bool
    line: int


@dataclass(slots=True)
class _Sequence:
    items: "list[_Node]"
    line: int


@dataclass(slots=True)
class _Mapping:
    entries: "dict[str, _Node]"
    line: int


_Node = _Scalar | _Sequence | _Mapping


def parse(text: str) -> dict[str, Any]:
    """Read a recipe.

    Values come out as goose would see them: text where goose wants text (`version: 1.0` is "1.0", a date
    stays the text it is), otherwise null, booleans, numbers, lists and mappings with text keys. A `recipe:`
    wrapper is taken off, as goose does.

    Args:
        text: YAML or JSON.

    Raises:
        RecipeError: With one problem; its message names the line where YAML knows it.
    """
    _check_size(text)
    root = _Reader(text).document()
    if isinstance(root, _Mapping) and "recipe" in root.entries:
        root = root.entries["recipe"]
    if not isinstance(root, _Mapping):
        _fail("a recipe is a mapping with title, description and prompt; this is not one")
    recipe: dict[str, Any] = _Builder().value(root, RECIPE, "", 0)
    return recipe


def _check_size(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        _fail(f"character {error.start + 1} is half of a surrogate pair, which is not Unicode text")
    if size > MAX_RECIPE_BYTES:
        _fail(
            f"the recipe has {size} bytes; at most {MAX_RECIPE_BYTES // 1024} KiB are allowed",
            reason=StalledReason.RECIPE_TOO_LARGE,
        )


def _fail(
    message: str,
    line: int | None = None,
    path: str = "",
    reason: StalledReason = StalledReason.INVALID_RECIPE,
) -> NoReturn:
    """Refuse the recipe; `line` counts from 0, as YAML marks do."""
    where = "" if line is None else f"line {line + 1}: "
    raise RecipeError([Problem(path, where + message, reason)])


class _Reader:
    """YAML events to nodes. An alias is the anchor's own node: nothing is copied yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str, _Node] = {}
        self._spans: list[tuple[int, int]] = []
        self._nodes = 0

    def document(self) -> _Node | None:
        try:
            self._events = iter(yaml.parse(self._text, Loader=_LOADER))
            root = self._root()
        except yaml.YAMLError as error:
            self._syntax_error(error)
        self._refuse_hidden_statements()
        return root

    def _root(self) -> _Node | None:
        next(self._events)  # the stream starts
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            _fail("a second YAML document starts here; a recipe is one", extra.start_mark.line)
        return root

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        self._admit(event, depth, line)
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            self._spans.append((_index(event.start_mark), _index(event.end_mark)))
            node = _Scalar(event.value, event.style is None or event.style == "", line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = _Sequence(self._items(depth), line)
        else:
            node = _Mapping(self._entries(event, depth), line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _admit(self, event: Any, depth: int, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            _fail(f"the recipe has more than {MAX_NODES} values", line)
        if depth > MAX_DEPTH:
            _fail(f"the recipe is nested deeper than {MAX_DEPTH} levels", line)
        if event.tag is not None:
            _fail(f"the YAML tag {quoted(event.tag)} is not allowed in a recipe; remove it", line)

    def _alias(self, event: Any, line: int) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            _fail(f"the alias *{event.anchor} names no anchor that is complete before it", line)
        return node

    def _items(self, depth: int) -> list[_Node]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _entries(self, start: Any, depth: int) -> dict[str, _Node]:
        entries: dict[str, _Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, start, depth)
            if key in entries:
                _fail(f"the key {quoted(key)} appears twice in one mapping", event.start_mark.line)
            entries[key] = self._node(next(self._events), depth + 1)
        return entries

    def _key(self, event: Any, start: Any, depth: int) -> str:
        line = event.start_mark.line
        if isinstance(event, yaml.MappingStartEvent) and event.flow_style and start.flow_style:
            _fail(QUOTE_IT, line)
        node = self._node(event, depth + 1)
        if not isinstance(node, _Scalar):
            _fail("a list or mapping cannot be a key", line)
        if node.plain and node.text == "<<":
            _fail('goose does not merge mappings with "<<"; write the keys out', line)
        if any(mark in node.text for mark in ("{{", "{%", "{#")):
            _fail(f"the key {quoted(node.text)} is a template; {INSIDE_TEXTS}", line)
        return node.text

    def _refuse_hidden_statements(self) -> None:
        """Refuse `# {% if x %}` in a YAML comment.

        It takes part in goose's rendering, which is of the file's text; here comments are gone by then, and
        the recipe would mean something else.
        """
        starts = [start for start, _ in self._spans]
        for match in re.finditer(r"\{%", self._text):
            index = bisect.bisect_right(starts, match.start()) - 1
            if index < 0 or match.start() >= self._spans[index][1]:
                line = self._text.count("\n", 0, match.start())
                _fail(f"a template statement in a YAML comment; {INSIDE_TEXTS}", line)

    def _syntax_error(self, error: yaml.YAMLError) -> NoReturn:
        mark = getattr(error, "problem_mark", None)
        if mark is None:
            position = getattr(error, "position", None)
            where = "" if position is None else f" at character {position + 1}"
            _fail(f"not YAML: {getattr(error, 'reason', 'it cannot be read')}{where}")
        lines = self._text.splitlines()
        source = lines[mark.line] if mark.line < len(lines) else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        _fail(_likely_cause(source, problem) or f"not YAML: {problem}", mark.line)


def _index(mark: Any) -> int:
    """A mark's position in characters."""
    index: int = mark.index
    return index


def _likely_cause(source: str, problem: str) -> str | None:
    """What the author most likely meant by the line that YAML cannot read."""
    if "Unicode character escape" in problem:
        return "\\ud800 to \\udfff are not characters; write an emoji itself, not as a pair of escapes"
    if source.lstrip(" -").startswith("{%"):
        return INSIDE_TEXTS
    if source.lstrip(" {").startswith("cron:") or "schedule: {cron:" in source:
        return QUOTE_CRON
    return QUOTE_IT if "{{" in source or "{%" in source else None


class _Builder:
    """Nodes to data, aliases expanded; what they expand to counts against the bounds."""

    def __init__(self) -> None:
        self._nodes = 0
        self._size = 0

    def value(self, node: _Node, shape: Shape, path: str, depth: int) -> Any:
        self._count(node, depth)
        if isinstance(node, _Scalar):
            return _scalar(node, shape, path)
        if isinstance(node, _Sequence):
            item = shape.item if isinstance(shape, Many) else Leaf.ANY
            return [self.value(n, item, f"{path}[{i}]", depth + 1) for i, n in enumerate(node.items)]
        return self._mapping(node, shape, path, depth)

    def _mapping(self, node: _Mapping, shape: Shape, path: str, depth: int) -> dict[str, Any]:
        kind = node.entries.get("type") if isinstance(shape, Variants) else None
        variant = kind.text if isinstance(kind, _Scalar) else None
        built = {}
        for key, child in node.entries.items():
            self._size += len(key)
            value = self.value(child, below(shape, key, variant), f"{path}.{key}".lstrip("."), depth + 1)
            if value is not None or not isinstance(shape, Record | Variants):
                built[key] = value  # in goose's own fields, null means: not set
        return built

    def _count(self, node: _Node, depth: int) -> None:
        self._nodes += 1
        self._size += len(node.text) if isinstance(node, _Scalar) else 1
        if self._nodes > MAX_NODES or self._size > MAX_RECIPE_BYTES or depth > MAX_DEPTH:
            _fail("the recipe's aliases expand to far more than it says; write less with aliases", node.line)


def _scalar(node: _Scalar, shape: Shape, path: str) -> str | int | float | bool | None:
    if not node.plain or shape is Leaf.TEXT or (shape is Leaf.OPTIONAL_TEXT and not is_null(node.text)):
        return node.text
    try:
        return resolve(node.text)
    except NotJson as error:
        _fail(str(error), node.line, path)
