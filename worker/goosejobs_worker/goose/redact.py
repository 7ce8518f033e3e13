"""Making goose's words fit to be shown: no secrets, no terminal codes, not too long. Pure."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import quote

MASK: Final = "***"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Control characters but tab and line feed, and the marks that reverse the order of what follows.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_SHAPES: Final = (
    (re.compile(r"\b(?:sk|pk|rk|xai)-[A-Za-z0-9_-]{12,}"), MASK),
    (re.compile(r"\b(?:gsk|hf|gh[pousr]|github_pat|xox[abprs])[_-][A-Za-z0-9_-]{20,}"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\bdapi[0-9a-f]{32}"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\b(bearer\s+)(?=\S*\d|\S{20})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(://)[^/\s:@]*:[^/\s@]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"([?&](?:api[-_]?key|key|access_token|token|sig|signature|secret|password)=)[^&\s\"'<>]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
"""What is unmistakably a credential wherever it stands."""

_NAMED = re.compile(
    r"\b((?:api[-_ ]?key|access[-_]?key|token|secret|password|authorization)(?: provided)?"
    r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]{4,}",
    re.IGNORECASE,
)
"""`api key: value`: in an error message it is a credential, in an agent's answer it may be the answer."""


_NO_SECRETS: Final = frozenset({"true", "false", "null", "none"})
"""What stands in Secrets too and is none: masking it would only break the JSON of an answer."""
_SHORTEST: Final = 4
_SHORTEST_LINE: Final = 8
_SHORTEST_CODED: Final = 6


def spellings(values: Iterable[str]) -> frozenset[str]:
    """All the ways in which an agent is likely to write the values of Secrets.

    As it is, each of its longer lines, and in base64, in JSON and in a URL. Values of less than four
    characters are left out: masking every `x` in a message would hide the message.
    """
    found: set[str] = set()
    for value in values:
        shown = plain(value).strip()
        if len(shown) < _SHORTEST or shown.lower() in _NO_SECRETS:
            continue
        found |= {shown, json.dumps(shown)[1:-1], json.dumps(shown, ensure_ascii=False)[1:-1]}
        for raw in (value.encode("utf-8", "surrogatepass"), shown.encode()):
            found |= _in_base64(raw) | {quote(raw), quote(raw, safe="")}
        lines = {line.strip() for line in shown.splitlines()}
        found |= {line for line in lines if len(line) >= _SHORTEST_LINE}
    return frozenset(found)


def _in_base64(raw: bytes) -> set[str]:
    """The value in base64, by itself or amidst more (`user:password`): its groups of three begin anywhere."""
    parts = [raw, *(raw[start : start + (len(raw) - start) // 3 * 3] for start in range(3))]
    whole = [part for part in parts if part is raw or len(part) >= _SHORTEST_CODED]
    return {coded(part).decode().rstrip("=") for coded in (b64encode, urlsafe_b64encode) for part in whole}


def plain(text: str) -> str:
    """The text without terminal codes, control characters and halves of characters."""
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """The text with the given values, and all that has the shape of a credential, masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    for shape, mask in _SHAPES:
        text = shape.sub(mask, text)
    return text


def message_text(text: str, secrets: Collection[str], limit: int) -> str:
    """One line for a status or a log: no secrets, no line breaks, at most `limit` characters."""
    text = _NAMED.sub(rf"\1{MASK}", without_secrets(plain(text), secrets))
    return keep_start(" ".join(text.split()), limit)


def keep_start(text: str, limit: int, lost: int = 0) -> str:
    """The beginning of a text, with a mark where it was cut.

    Args:
        text: The text, or the beginning of it that was kept so far.
        limit: The most characters of the result.
        lost: How many characters were cut off before.
    """
    if len(text) <= limit and not lost:
        return text
    mark = f" … [cut: {len(text) + lost} characters in all]"
    return text[: limit - len(mark)] + mark


def keep_end(text: str, limit: int, lost: int = 0) -> str:
    """As `keep_start`, for the end of a text: an answer's conclusion stands at its end."""
    if len(text) <= limit and not lost:
        return text
    mark = f"[cut: the end of {len(text) + lost} characters] … "
    return mark + text[max(0, len(text) - limit + len(mark)) :]
