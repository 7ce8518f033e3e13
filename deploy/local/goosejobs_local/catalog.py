"""The list of programs that the platform runs (binaries/catalog.toml), and how each is named in the cache."""

import hashlib
import platform
import tomllib
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

MODULES = Path(__file__).parent / "binaries"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoBuild(_Entry):
    """A package of one of the Go modules beside the catalog."""

    module: str
    package: str
    ldflags: str

    @property
    def directory(self) -> Path:
        """The module that pins it and everything it needs."""
        return MODULES / self.module


class Download(_Entry):
    """A release file that the project publishes; `member` is the binary inside, if it is an archive."""

    url: str
    checksum_url: str
    member: str = ""


class Npm(_Entry):
    """An npm package with the binary inside; integrity as in a package-lock.json."""

    package: str
    integrity: str
    member: str


class Binary(_Entry):
    """One program of the catalog; the file says what each field means."""

    name: str
    version: str
    accept: str
    version_args: tuple[str, ...]
    version_pattern: str
    go: GoBuild | None = None
    download: Download | None = None
    npm: dict[str, Npm] = {}

    @property
    def variable(self) -> str:
        """The environment variable that names a binary to use instead."""
        return f"GOOSEJOBS_BIN_{self.name.upper().replace('-', '_')}"

    def fill(self, template: str) -> str:
        """Put version, os and architecture into one of the catalog's texts."""
        return template.format(version=self.version, os="linux", arch=architecture())

    @cached_property
    def key(self) -> str:
        """Its directory in the cache: version, and a digest of all that decides what is inside."""
        origin = self.model_dump_json(include={"name", "version", "go", "npm"})
        digest = hashlib.sha256(f"{origin}{architecture()}".encode())
        if self.go:
            for name in ("go.mod", "go.sum"):
                digest.update((self.go.directory / name).read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


def architecture() -> str:
    """This machine's architecture as Go and the release files name it."""
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def load() -> dict[str, Binary]:
    """The catalog, by name."""
    entries = tomllib.loads((MODULES / "catalog.toml").read_text())
    return {name: Binary.model_validate({"name": name, **entry}) for name, entry in entries.items()}
