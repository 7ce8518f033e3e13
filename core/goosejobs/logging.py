"""One way to log: a line per event on stderr, as JSON in a cluster and as text on a terminal."""

import logging
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from goosejobs.clients.codec import Undecodable

_QUIET = ("kopf", "kubernetes", "asyncio", "aiohttp.access")
_SILENT = ("temporalio.activity",)
"""Writes a traceback for each failed try of an activity; what fails for good is told by the workflow."""


class _Sentences(logging.Filter):
    """Leaves the traceback away where the exception says all, as of a payload that cannot be decrypted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Undecodable):
            record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
        return True


def configure(form: Literal["json", "text"], level: str) -> None:
    """Set up the root logger; libraries speak only from WARNING on."""
    handler = logging.StreamHandler()
    handler.addFilter(_Sentences())
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
