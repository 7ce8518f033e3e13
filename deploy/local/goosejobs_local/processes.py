"""Child processes that outlive us: in sessions of their own, and only ever signalled if they are ours.

A process id alone is no identity, since ids are used again. A `Child` therefore also holds the boot and the
clock tick in which the process started, as the kernel tells them (`/proc/<pid>/stat`, field 22); the wall
clock, which may step, is not asked. Every process also carries MARK in its environment, and so does whatever
it starts: one that was started but never written down, because we were killed in between, is found by it;
by PART, also what it was started as.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "GOOSEJOBS_PLATFORM"
"""Environment variable of all our processes; its value is the data directory they belong to."""

PART = "GOOSEJOBS_PART"
"""Environment variable of all our processes; its value is the part they are, or were started by."""

_POLL_SECONDS = 0.02


def _birth(pid: int) -> str | None:
    """Boot and clock tick in which a process started; None when there is none, or only its exit status."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in {"Z", "X"}:
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{fields[19]}"


@dataclass(frozen=True)
class Child:
    """A process that we started, in this run of the program or in an earlier one; it leads its own group."""

    pid: int
    birth: str

    @property
    def alive(self) -> bool:
        """Whether the very process is still there (a zombie is not)."""
        popen = _started_here.get(self)
        if popen is not None:
            # Not by /proc: a program's first thread may be a zombie while its other ones are still ending.
            return popen.poll() is None
        return _birth(self.pid) == self.birth

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to its whole group; says whether the process was there to get it."""
        if not self.alive:
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True


_started_here: dict[Child, subprocess.Popen[bytes]] = {}


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    mark: str,
    cwd: Path | None = None,
    umask: int = -1,
) -> Child:
    """Start a process in a session of its own, its output appended to a file.

    Args:
        argv: The program and its arguments.
        env: Its whole environment; MARK is added.
        log: Where stdout and stderr go.
        mark: The value of MARK.
        cwd: Its working directory.
        umask: Of the files that it makes; -1: ours.

    Raises:
        OSError: The program cannot be started.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.touch(mode=0o600)
    with log.open("ab") as output:
        popen = subprocess.Popen(
            list(argv),
            env={**env, MARK: mark},
            cwd=cwd,
            umask=umask,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child = find(popen.pid)
    _started_here[child] = popen
    return child


def find(pid: int) -> Child:
    """The process that has this id now."""
    return Child(pid, _birth(pid) or "ended")


def exit_code(child: Child) -> int | None:
    """The exit code of a process that this program started and that has ended; else None."""
    popen = _started_here.get(child)
    return popen.poll() if popen is not None else None


def stop(children: Iterable[Child], grace: float) -> None:
    """End processes and their groups: SIGTERM, and SIGKILL for what is left after `grace` seconds."""
    asked = [child for child in children if child.signal(signal.SIGTERM)]
    for child in asked:
        child.signal(signal.SIGCONT)  # a stopped process would not see the SIGTERM
    if not _wait_for_end(asked, grace):
        for child in asked:
            child.signal(signal.SIGKILL)
        _wait_for_end(asked, grace)


def marked(mark: str) -> list[psutil.Process]:
    """All processes, and what they started, that carry this mark; never ourselves."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue  # gone, a zombie, or somebody else's
    return found


def is_part(process: psutil.Process, name: str, argv: Sequence[str]) -> bool:
    """Whether a process is a part itself, not what that has started; False when it has ended since."""
    try:
        return process.environ().get(PART) == name and process.cmdline() == list(argv)
    except psutil.Error:
        return False


def sweep(mark: str, grace: float = 5.0) -> int:
    """Kill whatever still carries the mark; returns how many processes that were."""
    found: set[Child] = set()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        left = [find(process.pid) for process in marked(mark)]
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        found.update(left)
        if not left:
            break
        _wait_for_end(left, 1.0)
    return len(found)


def _wait_for_end(children: Sequence[Child], seconds: float) -> bool:
    return wait_until(lambda: not any(child.alive for child in children), seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, at most that long; says whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def tail(log: Path, lines: int = 15, most_bytes: int = 16_384) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - most_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
