"""One goose under its supervisor, seen from the worker."""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from goosejobs_worker.executors.local import supervisor

_MAX_REPORT_BYTES = 65536


class Cause(StrEnum):
    """Why a process tree ended, in the supervisor's words."""

    EXITED = "exited"
    STOPPED = "stopped"
    DEADLINE = "deadline"
    LEASE = "lease"
    WORKER_GONE = "worker gone"
    START_FAILED = "start failed"
    SUPERVISOR_LOST = "supervisor lost"
    """The supervisor itself was killed: it told nothing."""


@dataclass(frozen=True)
class Start:
    """What the supervisor is told in its first line, never on a command line.

    Attributes:
        argv: The program's absolute path and its arguments.
        environment: The program's whole environment.
        cwd: Its working directory.
        directory: The attempt's directory, removed when the last process is gone.
        uid: The user to run as; None: the worker's own.
        gid: The group to run as, if `uid` is set.
        lease: Boot time (seconds) until which the worker has heard from Temporal.
        deadline: Boot time at which the attempt has taken too long.
        grace: Seconds between SIGTERM and SIGKILL after the deadline.
    """

    argv: list[str]
    environment: Mapping[str, str] = field(repr=False)
    cwd: str
    directory: str
    uid: int | None
    gid: int | None
    lease: float
    deadline: float
    grace: float


@dataclass(frozen=True)
class Report:
    """How a process tree ended: nothing of it is alive any more.

    Attributes:
        cause: Why it ended.
        error: Why it could not be started.
        exit_code: goose's exit code, if it exited by itself.
        signal: The signal that ended goose, if one did.
        swept: How many processes were still alive when goose was gone, or was to be gone.
        cpu_seconds: Processor time of goose and its tools.
        max_rss_bytes: The largest resident memory of one of them.
    """

    cause: Cause
    error: str = ""
    exit_code: int | None = None
    signal: int | None = None
    swept: int = 0
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


class SupervisedProcess:
    """A running goose: its output, its lease, its end."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if process.stdout is None or process.stderr is None:
            raise ValueError("the supervisor needs pipes for its output")
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self._report: Report | None = None

    @classmethod
    async def start(cls, start: Start) -> Self:
        """Start the supervisor, which starts the program.

        Raises:
            OSError: Not even the supervisor can be started (no memory, no process slot).
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(Path(supervisor.__file__))),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd="/",
                start_new_session=True,
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=_MAX_REPORT_BYTES)
        supervised = cls(process, reader, writer)
        supervised._tell(asdict(start))
        return supervised

    def renew(self, lease: float) -> None:
        """Let it live until this boot time (seconds); an earlier one than before changes nothing."""
        self._tell({"lease": lease})

    def stop(self, grace: float) -> None:
        """End it: SIGTERM now, SIGKILL to whatever is left after `grace` seconds. `ended` tells when."""
        self._tell({"stop": grace})

    async def ended(self) -> Report:
        """Wait until nothing that goose started is alive."""
        if self._report is None:
            line = await self._read_report()
            self._writer.close()
            await self._process.wait()
            told = json.loads(line or '{"cause": "supervisor lost"}')
            self._report = Report(**{**told, "cause": Cause(told["cause"])})
        return self._report

    async def close(self) -> Report:
        """End it without grace if it has not ended yet."""
        self.stop(0)
        return await self.ended()

    async def _read_report(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    def _tell(self, message: Mapping[str, object]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")
