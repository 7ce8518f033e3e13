"""What the commands answer instead of starting."""

import pytest
from pydantic import Field

from goosejobs.settings import Settings
from goosejobs.usage import answer


class _Settings(Settings):
    speed: int = Field(default=3, description="How fast.")
    secret: str = Field(default="", description="What nobody knows.")


def _answer(*arguments: str) -> tuple[int, str]:
    told = answer("prog", "does it.", _Settings, arguments)
    assert told is not None
    return told.code, told.text


def test_without_arguments_a_command_starts() -> None:
    assert answer("prog", "does it.", _Settings, []) is None


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_variable_with_its_meaning_and_its_default(flag: str) -> None:
    code, text = _answer(flag)
    assert code == 0
    assert text.startswith("prog: does it.\n")
    assert "  GOOSEJOBS_SPEED\n    How fast. Default: 3.\n" in text
    assert "  GOOSEJOBS_SECRET\n    What nobody knows.\n" in text
    assert "GOOSEJOBS_LOG_LEVEL" in text


def test_help_does_not_depend_on_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOSEJOBS_SECRET", "hunter2")
    monkeypatch.setenv("GOOSEJOBS_SPEED", "fast")
    assert "hunter2" not in _answer("--help")[1]


def test_an_argument_that_it_does_not_take_is_answered_with_where_to_look() -> None:
    assert _answer("serve") == (
        2,
        "prog takes no arguments, only variables: prog --help (got serve)",
    )


def test_it_knows_its_version() -> None:
    code, text = _answer("--version")
    assert code == 0
    assert text.startswith("prog 0.")
