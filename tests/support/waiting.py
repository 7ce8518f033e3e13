"""Waits for what will be true, with a deadline, and says what was seen last when it does not come true."""

import asyncio
import inspect
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.05
_NOT_YET = (AssertionError, LookupError, TypeError, subprocess.CalledProcessError)


async def eventually(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = 90.0,  # noqa: ASYNC109 -- cancelling would lose what was seen last
    message: str = "",
) -> T:
    """Call a predicate until what it returns is true, and return that.

    Args:
        predicate: May be async. What it raises when a field or an object is not there yet, or when kubectl
            fails, counts as not true yet.
        timeout: Seconds to try. Plenty by default: a machine may be slow, and what comes true costs no wait.
        message: Begins the error's text.

    Raises:
        AssertionError: It did not come true; the text holds what was seen last.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            value = predicate()
            result: T = await value if inspect.isawaitable(value) else value
            if result:
                return result
            seen = result
        except _NOT_YET as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or 'not true'} within {timeout:g} s; last seen: {seen!r}")
        await asyncio.sleep(_POLL_SECONDS)
