"""Programs from Debian's packages, unpacked into our cache and run from there: nothing is installed.

apt chooses and fetches them, with lists of its own below the cache, from the sources that this machine is set
up with. What is installed already is not fetched again, so a root holds only what this machine lacks. The
packages' own scripts are not run.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from goosejobs_local.commands import CommandFailed, Commands
from goosejobs_local.progress import Progress, Report, silent
from goosejobs_local.resolve import cache_directory

_INSTALLED = Path("/var/lib/dpkg/status")
_PROGRAMS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_INST = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) .*?(?:\[(\w+)\])?\)", re.MULTILINE)


class NotDebian(Exception):
    """There is no apt here, or it fails; str() says what to do."""


@dataclass(frozen=True)
class Root:
    """Unpacked packages.

    Attributes:
        path: The directory that holds their `usr`, `etc`, ...
    """

    path: Path

    def which(self, program: str) -> Path | None:
        """A program, on this machine's PATH or in here."""
        found = shutil.which(program, path=self.environment(os.environ)["PATH"])
        return Path(found) if found else None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """PATH and LD_LIBRARY_PATH with which the programs in here run; this machine's come first."""
        folders = [str(self.path / folder) for folder in _PROGRAMS if (self.path / folder).is_dir()]
        libraries = sorted(
            {str(file.parent) for pattern in ("lib/*-linux-*", "usr/lib/*-linux-*")
             for file in self.path.glob(f"{pattern}/*.so*")}
        )  # fmt: skip
        path = base.get("PATH", os.defpath)
        return {
            "PATH": os.pathsep.join([path, "/usr/sbin", "/sbin", *folders]),
            **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}),
        }


def packages(names: Sequence[str], report: Report = silent, environ: Mapping[str, str] = os.environ) -> Root:
    """Fetch and unpack packages, with those that they need and this machine lacks; once for each set.

    Args:
        names: Of the packages; none gives an empty root.
        report: Told what is going on.
        environ: Says where the cache is.

    Raises:
        NotDebian: There is no apt here, or it cannot get them.
    """
    cache = cache_directory(environ) / "debian"
    if not names:
        return Root(cache / "none")
    wanted = sorted(set(names))
    asked = cache / "sets" / _digest(wanted, str(_INSTALLED.stat().st_mtime_ns if _INSTALLED.exists() else 0))
    if not asked.is_dir():
        _Apt(cache, report).unpack(wanted, asked)
    return Root(asked.resolve())


class _Apt:
    """apt with lists and archives of its own below the cache; it needs no root and changes no system."""

    def __init__(self, cache: Path, report: Report) -> None:
        self._cache, self._report, self._commands = cache, report, Commands()

    def unpack(self, names: Sequence[str], asked: Path) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise NotDebian(f"{', '.join(names)}: there is no apt here: install what these packages hold")
        for folder in ("apt/lists/partial", "apt/archives/partial", "roots", "sets"):
            (self._cache / folder).mkdir(parents=True, exist_ok=True)
        with FileLock(self._cache / "lock"):
            try:
                missing = self._missing(names)
                root = self._cache / "roots" / _digest(missing)
                if not root.is_dir():
                    self._fill(root, missing)
            except CommandFailed as error:
                raise NotDebian(
                    f"{', '.join(names)} cannot be had from Debian's packages: {error}"
                ) from error
            link = asked.with_suffix(f".{os.getpid()}")
            link.symlink_to(root)
            link.replace(asked)

    def _missing(self, names: Sequence[str]) -> list[str]:
        """What apt would install, as name=version."""
        simulate = ("-s", "--no-install-recommends", "install", *names)
        try:
            text = self._apt(*simulate)
        except CommandFailed:
            self._update()  # there is no list yet, or it has none of these
            text = self._apt(*simulate)
        return sorted(to_install(text))

    def _fill(self, root: Path, wanted: Sequence[str]) -> None:
        self._report(Progress("debian", f"fetching {len(wanted)} Debian packages"))
        with tempfile.TemporaryDirectory(dir=self._cache, prefix=".part-") as part:
            folder = Path(part)
            (folder / "root").mkdir(mode=0o755)
            if wanted:
                self._download(wanted, folder)
            for package in sorted(folder.glob("*.deb")):
                self._commands.output(["dpkg-deb", "-x", str(package), str(folder / "root")], env=os.environ)
            (folder / "root").rename(root)
        self._report(Progress("debian", f"unpacked {len(wanted)} Debian packages", finished=True))

    def _download(self, wanted: Sequence[str], folder: Path) -> None:
        try:
            self._apt("download", *wanted, cwd=folder)
        except CommandFailed:
            self._update()  # the lists may name versions that have gone since
            self._apt("download", *wanted, cwd=folder)

    def _update(self) -> None:
        self._report(Progress("debian", "reading Debian's package lists"))
        self._apt("update")

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        own = self._cache / "apt"
        options = {
            "Dir::State::lists": own / "lists",
            "Dir::Cache::archives": own / "archives",
            "Dir::Cache::pkgcache": own / "pkgcache.bin",
            "Dir::Cache::srcpkgcache": own / "srcpkgcache.bin",
            # root's cache is closed to apt's own user.
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "true",
        }
        flags = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
        env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return self._commands.output(["apt-get", "-q", *flags, *arguments], env=env, cwd=cwd)


def to_install(simulation: str) -> list[str]:
    """name=version of every package that `apt-get -s install` would install."""
    return [f"{name}={version}" for name, version, _ in _INST.findall(simulation)]


def _digest(names: Sequence[str], *more: str) -> str:
    return hashlib.sha256("\n".join([*names, *more]).encode()).hexdigest()[:16]
