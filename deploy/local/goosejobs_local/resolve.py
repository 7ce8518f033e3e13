"""Finds each binary of the catalog, and makes it if need be.

In this order: the environment variable GOOSEJOBS_BIN_<NAME>; PATH, if the version fits; the cache; the
project's official download (not with GOOSEJOBS_OFFLINE=1); npm, or a build from pinned sources.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local import catalog
from goosejobs_local.catalog import Binary
from goosejobs_local.commands import Commands
from goosejobs_local.make import Maker, Unresolved, version_of
from goosejobs_local.progress import Report, silent


@dataclass(frozen=True)
class Resolved:
    """A binary that is there.

    Attributes:
        path: The file.
        version: What it says it is, or the catalog's version if it came from there.
        source: Where it was found, for people.
    """

    path: Path
    version: str
    source: str


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """GOOSEJOBS_CACHE, or goosejobs/ below XDG_CACHE_HOME, or ~/.cache/goosejobs."""
    if own := environ.get("GOOSEJOBS_CACHE"):
        return Path(own).absolute()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "goosejobs"


class Resolver:
    """Resolves binaries; safe to use from several processes at once: one makes a binary, the others wait."""

    def __init__(self, report: Report = silent, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._cache = cache_directory(environ)
        self._catalog = catalog.load()
        self._commands = Commands()
        self._maker = Maker(
            self._cache, self._commands, report, offline=_is_set(environ, "GOOSEJOBS_OFFLINE")
        )

    def resolve(self, names: Iterable[str]) -> dict[str, Resolved]:
        """Find binaries, and make those that are missing; builds and fetches go side by side.

        Raises:
            Unresolved: One cannot be had.
            KeyboardInterrupt: What was under way has ended.
        """
        wanted = [self._catalog[name] for name in names]
        found = {binary.name: self._find(binary) for binary in wanted}
        missing = [binary for binary in wanted if found[binary.name] is None]
        if missing:
            self._maker.make(missing)
        return {binary.name: found[binary.name] or self._made(binary) for binary in wanted}

    def _find(self, binary: Binary) -> Resolved | None:
        return self._from_environment(binary) or self._from_path(binary) or self._from_cache(binary)

    def _from_environment(self, binary: Binary) -> Resolved | None:
        value = self._environ.get(binary.variable)
        if not value:
            return None
        path = Path(value).absolute()
        if not os.access(path, os.X_OK) or not path.is_file():
            raise Unresolved(f"{binary.variable}={value}: there is no executable file")
        return Resolved(path, version_of(binary, path, self._commands) or "unknown", binary.variable)

    def _from_path(self, binary: Binary) -> Resolved | None:
        found = shutil.which(binary.name, path=self._environ.get("PATH"))
        version = version_of(binary, Path(found), self._commands) if found else None
        if not found or not version or not version.startswith(binary.accept):
            return None
        return Resolved(Path(found).absolute(), version, "PATH")

    def _from_cache(self, binary: Binary) -> Resolved | None:
        path = self._maker.place(binary)
        return Resolved(path, binary.version, "cache") if path.exists() else None

    def _made(self, binary: Binary) -> Resolved:
        resolved = self._from_cache(binary)
        if resolved is None:
            raise Unresolved(f"{binary.name} was made, but is not in {self._maker.place(binary).parent}")
        return resolved


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "") not in {"", "0"}
