"""This project's own images, built from its Dockerfiles on a Debian made here; kept in the cache.

The key is what decides what is in an image: its Dockerfile, the files that this copies, and the base.
"""

import hashlib
import os
import shutil
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from goosejobs_local import baseimage, catalog
from goosejobs_local.buildah import Buildah, BuildFailed, Source
from goosejobs_local.progress import Progress, Report, silent
from goosejobs_local.resolve import cache_directory

CHECKOUT = Path(__file__).parents[3]
_IGNORED = "__pycache__"
_PREFIX = "localhost/goosejobs"
_UNUSED_SECONDS = 1800.0
_LARGEST_STORE = 6 << 30
"""Bytes. It has 2 GB after the first build, and grows with each change of the sources."""


@dataclass(frozen=True)
class Image:
    """One of our images.

    Attributes:
        name: As in its reference.
        dockerfile: Below the checkout.
        target: The Dockerfile's stage; empty: the last.
        suffix: What its tag has after the version.
    """

    name: str
    dockerfile: str
    target: str = ""
    suffix: str = ""

    @property
    def reference(self) -> str:
        """Its name on a node; no registry is asked for it."""
        version = catalog.load()["goose"].version if self.name == "goose" else _version()
        return f"{_PREFIX}/{self.name}:{version}{self.suffix}"


OPERATOR = Image("operator", "operator/Dockerfile")
WORKER = Image("worker", "worker/Dockerfile")
WORKER_SLIM = Image("worker", "worker/Dockerfile", "slim", "-slim")
GOOSE = Image("goose", "worker/Dockerfile", "goose")


def build(
    images: Iterable[Image], report: Report = silent, environ: Mapping[str, str] = os.environ
) -> dict[Image, Path]:
    """Archives of images, each made once for the same content; `ctr images import` takes them.

    Args:
        images: Which.
        report: Told what is going on.
        environ: Says where the cache is, and how package indexes are reached.

    Raises:
        BuildFailed: A step of a Dockerfile fails, this is not run from a checkout, or not by root.
        NotDebian: The base or buildah cannot be had.
    """
    if not (CHECKOUT / OPERATOR.dockerfile).exists():
        raise BuildFailed("images are built from a checkout of the project; this is an installed package")
    if os.geteuid() != 0:
        raise BuildFailed("images are built as root: a build step has files of several users")
    base = baseimage.base_layer(report, environ)
    folder = cache_directory(environ) / "images"
    archives = {image: _archive(image, base) for image in images}
    with FileLock(folder / "build.lock"):
        missing = [image for image in archives if not archives[image].exists()]
        if missing:
            buildah = Buildah(_store(folder, base), report, environ)
            buildah.clear()
            arguments = {"BASE_IMAGE": _base(buildah, base), "VERSION": _version()}
            for image in missing:
                _make(image, buildah, arguments, archives[image])
                report(Progress("images", f"built {image.reference}", finished=True))
        _remove_unused(folder, archives.values())
    return archives


def cache_key(dockerfile: str, checkout: Path, *more: str, target: str = "") -> str:
    """A digest of a Dockerfile and of all files that it copies, with their paths and permissions.

    Args:
        dockerfile: Its text.
        checkout: What it copies from.
        more: What else decides what is in the image.
        target: The stage to build; empty: the last.
    """
    digest = hashlib.sha256("\0".join([dockerfile, target, *more]).encode())
    for source in copied(dockerfile, target):
        for path in _files(checkout / source):
            mode = path.stat().st_mode & 0o777
            digest.update(f"\0{path.relative_to(checkout)} {mode:o}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def copied(dockerfile: str, target: str = "") -> list[str]:
    """The paths of the context that go into a stage, or into one that it is made from."""
    copies: dict[str, list[str]] = {}
    needs: dict[str, set[str]] = {}
    stage = ""
    for line in dockerfile.replace("\\\n", " ").splitlines():
        match line.split():
            case ["FROM", parent, *alias]:
                stage = alias[1] if alias else str(len(copies))
                copies[stage], needs[stage] = [], {parent}
            case ["COPY", first, *_] if first.startswith("--from="):
                needs[stage].add(first.removeprefix("--from="))
            case ["COPY", *paths, _]:
                copies[stage] += paths
    wanted: list[str] = [target or stage]
    for name in wanted:
        wanted += [need for need in sorted(needs.get(name, set())) if need not in wanted]
    return sorted({path for name in wanted for path in copies.get(name, [])})


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and _IGNORED not in file.parts)


def _archive(image: Image, base: Path) -> Path:
    text = (CHECKOUT / image.dockerfile).read_text()
    key = cache_key(text, CHECKOUT, image.reference, _identity(base), target=image.target)
    return base.with_name(f"image-{image.name}{image.suffix}-{key}.tar")


def _make(image: Image, buildah: Buildah, arguments: Mapping[str, str], archive: Path) -> None:
    source = Source(CHECKOUT, CHECKOUT / image.dockerfile, image.target, arguments)
    buildah.build(image.reference, source)
    buildah.export(image.reference, archive)


def _remove_unused(folder: Path, used: Iterable[Path]) -> None:
    """Archives of other content go when nobody has asked for them for a while; others may be reading them."""
    for archive in used:
        os.utime(archive)
    for archive in folder.glob("image-*.tar"):
        if time.time() - archive.stat().st_mtime > _UNUSED_SECONDS:
            archive.unlink()


def _base(buildah: Buildah, base: Path) -> str:
    reference = f"{_PREFIX}/base:{base.stem}"
    if not buildah.has(reference):
        dockerfile = base.with_suffix(".Dockerfile")
        dockerfile.write_text(f"FROM scratch\nADD {base.name} /\n")
        buildah.build(reference, Source(base.parent, dockerfile))
    return reference


def _store(folder: Path, base: Path) -> Path:
    """The store of what is built on this base; it begins anew when it has grown too large."""
    store = folder / f"store-{hashlib.sha256(_identity(base).encode()).hexdigest()[:12]}"
    for old in folder.glob("store-*"):
        if old != store or _size(old) > _LARGEST_STORE:
            shutil.rmtree(old)
    store.mkdir(parents=True, exist_ok=True)
    return store


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _identity(base: Path) -> str:
    return f"{base.name} {base.stat().st_mtime_ns}"


def _version() -> str:
    version: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    return version
