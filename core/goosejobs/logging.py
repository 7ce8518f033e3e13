"""One way to log: a line per event on stderr, as JSON in a cluster and as text on a terminal."""

import logging
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

_QUIET = ("kopf", "kubernetes", "asyncio", "aiohttp.access")
_SILENT = ("temporalio.activity",)
"""Writes a traceback for each failed try of an activity; what fails for good is told by the workflow."""


def configure(form: Literal["json", "text"], level: str) -> None:
    """Set up the root logger; libraries speak only from WARNING on."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}",
                style="{",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
