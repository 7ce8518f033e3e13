"""What operator and worker answer to `--help`, `--version` and to arguments that they do not take."""

import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from goosejobs.settings import Settings

_WRONG = 2
_WIDTH = 100


class Answer(NamedTuple):
    """What to print, and the code to end with; 0: it was asked for."""

    code: int
    text: str


def answer(program: str, purpose: str, settings: type[Settings], arguments: Sequence[str]) -> Answer | None:
    """What to tell instead of starting; None: start.

    Args:
        program: The command's name.
        purpose: What it does, in one sentence.
        settings: Whose fields are its variables.
        arguments: Those after the command's name.
    """
    if not arguments:
        return None
    if arguments[0] in {"-h", "--help"}:
        return Answer(0, _help(program, purpose, settings))
    if arguments[0] == "--version":
        return Answer(0, f"{program} {version('goosejobs')}")
    return Answer(
        _WRONG, f"{program} takes no arguments, only variables: {program} --help (got {arguments[0]})"
    )


def _help(program: str, purpose: str, settings: type[Settings]) -> str:
    variables = "\n".join(_variable(name, field) for name, field in settings.model_fields.items())
    return (
        f"{program}: {purpose}\n\nIt takes no arguments, but these variables:\n\n{variables}\n\n"
        "Kubernetes is found by KUBECONFIG, or as a pod finds it; Temporal by TEMPORAL_ADDRESS,\n"
        "TEMPORAL_NAMESPACE and the other variables of its SDK."
    )


def _variable(name: str, field: FieldInfo) -> str:
    text = field.description or ""
    if field.default not in (PydanticUndefined, None, "") and isinstance(field.default, str | int | float):
        text = f"{text} Default: {field.default}.".strip()
    indent = " " * 4
    lines = textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return f"  GOOSEJOBS_{name.upper()}" + (f"\n{lines}" if text else "")
