"""buildah: builds Dockerfiles without a daemon, in a store of its own below the cache. Root on Linux only."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local.commands import CommandFailed, Commands
from goosejobs_local.debian import Root, packages
from goosejobs_local.progress import Progress, Report, silent

_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
"""All that is ever pulled is an archive that we wrote; there are no signatures to ask for."""
_STEP = re.compile(r"(\[\d+/\d+\] )?STEP \d+/\d+")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY")


class BuildFailed(Exception):
    """An image cannot be built; str() is a sentence, and the end of what buildah printed."""


@dataclass(frozen=True)
class Source:
    """What to build.

    Attributes:
        context: The folder that COPY copies from.
        dockerfile: The file.
        target: The stage to build; empty: the last.
        arguments: For ARG.
    """

    context: Path
    dockerfile: Path
    target: str = ""
    arguments: Mapping[str, str] | None = None


class Buildah:
    """One store of images and layers.

    Args:
        store: Its folder; whoever uses it holds a lock.
        report: Told each step.
        environ: Says where the cache is, and which package indexes and certificates this machine uses.
    """

    def __init__(self, store: Path, report: Report = silent, environ: Mapping[str, str] = os.environ) -> None:
        self._store, self._report, self._environ = store, report, environ
        self._commands = Commands()

    def build(self, reference: str, source: Source) -> None:
        """Build an image; layers that are in the store already are not built again.

        Raises:
            BuildFailed: A step fails.
            NotDebian: There is no buildah, and it cannot be had.
        """
        argv = [
            "build",
            "--isolation=chroot",
            "--network=host",
            "--layers",
            "--pull-never",
            "--format=docker",
        ]
        argv += [f"--signature-policy={self._policy()}", f"--file={source.dockerfile}", f"--tag={reference}"]
        argv += [f"--build-arg={name}={value}" for name, value in (source.arguments or {}).items()]
        # Without a value it is taken from the environment, so that no index's password is in an argument.
        argv += [f"--build-arg={name}" for name in _PASSED_ON if self._environ.get(name)]
        argv += [f"--secret=id={name},src={path}" for name, path in secrets(self._environ).items()]
        argv += [f"--target={source.target}"] if source.target else []
        self._run([*argv, str(source.context)], f"building {reference}")

    def clear(self) -> None:
        """Remove the containers that builds have left which were cut short."""
        self._run(["rm", "--all"], "clearing the store")

    def has(self, reference: str) -> bool:
        """Whether an image is in the store."""
        try:
            self._run(["inspect", "--type=image", reference], "")
        except BuildFailed:
            return False
        return True

    def export(self, reference: str, archive: Path) -> None:
        """Write an image as a docker-archive that `ctr images import` takes; whole or not at all.

        Raises:
            BuildFailed: It is not there, or there is no room.
        """
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".part-") as folder:
            part = Path(folder) / "image.tar"
            to = f"docker-archive:{part}:{reference}"
            policy = f"--signature-policy={self._policy()}"
            self._run(["push", "--quiet", policy, reference, to], f"packing {reference}")
            part.replace(archive)

    def _run(self, arguments: Sequence[str], text: str) -> None:
        options = [f"--root={self._store / 'data'}", f"--runroot={self._store / 'run'}"]
        options += [f"--registries-conf={self._registries()}"]
        # It leaves mounts behind; in a namespace of its own they end with it.
        argv = ["unshare", "--mount", str(self._program()), *options, *arguments]
        env = {**self._environ, "TMPDIR": str(self._store)}
        try:
            for line in self._commands.lines(argv, env=env):
                if step := _STEP.match(line):
                    self._report(Progress("images", f"{text}: {step[0].lower()}"))
        except CommandFailed as error:
            raise BuildFailed(f"{text} failed: {error}") from error

    def _program(self) -> Path:
        """Buildah of this machine, or one from Debian's packages that finds its libraries by itself.

        It starts itself again with an empty environment, so that LD_LIBRARY_PATH does not do.
        """
        found = shutil.which("buildah", path=self._environ.get("PATH"))
        if found:
            return Path(found)
        tools = packages(["buildah", "patchelf"], self._report, self._environ)
        program = self._store / f"buildah-{tools.path.name}"
        if not program.exists():
            _with_libraries(tools, program, self._commands)
        return program

    def _policy(self) -> Path:
        return self._file("policy.json", _POLICY)

    def _registries(self) -> Path:
        return self._file("registries.conf", "unqualified-search-registries = []\n")

    def _file(self, name: str, text: str) -> Path:
        path = self._store / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path


def secrets(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files by which package clients on this machine reach their indexes, by the Dockerfiles' names."""
    home = Path(environ.get("HOME", "/root"))
    wanted = {
        "ca-certificates": Path(environ.get("SSL_CERT_FILE") or _AUTHORITIES),
        "netrc": Path(environ.get("NETRC") or home / ".netrc"),
        "npmrc": home / ".npmrc",
    }
    return {name: path for name, path in wanted.items() if path.is_file()}


def _with_libraries(tools: Root, target: Path, commands: Commands) -> None:
    env = {**os.environ, **tools.environment(os.environ)}
    program, patchelf = tools.which("buildah"), tools.which("patchelf")
    if program is None or patchelf is None:
        raise BuildFailed("the packages buildah and patchelf hold no such programs: install buildah")
    part = target.with_suffix(".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, part)
    libraries = env.get("LD_LIBRARY_PATH", "")
    if libraries:
        # --force-rpath: for the libraries' own libraries, too.
        commands.output([str(patchelf), "--force-rpath", "--set-rpath", libraries, str(part)], env=env)
    part.rename(target)
