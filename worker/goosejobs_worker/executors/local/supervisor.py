"""The process between the worker and goose: when it is told to, or the worker is gone, all below it dies.

Run by its path under `python -I -S`, with the standard library only, so that it starts in a few milliseconds.
Its standard input is a socket to the worker; standard output and error are goose's. Over the socket go lines
of JSON: first `Start`'s fields, then `{"lease": T}` and `{"stop": grace seconds}`; back comes one report.

What makes it certain:
- it is a subreaper, so whatever loses its parent (a double fork, `setsid`, `nohup`) becomes its own child;
- the end of the socket is the worker's death, however it died;
- a lease says until when the worker has heard from Temporal; a frozen or partitioned worker cannot renew it.
All times are CLOCK_BOOTTIME in seconds: the same in every process, and it goes on while the machine sleeps.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

MAX_WAIT_SECONDS = 1.0
"""poll() counts no time in which the machine sleeps, so deadlines are looked at once a second."""

_libc = ctypes.CDLL(None, use_errno=True)


def boot_time() -> float:
    """Seconds since boot, those asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process.

    Raises:
        OSError: The kernel refused.
    """
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def processes() -> Iterator[tuple[int, int, int]]:
    """All processes as (pid, parent, process group), the newest first.

    `/proc/<pid>/task/*/children` would be shorter but is an option of the kernel that not every one has.
    """
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True):  # noqa: PTH208
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
                # The command name may hold anything, even `) R 1 `: fields start after the last parenthesis.
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        yield pid, int(fields[1]), int(fields[2])


def descendants() -> list[tuple[int, int]]:
    """Everything below this process as (pid, process group), zombies included."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid, parent, group in processes():
        children.setdefault(parent, []).append((pid, group))
    found = list(children.get(os.getpid(), ()))
    for pid, _ in found:
        found.extend(children.get(pid, ()))
    return found


def send(number: int, pid: int, group: int) -> None:
    """Signal a descendant and its whole group: a group is signalled at once, which no fork escapes."""
    # goose got a session of its own, so no group below holds anything that is not below.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_below() -> None:
    """One pass of SIGKILL: direct children as they are seen (a loop of forks is quick), then all others."""
    me = os.getpid()
    for pid, parent, group in processes():
        if parent == me:
            send(signal.SIGKILL, pid, group)
    for pid, group in descendants():
        send(signal.SIGKILL, pid, group)


class Supervisor:
    """Runs one goose and everything below it to the end."""

    def __init__(self, worker: socket.socket, start: dict[str, Any], received: bytes) -> None:
        self.worker = worker
        self.start = start
        self.lease: float = start["lease"]
        self.deadline: float = start["deadline"]
        self.grace: float = start["grace"]
        self.goose = 0
        self.status: int | None = None
        self.cause = "exited"
        self.kill_at: float | None = None
        self._received = b""
        self._take(received)
        # Before goose exists, so that even the quickest end is seen.
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def run(self) -> dict[str, Any]:
        """Start goose, wait for its end or a cause to end it, leave nothing alive; the report."""
        error = None
        if boot_time() >= self.lease:
            self.cause = "lease"  # it is not even to begin: another worker may have it already
        elif (error := self._spawn()) is None:
            self._watch()
        swept = self._sweep()
        usage = _usage()
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        return {
            "cause": "start failed" if error is not None else self.cause,
            "error": error or "",
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "swept": swept,
            **usage,
        }

    def _spawn(self) -> str | None:
        """Fork and exec goose; why it could not be, or None."""
        ours, theirs = os.pipe()  # closed by exec: an empty read is success
        self.goose = os.fork()
        if self.goose == 0:
            try:
                self._become_goose()
            except OSError as error:
                os.write(theirs, f"{error.strerror}: {error.filename or self.start['argv'][0]}".encode())
            finally:
                os._exit(127)
        os.close(theirs)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the worker never sees the end of goose's output
        with os.fdopen(ours, "rb") as answer:
            return answer.read().decode(errors="replace") or None

    def _become_goose(self) -> None:
        """In the child: own session, own user, no way to more rights, then goose."""
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        argv, environment = self.start["argv"], self.start["environment"]
        binary = os.open(argv[0], os.O_RDONLY | os.O_CLOEXEC)  # while it may be: see below
        if self.start["uid"] is not None:
            os.setgroups([])
            os.setgid(self.start["gid"])
            os.setuid(self.start["uid"])
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(self.start["cwd"])
        try:
            os.execve(argv[0], argv, environment)  # noqa: S606
        except PermissionError:  # it lies in a folder that goose's own user may not enter
            os.execve(binary, argv, environment)  # noqa: S606

    def _watch(self) -> None:
        """Until goose has ended by itself, or, told to end, all are gone or their grace is over."""
        poll = select.poll()
        poll.register(self.worker, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        alive = True
        while alive:
            for fd, _ in poll.poll(self._wait_ms()):
                if fd == self._woken:
                    os.read(self._woken, 512)
                else:
                    self._listen()
            alive = self._reap()
            # Only now: after a stall of this process, the renewal may have been waiting in the socket.
            if self._over():
                return

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._end("stopped", self.grace)

    def _over(self) -> bool:
        """Whether what is still alive is to be killed now."""
        now = boot_time()
        if now >= self.lease:
            self._end("lease", 0)
        elif now >= self.deadline:
            self._end("deadline", self.grace)
        if self.kill_at is None:
            return self.status is not None  # goose ended by itself; what it left behind has no business
        return now >= self.kill_at  # its tools have their grace even when goose is gone

    def _wait_ms(self) -> int:
        next_look = min(self.lease, self.deadline if self.kill_at is None else self.kill_at)
        return int(min(max(next_look - boot_time(), 0), MAX_WAIT_SECONDS) * 1000) + 1

    def _end(self, cause: str, grace: float) -> None:
        """Ask all to end, once; the first cause is the one that is told, a shorter grace is obeyed."""
        kill_at = boot_time() + grace
        if self.kill_at is None:
            self.cause = cause
            for pid, group in descendants():
                send(signal.SIGTERM, pid, group)
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def _listen(self) -> None:
        try:
            data = self.worker.recv(65536)
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._end("worker gone", 0)

    def _take(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "lease" in message:
                self.lease = max(self.lease, message["lease"])
            if "stop" in message:
                self._end("stopped", message["stop"])

    def _reap(self) -> bool:
        """Take in all that ended; whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.goose:
                self.status = status

    def _sweep(self) -> int:
        """Kill until nothing is left below; how many were left when it began (goose included)."""
        self._reap()
        left = len(descendants())
        pause = 0.001
        while self._reap():
            kill_below()
            if self._reap():
                time.sleep(pause)
                pause = min(pause * 2, 0.1)
        return left


def _usage() -> dict[str, float]:
    """What goose and its tools used, all of them reaped."""
    import resource  # noqa: PLC0415 - not needed before goose has ended

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "max_rss_bytes": used.ru_maxrss * 1024}


def _remove(directory: str) -> None:
    """Remove the attempt's directory, here because the supervisor outlives a worker that was killed."""
    import shutil  # noqa: PLC0415 - not needed before goose has ended

    shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Serve one goose, as told in the first line from the worker."""
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    worker = socket.socket(fileno=os.dup(0))
    worker.set_inheritable(False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    received = b""
    while b"\n" not in received:
        data = worker.recv(65536)
        if not data:
            sys.exit("the worker was gone before it said what to run")
        received += data
    line, _, rest = received.partition(b"\n")
    start = json.loads(line)
    report = Supervisor(worker, start, rest).run()
    _remove(start["directory"])
    with contextlib.suppress(OSError):  # nobody may be left to tell
        worker.sendall(json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
