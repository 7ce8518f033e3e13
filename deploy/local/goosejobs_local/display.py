"""Shows progress to people: a live display on a terminal, plain lines in a log."""

import time
from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from goosejobs_local.progress import Progress

_QUIET_SECONDS = 15.0
_LEAST_FOR_ESTIMATE = 10.0


class Display:
    """A `Report` to call, and a context manager around what is reported."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._began: dict[tuple[str, str], float] = {}
        self._stack = ExitStack()
        self._show = _Live(console) if console.is_terminal else _Lines(console)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._show)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, progress: Progress) -> None:
        """Show it; from any thread."""
        with self._lock:
            began = self._began.setdefault((progress.task, progress.text), time.monotonic())
            self._show.show(progress, describe(progress, time.monotonic() - began))


def describe(progress: Progress, seconds: float) -> str:
    """Where a step is, in words.

    Args:
        progress: Where it is.
        seconds: How long it has been doing the same.
    """
    parts = [progress.text]
    if progress.total:
        parts.append(f"{progress.done} of {progress.total} {progress.unit}")
        if progress.done and seconds >= _LEAST_FOR_ESTIMATE and progress.done < progress.total:
            parts.append(_about(seconds / progress.done * (progress.total - progress.done)))
    elif progress.done:
        parts.append(f"{progress.done} {progress.unit}")
    return ", ".join(part for part in parts if part)


def _about(seconds: float) -> str:
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


class _Live:
    """One line a task, with a bar, redrawn."""

    def __init__(self, console: Console) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.fields[name]}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress, text: str) -> None:
        if progress.task not in self._tasks:
            self._tasks[progress.task] = self._bars.add_task("", name=escape(progress.task), total=None)
        total = progress.total or (1 if progress.finished else None)
        self._bars.update(
            self._tasks[progress.task],
            description=escape(text),
            total=total,
            completed=total if progress.finished else progress.done,
        )


class _Lines:
    """A line when something changes, and now and then while it lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def show(self, progress: Progress, text: str) -> None:
        said, when = self._last.get(progress.task, ("", 0.0))
        now = time.monotonic()
        again = progress.text == said and now - when < _QUIET_SECONDS
        if (progress.quick or again) and not progress.finished:
            return
        self._last[progress.task] = (progress.text, now)
        mark = "✓" if progress.finished else " "
        line = ": ".join(part for part in (progress.task, text) if part)
        self._console.print(f"{mark} {line}", markup=False, highlight=False, soft_wrap=True)
