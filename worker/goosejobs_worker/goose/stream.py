"""Reading what goose prints under `--output-format stream-json`, as it comes and in bounded memory. Pure.

Each line of goose 1.52.0 is a JSON object: `message` (a piece of a message of the assistant or the user),
`notification` (a tool's progress), and at the end either `complete` with the tokens or `error`.

Who speaks matters. A message that the *model* made carries `metadata.inference`; what goose itself says in
the assistant's name (an error, the turn limit, retries spent) does not. So an agent that quotes goose's
words is not mistaken for goose (crates/goose/src/agents/agent.rs, `with_inference`).
"""

import json
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from goosejobs.model.run import Tokens

MAX_LINE: Final = 1024 * 1024
"""Bytes; a longer line is dropped, not kept."""
MAX_TEXT: Final = 64 * 1024
"""Characters kept of the agent's answer: the last of its text, the first of its structured output."""
MAX_WORDS: Final = 8 * 1024
"""Characters kept of goose's own words, from their beginning."""
MAX_STRAY: Final = 8 * 1024
MAX_REMARKS: Final = 16
MAX_SORT: Final = 64
"""Characters of goose's own sort of an error."""
MAX_ID: Final = 256
"""Characters of the id of a message or a call; a longer one is as good as none."""
MAX_TOKENS: Final = 2**63 - 1
"""As many as a status has room for (format int64)."""
FINAL_OUTPUT_TOOL: Final = "recipe__final_output"
_MAX_PENDING: Final = 8
_OUTPUT_REMINDER: Final = "You MUST call the `final_output` tool NOW"


@dataclass(frozen=True)
class Remark:
    """Something goose itself said in the assistant's name."""

    kind: str
    """`text`, `error` or `notification`."""
    text: str
    detail: str = ""
    """goose's own sort of an error (`authentication`) or notification (`creditsExhausted`)."""


@dataclass(frozen=True)
class Transcript:
    """What of goose's output tells how the run ended."""

    text: str = ""
    """The end of the last text that the model wrote."""
    text_length: int = 0
    """How long that text was in full, in characters."""
    output: str | None = None
    """The beginning of the structured output that goose accepted, as JSON."""
    output_length: int = 0
    remarks: tuple[Remark, ...] = ()
    """What goose said since the model last spoke, oldest first."""
    model_spoke: bool = False
    output_reminders: int = 0
    """How often goose had to remind the model of the structured output."""
    complete: bool = False
    tokens: Tokens | None = None
    error: str | None = None
    """The text of the `error` line."""
    stray: str = ""
    """The end of what is not JSON: goose prints some errors on stdout as plain text."""
    messages: int = 0
    dropped_lines: int = 0
    """Lines longer than `MAX_LINE`."""


@dataclass
class _Text:
    """The text of one message, put together from its pieces; only its end is kept."""

    id: str = ""
    pieces: list[str] = field(default_factory=list)
    kept: int = 0
    length: int = 0

    def add(self, message_id: str, piece: str) -> None:
        if not message_id or message_id != self.id:
            if not piece.strip():
                return  # a message of nothing but white space does not replace the answer before it
            self.id, self.pieces, self.kept, self.length = message_id, [], 0, 0
        self.pieces.append(piece)
        self.kept += len(piece)
        self.length += len(piece)
        if self.kept > 2 * MAX_TEXT:
            self.pieces = [self.end()]
            self.kept = len(self.pieces[0])

    def end(self) -> str:
        return "".join(self.pieces)[-MAX_TEXT:]


class StreamReader:
    """Takes goose's stdout in any pieces and keeps what `classify` needs; raises on nothing goose prints."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._too_long = False
        self._text = _Text()
        self._stray = ""
        self._remarks: deque[Remark] = deque(maxlen=MAX_REMARKS)
        self._pending: OrderedDict[str, tuple[str, int]] = OrderedDict()  # outputs goose has not judged yet
        self._output: tuple[str, int] | None = None
        self._model_spoke = False
        self._reminders = 0
        self._complete = False
        self._tokens: Tokens | None = None
        self._error: str | None = None
        self._messages = 0
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Read some more of goose's stdout."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data[start:end])
            self._end_line()
            start = end + 1
        self._add(data[start:])

    @property
    def complete(self) -> bool:
        """Whether goose's last line has been read."""
        return self._complete

    def finish(self) -> Transcript:
        """Say what was read; goose's stdout has ended."""
        self._end_line()
        return self.seen()

    def seen(self) -> Transcript:
        """Say what was read so far, up to the last whole line."""
        return Transcript(
            text=self._text.end(),
            text_length=self._text.length,
            output=self._output[0] if self._output else None,
            output_length=self._output[1] if self._output else 0,
            remarks=tuple(self._remarks),
            model_spoke=self._model_spoke,
            output_reminders=self._reminders,
            complete=self._complete,
            tokens=self._tokens,
            error=self._error,
            stray=self._stray.strip(),
            messages=self._messages,
            dropped_lines=self._dropped,
        )

    def _add(self, piece: bytes) -> None:
        if self._too_long or len(self._line) + len(piece) > MAX_LINE:
            self._too_long = True
            self._line.clear()
        else:
            self._line += piece

    def _end_line(self) -> None:
        if self._too_long:
            self._dropped += 1
        elif self._line:
            self._read_line(self._line.decode("utf-8", "replace"))
        self._too_long = False
        self._line.clear()

    def _read_line(self, line: str) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self._stray = f"{self._stray}{line}\n"[-MAX_STRAY:]
            return
        match event.get("type"):
            case "message":
                self._read_message(_mapping(event.get("message")))
            case "complete":
                self._complete = True
                self._tokens = _tokens(event)
            case "error":
                self._error = _string(event.get("error"))[:MAX_WORDS]
            case _:
                pass  # notifications, and what later releases of goose may add

    def _read_message(self, message: Mapping[str, Any]) -> None:
        self._messages += 1
        content = [_mapping(part) for part in _list(message.get("content"))]
        if message.get("role") == "user":
            self._read_answers(content)
        elif _mapping(message.get("metadata")).get("inference") is not None:
            self._model_spoke = True
            self._remarks.clear()
            self._read_model(_id(message), content)
        else:
            self._remarks.extend(_remarks(content))
            if not self._model_spoke:  # a goose that does not mark the model's words
                self._read_model(_id(message), content)

    def _read_model(self, message_id: str, content: list[Mapping[str, Any]]) -> None:
        for part in content:
            if part.get("type") == "text":
                self._text.add(message_id, _string(part.get("text")))
            elif part.get("type") == "toolRequest":
                call = _mapping(_mapping(part.get("toolCall")).get("value"))
                if call.get("name") == FINAL_OUTPUT_TOOL:
                    self._await_verdict(_id(part), call.get("arguments"))

    def _await_verdict(self, call_id: str, arguments: object) -> None:
        output = _sound(json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))
        self._pending[call_id] = (output[:MAX_TEXT], len(output))
        if len(self._pending) > _MAX_PENDING:
            self._pending.popitem(last=False)

    def _read_answers(self, content: list[Mapping[str, Any]]) -> None:
        """Read what tools returned, and goose's reminders, both in the user's name."""
        for part in content:
            if part.get("type") == "text" and _string(part.get("text")).startswith(_OUTPUT_REMINDER):
                self._reminders += 1
            elif part.get("type") == "toolResponse":
                output = self._pending.pop(_id(part), None)
                if output is not None and _accepted(_mapping(part.get("toolResult"))):
                    self._output = output


def _remarks(content: list[Mapping[str, Any]]) -> Iterator[Remark]:
    for part in content:
        match part.get("type"):
            case "text":
                yield Remark("text", _string(part.get("text"))[:MAX_WORDS])
            case "error":
                sort = _string(part.get("kind"))[:MAX_SORT]
                yield Remark("error", _string(part.get("message"))[:MAX_WORDS], sort)
            case "systemNotification":
                sort = _string(part.get("notificationType"))[:MAX_SORT]
                yield Remark("notification", _string(part.get("msg"))[:MAX_WORDS], sort)
            case _:
                pass


def _accepted(result: Mapping[str, Any]) -> bool:
    return result.get("status") == "success" and _mapping(result.get("value")).get("isError") is not True


def _tokens(event: Mapping[str, Any]) -> Tokens | None:
    """The tokens of a `complete` line; None where the provider did not count any."""
    counts = {name: event.get(f"{name}_tokens") for name in ("input", "output", "total")}
    known = {name: count for name, count in counts.items() if type(count) is int and 0 <= count <= MAX_TOKENS}
    return Tokens(**known) if known else None


def _id(thing: Mapping[str, Any]) -> str:
    found = _string(thing.get("id"))
    return found if len(found) <= MAX_ID else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return _sound(value) if isinstance(value, str) else ""


def _sound(text: str) -> str:
    """The text without halves of surrogate pairs: JSON may hold them as escapes, and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
