"""When each goose of a worker was started, to a hundredth of a second, as the kernel has it."""

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_LOOK_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


class GooseWatch:
    """Notes the start of every process called `goose` below the worker, while it is used as a context.

    It looks ten times a second, which is often enough since no goose is that quick; the time of the start is
    the kernel's own. The kernel counts from boot, and its clock is related to the wall clock as of now.
    """

    def __init__(self, worker: int) -> None:
        self.started: list[float] = []
        """Unix times."""
        self._worker = worker
        self._parents: dict[int, int] = {}
        self._counted: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 -- cheaper
            self._parents = {pid: parent for pid, parent in self._parents.items() if pid in pids}
            self._counted &= pids
            for pid in sorted(pids - self._counted):
                self._look(pid)

    def _look(self, pid: int) -> None:
        try:
            head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            return  # it ended meanwhile
        fields = tail.split()
        self._parents[pid] = int(fields[1])
        if head.partition("(")[2] != "goose":
            if not self._is_below_worker(pid):
                self._counted.add(pid)  # nothing of ours, now or later
            return
        self._counted.add(pid)
        if self._is_below_worker(pid):
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS
            self.started.append(time.time() - age)

    def _is_below_worker(self, pid: int) -> bool:
        seen = pid
        while seen in self._parents:
            seen = self._parents[seen]
            if seen == self._worker:
                return True
        return False
