"""Starts what is not running and waits until all is well, from whatever was left behind before."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local import processes
from goosejobs_local.parts import Part
from goosejobs_local.processes import Child
from goosejobs_local.progress import Progress, Report
from goosejobs_local.state import Recorded, State

_POLL_SECONDS = 0.05
_HARMLESS = {"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"}


class PartFailed(Exception):
    """A part ended, or is not well in time.

    Attributes:
        name: Which.
        reason: A sentence.
        log: The end of its log.
    """

    def __init__(self, name: str, reason: str, log: str) -> None:
        super().__init__(f"{name} {reason}" + (f"\n{log}" if log else ""))
        self.name, self.reason, self.log = name, reason, log


@dataclass(frozen=True)
class Ground:
    """Where the parts of one platform run.

    Attributes:
        mark: The mark of all its processes.
        logs: The directory of their logs.
        state: What runs; changed in place.
        save: Writes the state down; called after each change.
    """

    mark: str
    logs: Path
    state: State
    save: Callable[[], None]

    def log(self, name: str) -> Path:
        """A part's log file."""
        return self.logs / f"{name}.log"


def converge(parts: Sequence[Part], ground: Ground, report: Report) -> list[Child]:
    """Bring all parts to where they are well.

    Args:
        parts: All of them; a part that runs but was started by another command is stopped and started anew.
        ground: Where they run.
        report: Told when a part starts and when it is well.

    Returns:
        What was started here, in the order of starting.

    Raises:
        PartFailed: One ended or took too long. What was started stays, and is in the state.
    """
    started: list[Child] = []
    waiting = {part.name: part for part in parts if ground.state.steps.get(part.name) != digest_of(part)}
    running: dict[str, _Running] = {}
    while waiting:
        for part in list(waiting.values()):
            if any(name in waiting for name in part.after):
                continue
            if part.name not in running:
                running[part.name] = _begin(part, ground, started, report)
            if running[part.name].is_well():
                del waiting[part.name]
                _done(part, ground, report)
        time.sleep(_POLL_SECONDS if waiting else 0)
    return started


@dataclass(frozen=True)
class _Running:
    part: Part
    child: Child
    log: Path
    since: float

    def is_well(self) -> bool:
        code = processes.exit_code(self.child)
        ended = not self.child.alive
        if ended and not (self.part.once and code == 0):
            raise self._failed(f"ended with code {code}" if code is not None else "ended")
        missing = "it is still at it" if self.part.once and not ended else self.part.missing()
        if missing and time.monotonic() - self.since > self.part.deadline:
            raise self._failed(f"is not well after {self.part.deadline:.0f} s: {missing}")
        return missing is None

    def _failed(self, reason: str) -> PartFailed:
        return PartFailed(self.part.name, reason, processes.tail(self.log))


def _begin(part: Part, ground: Ground, started: list[Child], report: Report) -> _Running:
    """Adopt the part if it runs as it should, else start it."""
    digest = digest_of(part)
    known = ground.state.parts.get(part.name)
    child = known.child if known else None
    if known and child and child.alive:
        if known.digest == digest:
            return _Running(part, child, ground.log(part.name), time.monotonic())
        processes.stop([child], part.grace)
    report(Progress(part.name, "starting"))
    child = start(part, ground)
    started.append(child)
    return _Running(part, child, ground.log(part.name), time.monotonic())


def _done(part: Part, ground: Ground, report: Report) -> None:
    if part.once:
        ground.state.steps[part.name] = digest_of(part)
        ground.save()
    report(Progress(part.name, part.version or "done", finished=True))


def start(part: Part, ground: Ground) -> Child:
    """Start a part and write it down.

    Raises:
        PartFailed: Its program cannot be started.
    """
    env = {**_inherited(part), **part.env}
    try:
        child = processes.spawn(part.argv, env=env, log=ground.log(part.name), mark=ground.mark, cwd=part.cwd)
    except OSError as error:
        raise PartFailed(part.name, f"cannot be started: {error}", "") from error
    if not part.once:
        ground.state.parts[part.name] = Recorded(
            pid=child.pid,
            birth=child.birth,
            digest=digest_of(part),
            version=part.version,
            address=part.address,
        )
        ground.save()
    return child


def _inherited(part: Part) -> Mapping[str, str]:
    """Servers get no more of our environment than they need: it may hold keys, and settings for others."""
    if part.inherit:
        return os.environ
    return {name: value for name, value in os.environ.items() if name in _HARMLESS}


def digest_of(part: Part) -> str:
    """Of all that decides how a part is started."""
    content = json.dumps([part.argv, sorted(part.env.items()), part.stamp])
    return hashlib.sha256(content.encode()).hexdigest()
