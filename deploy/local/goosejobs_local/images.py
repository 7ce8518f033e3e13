"""Container images made and read without a registry: archives that `ctr images import` takes."""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goosejobs_local.catalog import architecture

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file of this machine in an image.

    Attributes:
        source: The file here.
        target: Its path in the image.
        mode: Its permissions.
    """

    source: Path
    target: str
    mode: int = 0o755


def layer(entries: Iterable[Entry], target: Path) -> None:
    """Write a layer that holds these files, root's, without times: the same files give the same layer."""
    with tarfile.open(target, "w") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.target.lstrip("/"))
            info.size, info.mode = entry.source.stat().st_size, entry.mode
            with entry.source.open("rb") as file:
                tar.addfile(info, file)


def archive(reference: str, layers: Iterable[Path], settings: Mapping[str, object], target: Path) -> None:
    """Write an image as a docker-archive; the file is there whole or not at all.

    Args:
        reference: The image's name, with a tag.
        layers: Uncompressed tar files, the lowest first.
        settings: `Entrypoint`, `Env`, `User`, ... as in the image's configuration.
        target: The archive.
    """
    digests = {path: _digest(path) for path in layers}
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": dict(settings),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests.values()]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    files = [f"{digest}.tar" for digest in digests.values()]
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": files}]).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        part = Path(folder) / "image.tar"
        with tarfile.open(part, "w") as tar:
            for path, file in zip(digests, files, strict=True):
                with path.open("rb") as stream:
                    _add(tar, file, stream, path.stat().st_size)
            _add(tar, name, io.BytesIO(config), len(config))
            _add(tar, "manifest.json", io.BytesIO(manifest), len(manifest))
        part.replace(target)


def _add(tar: tarfile.TarFile, name: str, stream: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, stream)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
