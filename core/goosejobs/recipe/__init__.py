"""goose recipes as data: parsed, checked, rendered and written so that goose reads exactly that.

All of it runs in `python -m goosejobs.recipe`, a child process in which hostile recipes can do no harm (see
goosejobs.clients.renderer). It imports PyYAML and minijinja only, so that the child starts quickly; and only
the child imports those: this module, which both sides share, does not.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from goosejobs.model.reasons import StalledReason

FRAME = struct.Struct(">I")
"""The length before each message between the child process and its parent."""

MAX_DEPTH = 64
"""Nested lists and mappings of a recipe; goose stops at 128."""

MAX_PROBLEMS = 20
"""More problems of one recipe than this are counted, not listed."""


class Problem(NamedTuple):
    """One thing that is wrong, where, and what to do about it."""

    path: str
    """Inside the recipe (`parameters[2].key`, empty for the recipe as a whole); or, for a value that the
    GooseJob gives, its full path (`spec.parameters[1].value`)."""
    message: str
    reason: StalledReason = StalledReason.INVALID_RECIPE
    """INVALID_RECIPE, INVALID_PARAMETERS, INVALID_SCHEDULE or RECIPE_TOO_LARGE."""


class RecipeError(Exception):
    """A recipe, or the values given to it, cannot be used. Asking again with the same is no use.

    Attributes:
        problems: All that was found, at least one.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    @property
    def path(self) -> str:
        """Where the first problem is."""
        return self.problems[0].path

    @property
    def message(self) -> str:
        """What the first problem is."""
        return self.problems[0].message

    @property
    def reason(self) -> StalledReason:
        """What kind the first problem is of."""
        return self.problems[0].reason

    def describe(self, source: str) -> str:
        """All problems in one text for people.

        Args:
            source: The field the recipe came from, such as `spec.recipe.text`.
        """
        shown = "; ".join(
            _place(problem, source) + problem.message for problem in self.problems[:MAX_PROBLEMS]
        )
        more = len(self.problems) - MAX_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown

    def __str__(self) -> str:
        return self.describe("recipe")


@dataclass(frozen=True, slots=True)
class PreparedRecipe:
    """A recipe ready for goose."""

    text: str
    """What to write into a file whose name ends in `.yaml`; goose needs no `--params`."""
    title: str
    needs_output: bool
    """It has a `response.json_schema`: without the structured output the run has failed."""
    schedule: str = ""
    """The cron expression of its own `schedule` section, not read yet; empty when nobody asked for it."""


def _place(problem: Problem, source: str) -> str:
    if problem.reason is StalledReason.INVALID_PARAMETERS:
        return f"{problem.path}: "
    return f"{source}: {problem.path}: " if problem.path else f"{source}: "


def quoted(text: str, limit: int = 60) -> str:
    """A piece of somebody's text for a message: on one line, in quotes, cut at `limit` characters."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown) + '"'
