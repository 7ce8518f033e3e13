"""Fetching released files: from a real server on loopback, always checked before they are used."""

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from goosejobs_local import download
from goosejobs_local.catalog import Binary, Download
from goosejobs_local.commands import Cancelled, Commands
from goosejobs_local.download import DownloadFailed
from goosejobs_local.progress import Progress, silent

CONTENT = b"#!/bin/sh\necho thing 1.2.3\n" + b"#" * 3_000_000


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder, in silence."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the server has."""
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The address of a server on loopback."""
    httpd = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=str(folder))
    )
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def thing(server: str, file: str, member: str = "") -> Binary:
    """A program that the server publishes."""
    return Binary(
        name="thing",
        version="1.2.3",
        accept="1.2.",
        version_args=(),
        version_pattern=r"thing (\S+)",
        download=Download(url=f"{server}/v{{version}}/{file}", checksum_url=f"{server}/sums", member=member),
    )


def publish(folder: Path, name: str, content: bytes, checksum: str | None = None) -> None:
    """Put a file on the server, and its checksum."""
    (folder / "v1.2.3").mkdir()
    (folder / "v1.2.3" / name).write_bytes(content)
    (folder / "sums").write_text(f"{checksum or hashlib.sha256(content).hexdigest()}  {name}\n")


def tarball(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_program_is_fetched_and_can_be_run(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "thing", CONTENT)
    seen: list[Progress] = []
    assert download.official(thing(server, "thing"), tmp_path / "thing", Commands(), seen.append)
    assert (tmp_path / "thing").read_bytes() == CONTENT
    assert (tmp_path / "thing").stat().st_mode & 0o111 == 0o111
    assert any(progress.unit == "MB" and progress.done for progress in seen)


def test_a_program_is_taken_out_of_its_archive(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "thing.tar.gz", tarball("thing-1.2.3/thing", CONTENT))
    binary = thing(server, "thing.tar.gz", member="thing-{version}/thing")
    assert download.official(binary, tmp_path / "thing", Commands(), silent)
    assert (tmp_path / "thing").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["thing"]


def test_an_archive_without_the_program_is_refused(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "thing.tar.gz", tarball("other", CONTENT))
    with pytest.raises(DownloadFailed, match="cannot be unpacked"):
        download.official(
            thing(server, "thing.tar.gz", member="thing"), tmp_path / "thing", Commands(), silent
        )


def test_a_file_with_another_checksum_is_refused(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "thing", CONTENT, checksum="0" * 64)
    with pytest.raises(DownloadFailed, match="hash"):
        download.official(thing(server, "thing"), tmp_path / "thing", Commands(), silent)
    assert not (tmp_path / "thing").exists()


def test_a_file_that_is_not_there_is_an_error(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "other", CONTENT)
    with pytest.raises(DownloadFailed, match="does not name thing"):
        download.official(thing(server, "thing"), tmp_path / "thing", Commands(), silent)


def test_a_download_can_be_interrupted(folder: Path, server: str, tmp_path: Path) -> None:
    publish(folder, "thing", CONTENT)
    commands = Commands()
    with pytest.raises(Cancelled):
        download.official(thing(server, "thing"), tmp_path / "thing", commands, lambda _: commands.cancel())
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_host_that_does_not_answer_is_not_an_error(tmp_path: Path) -> None:
    assert not download.official(thing("http://127.0.0.1:1", "thing"), tmp_path / "thing", Commands(), silent)


def test_only_https_is_asked_outside_this_machine(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="not an https:// address"):
        download.official(thing("http://example.com", "thing"), tmp_path / "thing", Commands(), silent)


@pytest.mark.parametrize(
    "text",
    [
        "aB1\n",
        "ab1  thing\n",
        "ff  other\nab1 *thing\n",
        "\nff  thing.asc\nab1  thing\n",
    ],
)
def test_a_checksum_is_found_however_projects_write_it(text: str) -> None:
    assert download.find_checksum(text, "thing") == "ab1"


def test_an_npm_package_must_be_the_one_that_was_published(tmp_path: Path) -> None:
    file = tmp_path / "package.tgz"
    file.write_bytes(CONTENT)
    good = "sha512-" + base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()
    download.check_integrity(file, good)
    file.write_bytes(CONTENT + b"!")
    with pytest.raises(DownloadFailed, match="not the file that was published"):
        download.check_integrity(file, good)
