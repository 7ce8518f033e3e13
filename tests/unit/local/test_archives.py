"""Images made by hand: what containerd reads, and the same from the same files."""

import hashlib
import json
import tarfile
from pathlib import Path

from goosejobs_local import images
from goosejobs_local.images import Entry


def content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


def test_a_layer_depends_on_nothing_but_its_files(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!")
    images.layer([Entry(program, "/usr/bin/program")], tmp_path / "one.tar")
    program.touch()
    images.layer([Entry(program, "/usr/bin/program")], tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        [info] = tar.getmembers()
    assert (info.name, info.mode, info.uid, info.mtime) == ("usr/bin/program", 0o755, 0, 0)


def test_an_archive_names_the_image_its_layers_and_its_configuration(tmp_path: Path) -> None:
    layers = [tmp_path / "base.tar", tmp_path / "top.tar"]
    for path in layers:
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo(path.stem))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in layers]
    target = tmp_path / "made" / "image.tar"
    images.archive("localhost/x:1", layers, {"Entrypoint": ["x"]}, target)
    [image] = json.loads(content(target, "manifest.json"))
    config = json.loads(content(target, image["Config"]))
    assert image["RepoTags"] == ["localhost/x:1"]
    assert [content(target, name) for name in image["Layers"]] == [path.read_bytes() for path in layers]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
    assert config["config"] == {"Entrypoint": ["x"]}
    assert [path.name for path in target.parent.iterdir()] == ["image.tar"]
