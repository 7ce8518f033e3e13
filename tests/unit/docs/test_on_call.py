"""docs/on-call.md has an entry for each word that a status can hold, and for no other."""

import re
from pathlib import Path

import pytest

from goosejobs.events import Told
from goosejobs.model.reasons import RETRYABLE, ReadyReason, Reason, StalledReason

PAGE = (Path(__file__).parents[3] / "docs/on-call.md").read_text()


def section(title: str) -> str:
    """What stands under a heading of the second level."""
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(title: str) -> dict[str, list[str]]:
    """A section's table: its cells by the word in the first one."""
    found = re.findall(r"^\| `(\w+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {word: [cell.strip() for cell in rest.split(" | ")] for word, rest in found}


RUNS = rows("Why a run ended")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_a_run_is_explained(reason: Reason) -> None:
    meaning, again, action = RUNS[reason.value]
    assert meaning
    assert action
    assert again.startswith("yes") == (reason in RETRYABLE)


def test_no_reason_is_explained_that_a_run_cannot_have() -> None:
    assert set(RUNS) == {reason.value for reason in Reason}


def test_every_reason_to_mend_a_goosejob_is_explained_and_no_other() -> None:
    table = rows("Stalled: somebody has to mend it")
    assert set(table) == {reason.value for reason in StalledReason}
    assert all(len(cells) == 2 and all(cells) for cells in table.values())


def test_the_other_words_of_the_operator_are_told_apart() -> None:
    text = section("Waiting: nobody has to mend anything")
    assert set(re.findall(r"`(\w+)`", text)) - {"recipe"} >= {reason.value for reason in ReadyReason}


def test_every_event_is_explained_and_no_other() -> None:
    first = re.findall(r"^\| (`.*?`) \|", section("Events"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(first)) == [told.value for told in Told]
