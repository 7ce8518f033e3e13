"""Starts what is not running and waits until all is well, from whatever was left behind before."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local import processes
from goosejobs_local.parts import Part, missing
from goosejobs_local.pki import Pki
from goosejobs_local.processes import Child
from goosejobs_local.progress import Progress, Report
from goosejobs_local.state import Recorded, State

_POLL_SECONDS = 0.05
_HARMLESS = {"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"}


class PartFailed(Exception):
    """A part ended, or is not well in time.

    Attributes:
        name: Which.
        reason: A sentence without its subject.
        log: The end of its log.
    """

    def __init__(self, name: str, reason: str, log: str) -> None:
        super().__init__(f"{name} {reason}" + (f"\n{log}" if log else ""))
        self.name, self.reason, self.log = name, reason, log


@dataclass(frozen=True)
class Ground:
    """Where the parts of one platform run.

    Attributes:
        home: The data directory; also the mark of all processes.
        state: What runs; changed in place.
        save: Writes the state down; called after each change.
    """

    home: Path
    state: State
    save: Callable[[], None]

    @property
    def pki(self) -> Pki:
        """What probes need."""
        return Pki(self.home / "pki")

    def log(self, name: str) -> Path:
        """A part's log file."""
        return self.home / "logs" / f"{name}.log"


def converge(parts: Sequence[Part], ground: Ground, report: Report) -> list[Child]:
    """Bring all parts to where they are well.

    Args:
        parts: All of them; one that runs, but was started by another command, is stopped and started anew.
        ground: Where they run.
        report: Told when a part starts and when it is well.

    Returns:
        What was started here, in the order of starting.

    Raises:
        PartFailed: One ended or took too long. What was started stays, and is in the state.
    """
    waiting = {part.name: part for part in parts if ground.state.steps.get(part.name) != digest_of(part)}
    running: dict[str, _Running] = {}
    while waiting:
        for part in list(waiting.values()):
            if any(name in waiting for name in part.after):
                continue
            if part.name not in running:
                running[part.name] = _begin(part, ground, report)
            if running[part.name].is_well():
                del waiting[part.name]
                _done(running[part.name], report)
        time.sleep(_POLL_SECONDS if waiting else 0)
    return [one.child for one in running.values() if one.new]


def start(part: Part, ground: Ground) -> Child:
    """Start a part and write it down.

    Raises:
        PartFailed: Its program cannot be started.
    """
    env = {**_inherited(part), **part.env, processes.PART: part.name}
    # What servers write is for nobody else; a worker sees itself to what it shares with goose's user.
    umask = -1 if part.inherit else part.umask
    try:
        child = processes.spawn(
            part.argv, env=env, log=ground.log(part.name), mark=str(ground.home), cwd=part.cwd, umask=umask
        )
    except OSError as error:
        raise PartFailed(part.name, f"cannot be started: {error}", "") from error
    if not part.once:
        ground.state.parts[part.name] = Recorded(
            pid=child.pid,
            birth=child.birth,
            digest=digest_of(part),
            probes=part.probes,
            version=part.version,
            address=part.address,
        )
        ground.save()
    return child


def digest_of(part: Part) -> str:
    """Of all that decides how a part is started."""
    content = json.dumps([part.argv, sorted(part.env.items()), part.stamp])
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class _Running:
    part: Part
    child: Child
    new: bool
    ground: Ground
    since: float

    def is_well(self) -> bool:
        ended = not self.child.alive
        code = processes.exit_code(self.child) if ended else None
        if ended and not (self.part.once and code == 0):
            raise self._failed(f"ended with code {code}" if code is not None else "ended")
        if self.part.once and not ended:
            problem: str | None = "it is still at it"
        else:
            problem = missing(self.part.probes, self.ground.pki)
        if problem and time.monotonic() - self.since > self.part.deadline:
            raise self._failed(f"is not well after {self.part.deadline:.0f} s: {problem}")
        return problem is None

    def _failed(self, reason: str) -> PartFailed:
        return PartFailed(self.part.name, reason, processes.tail(self.ground.log(self.part.name)))


def _begin(part: Part, ground: Ground, report: Report) -> _Running:
    """Adopt the part if it runs as it should, else start it."""
    known = ground.state.parts.get(part.name)
    if known and known.child.alive:
        if known.digest == digest_of(part):
            return _Running(part, known.child, new=False, ground=ground, since=time.monotonic())
        processes.stop([known.child], part.grace)
    processes.stop(_strays(part, ground), part.grace)
    report(Progress(part.name, "starting", quick=True))
    return _Running(part, start(part, ground), new=True, ground=ground, since=time.monotonic())


def _strays(part: Part, ground: Ground) -> list[Child]:
    """What somebody had started and not written down before he was killed: it has the part's port."""
    return [
        processes.find(process.pid)
        for process in processes.marked(str(ground.home))
        if processes.is_part(process, part.name, part.argv)
    ]


def _done(one: _Running, report: Report) -> None:
    if one.part.once:
        one.ground.state.steps[one.part.name] = digest_of(one.part)
        one.ground.save()
    if one.new:
        report(Progress(one.part.name, one.part.version, finished=True))


def _inherited(part: Part) -> Mapping[str, str]:
    """Servers get no more of our environment than they need: it may hold keys, and settings for others."""
    if part.inherit:
        return os.environ
    return {name: value for name, value in os.environ.items() if name in _HARMLESS}
