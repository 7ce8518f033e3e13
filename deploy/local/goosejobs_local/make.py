"""Puts binaries into the cache: fetched from where they are published, or built from pinned sources."""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from goosejobs_local import catalog, download, gobuild
from goosejobs_local.catalog import Binary
from goosejobs_local.commands import CommandFailed, Commands
from goosejobs_local.progress import Progress, Report

_LOCK_POLL_SECONDS = 0.2


class Unresolved(Exception):
    """A binary cannot be had; str() says why and what to do."""


class Maker:
    """Fills the cache; of several processes that want the same binary, one makes it and the others wait."""

    def __init__(self, cache: Path, commands: Commands, report: Report, *, offline: bool) -> None:
        self._cache = cache
        self._commands = commands
        self._report = report
        self._offline = offline

    def place(self, binary: Binary) -> Path:
        """Where a binary is once it is made; the file is there whole or not at all."""
        return self._cache / "bin" / binary.key / binary.name

    def make(self, binaries: Sequence[Binary]) -> None:
        """Make binaries; fetches and builds go side by side.

        Raises:
            Unresolved: One cannot be had.
            KeyboardInterrupt: After what was under way has been ended.
        """
        jobs: list[Callable[[], None]] = [partial(self._fetch, one) for one in binaries if not one.go]
        if sources := [binary for binary in binaries if binary.go]:
            jobs.append(partial(self._download_or_build, sources))
        with ThreadPoolExecutor(len(jobs), thread_name_prefix="make") as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                self._commands.cancel()
                raise

    def _fetch(self, binary: Binary) -> None:
        npm = binary.npm.get(f"linux-{catalog.architecture()}")
        if npm is None:
            raise Unresolved(
                f"{binary.name} is not published for {catalog.architecture()}: "
                f"put it on PATH, or name it in {binary.variable}"
            )
        with self._making([binary]) as (missing, part):
            try:
                for _ in missing:
                    download.from_npm(binary, npm, part / binary.name, self._commands, self._report)
                    self._keep(binary, part / binary.name, "fetched")
                    self._report(Progress(binary.name, f"fetched {binary.version}", finished=True))
            except download.DownloadFailed as error:
                raise Unresolved(str(error)) from error

    def _download_or_build(self, binaries: Sequence[Binary]) -> None:
        left = [binary for binary in binaries if self._offline or not self._download(binary)]
        for group in gobuild.group(left):
            self._build(group)

    def _download(self, binary: Binary) -> bool:
        with self._making([binary]) as (missing, part):
            try:
                for _ in missing:
                    if not download.official(binary, part / binary.name, self._commands, self._report):
                        return False
                    self._keep(binary, part / binary.name, "downloaded")
                    self._report(Progress(binary.name, f"downloaded {binary.version}", finished=True))
            except (download.DownloadFailed, Unresolved) as error:
                self._report(Progress(binary.name, f"{error}: building it instead"))
                return False
        return True

    def _build(self, binaries: Sequence[Binary]) -> None:
        with self._making(binaries) as (missing, part):
            if not missing:
                return
            try:
                go = gobuild.find_go(self._cache, missing, self._commands, self._report)
                files = gobuild.build(missing, part, go=go, commands=self._commands, report=self._report)
            except (CommandFailed, gobuild.NoGo) as error:
                names = ", ".join(binary.name for binary in missing)
                raise Unresolved(f"{names} cannot be built: {error}") from error
            for binary in missing:
                self._keep(binary, files[binary.name], "built")
            text = ", ".join(f"{binary.name} {binary.version}" for binary in missing)
            self._report(Progress(gobuild.task_of(missing), f"built {text}", finished=True))

    @contextmanager
    def _making(self, binaries: Sequence[Binary]) -> Iterator[tuple[list[Binary], Path]]:
        """Hold the lock of all; gives those that are still missing then, and a directory to work in."""
        locks = self._cache / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        held: list[FileLock] = []
        try:
            # Always in the same order: two processes must not each wait for what the other one holds.
            ordered = sorted(binaries, key=lambda one: one.key)
            held.extend(self._lock(locks / f"{binary.key}.lock", binary) for binary in ordered)
            missing = [binary for binary in binaries if not self.place(binary).exists()]
            with tempfile.TemporaryDirectory(dir=self._cache, prefix=".part-") as part:
                yield missing, Path(part)
        finally:
            for lock in held:
                lock.release()

    def _lock(self, path: Path, binary: Binary) -> FileLock:
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            self._report(Progress(binary.name, "waiting for another goosejobs that makes it"))
            while not lock.is_locked:
                self._commands.check()
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=_LOCK_POLL_SECONDS)
        return lock

    def _keep(self, binary: Binary, file: Path, how: str) -> None:
        """Move a finished file into the cache, if it runs and is what it should be."""
        version = version_of(binary, file, self._commands)
        if version != binary.version:
            raise Unresolved(
                f"the {binary.name} just {how} says it is version {version}, not {binary.version}"
                if version
                else f"the {binary.name} just {how} does not run on this machine"
            )
        place = self.place(binary)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def version_of(binary: Binary, path: Path, commands: Commands) -> str | None:
    """What a binary says its version is; None when it does not run or says nothing of the kind."""
    try:
        text = commands.output([str(path), *binary.version_args], env=os.environ)
    except CommandFailed:
        return None
    found = re.search(binary.version_pattern, text)
    return found.group(1) if found else None
