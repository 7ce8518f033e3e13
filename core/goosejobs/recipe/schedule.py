"""The recipe's own `schedule: {cron, foreground}` section, which goose itself ignores. Pure.

It was made up for goose's old scheduler. Only a GooseJob with `scheduleFrom: Recipe` asks for it; in other
recipes it is left alone, as it is by goose.
"""

from typing import Any, Final

from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import Problem, quoted

SECTION: Final = "schedule"
_MAX_CRON: Final = 256
"""As `spec.schedule`."""
_KNOWN: Final = ("cron", "foreground")
_EXAMPLE: Final = 'schedule: {cron: "0 8 * * 1"}'


def read_schedule(section: Any) -> tuple[str, list[Problem]]:
    """When a recipe says that it is due.

    `foreground` asks a desktop to show the run to a person. There is none where a GooseJob runs, so it runs
    in the background, as it did under the old scheduler when no desktop was open.

    Args:
        section: As parse() returned it; None when the recipe has none.

    Returns:
        The expression, not read yet, and what is wrong with the section: then the expression is of no use.
    """
    if section is None:
        message = f"is missing, and spec.scheduleFrom asks for it: add {_EXAMPLE} to the recipe"
        return "", [_problem(SECTION, message)]
    if not isinstance(section, dict):
        return "", [_problem(SECTION, f"must be a mapping: write {_EXAMPLE}")]
    problems = [
        _problem(f"{SECTION}.{name}", "is not known here: write cron, and the rest into the GooseJob's spec")
        for name in section
        if name not in _KNOWN
    ]
    if not isinstance(section.get("foreground", False), bool):
        problems.append(_problem(f"{SECTION}.foreground", "must be true or false, without quotes"))
    cron = section.get("cron")
    if message := _wrong_cron(cron):
        problems.append(_problem(f"{SECTION}.cron", message))
    return str(cron), problems


def _wrong_cron(cron: Any) -> str:
    if cron is None or cron == "":
        return 'is missing: write five fields, as cron: "0 8 * * 1"'
    if not isinstance(cron, str):
        return 'must be text: write it in quotes, as cron: "0 8 * * 1"'
    if "{{" in cron or "{%" in cron or "{#" in cron:
        return f"{quoted(cron)} is a template, and parameters do not reach the schedule: write the times out"
    if len(cron) > _MAX_CRON:
        return f"has {len(cron)} characters: write at most {_MAX_CRON}"
    return ""


def _problem(path: str, message: str) -> Problem:
    return Problem(path, message, StalledReason.INVALID_SCHEDULE)
