"""Reads a docker-archive: what a container of the image would find."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

_WHITEOUT = ".wh."


@dataclass(frozen=True)
class Archive:
    """An image in a file."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its whole configuration, history included."""
        found: dict[str, Any] = json.loads(self._read(self._manifest["Config"]))
        return found

    @cached_property
    def files(self) -> dict[str, tarfile.TarInfo]:
        """What is at each path, without a slash at the front; of several layers the last one counts."""
        found: dict[str, tarfile.TarInfo] = {}
        for layer in self._layers():
            for member in layer:
                path = PurePosixPath(member.name)
                if path.name.startswith(_WHITEOUT):
                    gone = str(path.with_name(path.name.removeprefix(_WHITEOUT)))
                    found = {
                        name: info
                        for name, info in found.items()
                        if name != gone and not name.startswith(f"{gone}/")
                    }
                else:
                    found[str(path)] = member
        return found

    @cached_property
    def size(self) -> int:
        """Bytes in all layers: what a node has to keep."""
        return sum(info.size for layer in self._layers() for info in layer)

    def contents(self, path: str) -> list[bytes]:
        """A file as each layer that has it holds it."""
        return [
            stream.read()
            for layer in self._layers()
            for member in layer
            if str(PurePosixPath(member.name)) == path and (stream := layer.extractfile(member))
        ]

    @cached_property
    def _manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._read("manifest.json"))[0]
        return found

    def _read(self, name: str) -> bytes:
        with tarfile.open(self.path) as tar:
            stream = tar.extractfile(name)
            assert stream is not None
            return stream.read()

    def _layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.path) as tar:
            for name in self._manifest["Layers"]:
                with tarfile.open(fileobj=tar.extractfile(name)) as layer:
                    yield layer
