"""What a process and its children cost."""

from dataclasses import dataclass

import psutil

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Usage:
    """A moment's reading.

    Attributes:
        cpu_seconds: Processor time of the process and of all its children so far, also of those that ended.
        resident: Resident megabytes of the process.
        children: Resident megabytes of its children, together.
    """

    cpu_seconds: float
    resident: float
    children: float

    @property
    def all(self) -> float:
        """Resident megabytes of the process and its children; what they share counts twice."""
        return self.resident + self.children


def usage(pid: int) -> Usage:
    """Read a process's cost.

    Raises:
        psutil.NoSuchProcess: It has ended.
    """
    process = psutil.Process(pid)
    seconds, children = _cpu(process), 0.0
    for child in process.children(recursive=True):
        try:
            seconds += _cpu(child)
            children += child.memory_info().rss / MEGABYTE
        except psutil.NoSuchProcess:
            continue  # from now on its time is in its parent's
    return Usage(seconds, process.memory_info().rss / MEGABYTE, children)


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:4]))
