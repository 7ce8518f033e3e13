"""Commands whose output is read line by line while they run, and that can all be ended at once."""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_LAST_LINES = 20


class CommandFailed(Exception):
    """A command ended badly; str() holds the command and the end of what it printed."""


class Cancelled(Exception):
    """`cancel` was called."""


class Commands:
    """Runs commands; one object for all threads that work on one thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._cancelled = False

    def lines(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> Iterator[str]:
        """Yield what it prints, stdout and stderr together.

        Raises:
            CommandFailed: It cannot be started, or ends with another code than 0.
            Cancelled: `cancel` was called.
        """
        process = self._start(argv, env, cwd)
        last: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            assert process.stdout is not None  # noqa: S101 -- it is a PIPE; only the type checker needs this
            for raw in process.stdout:
                line = raw.rstrip()
                last.append(line)
                yield line
            code = process.wait()
        finally:
            _kill(process)
            process.wait()
            with self._lock:
                self._running.discard(process)
        if self._cancelled:
            raise Cancelled
        if code:
            raise CommandFailed(f"`{shlex.join(argv)}` ended with code {code}:\n" + "\n".join(last))

    def output(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> str:
        """All that it prints; raises as `lines` does."""
        return "\n".join(self.lines(argv, env=env, cwd=cwd))

    def check(self) -> None:
        """Raise Cancelled if `cancel` was called."""
        if self._cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """End what runs, and let nothing new start."""
        with self._lock:
            self._cancelled = True
            for process in self._running:
                _kill(process)

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None
    ) -> "subprocess.Popen[str]":
        with self._lock:
            if self._cancelled:
                raise Cancelled
            try:
                process = subprocess.Popen(
                    list(argv),
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise CommandFailed(f"`{argv[0]}` cannot be started: {error.strerror}") from error
            self._running.add(process)
            return process


def _kill(process: "subprocess.Popen[str]") -> None:
    """Its group, as long as its leader has not been waited for (after that the id may be another's)."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
