"""Fetches released binaries, the projects' own and goose's npm package, and checks their digests."""

import base64
import functools
import hashlib
import hmac
import http.client
import os
import shutil
import tarfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from goosejobs_local.catalog import Binary, Npm
from goosejobs_local.commands import CommandFailed, Commands
from goosejobs_local.progress import Progress, Report

PROBE_SECONDS = 3.0
_STALL_SECONDS = 30.0
_CHUNK = 1 << 20


class DownloadFailed(Exception):
    """A file could not be had, or is not what it should be; str() is a sentence."""


def official(binary: Binary, target: Path, commands: Commands, report: Report) -> bool:
    """Fetch a binary from where its project publishes it, if that can be reached at all.

    Args:
        binary: Which.
        target: The file to write; its directory exists.
        commands: Its `cancel` ends this, too.
        report: Told about every megabyte.

    Returns:
        Whether it was fetched; False when the host does not answer within three seconds.

    Raises:
        Cancelled: `commands.cancel` was called.
        DownloadFailed: It answers, but the file is missing or does not match its checksum.
    """
    if binary.download is None:
        return False
    url, checksum_url = binary.fill(binary.download.url), binary.fill(binary.download.checksum_url)
    for address in (url, checksum_url):
        if not address.startswith(("https://", "http://127.0.0.1:")):
            raise DownloadFailed(f"{address} is not an https:// address")
    if not _reachable(urllib.parse.urlsplit(url)._replace(path="/", query="").geturl()):
        return False
    report(Progress(binary.name, "downloading"))
    # Late, because it is slow to load, and hardly ever needed.
    import pooch  # noqa: PLC0415

    try:
        digest = find_checksum(_get(checksum_url), url.rpartition("/")[2])
        archive = Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{digest}",
                fname=f"{target.name}.download",
                path=target.parent,
                downloader=pooch.HTTPDownloader(
                    progressbar=_Bar(binary.name, commands, report), timeout=_STALL_SECONDS, chunk_size=_CHUNK
                ),
            )
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        # requests' exceptions are OSErrors; pooch says ValueError for a wrong digest.
        raise DownloadFailed(f"{url}: {error}") from error
    if binary.download.member:
        extract(archive, binary.fill(binary.download.member), target)
        archive.unlink()
    else:
        archive.rename(target)
        target.chmod(0o755)
    return True


def from_npm(binary: Binary, package: Npm, target: Path, commands: Commands, report: Report) -> None:
    """Fetch a binary out of an npm package, checked against the integrity value of the catalog.

    Raises:
        DownloadFailed: npm is missing or fails, or the package is not the one that the catalog means.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadFailed(
            f"{binary.name} comes from npm, and there is no npm here: install Node.js, "
            f"or put {binary.name} {binary.version} on PATH, or name it in {binary.variable}"
        )
    report(Progress(binary.name, "fetching from npm"))
    name = f"{package.package}@{binary.version}"
    argv = [npm, "pack", name, "--json", "--loglevel=error", f"--pack-destination={target.parent}"]
    try:
        commands.output(argv, env={**os.environ, "npm_config_update_notifier": "false"}, cwd=target.parent)
    except CommandFailed as error:
        raise DownloadFailed(f"{name} could not be fetched from npm: {error}") from error
    archives = list(target.parent.glob("*.tgz"))
    if len(archives) != 1:
        raise DownloadFailed(f"npm pack of {name} left {len(archives)} packages instead of one")
    report(Progress(binary.name, "checking and unpacking"))
    check_integrity(archives[0], package.integrity)
    extract(archives[0], package.member, target)
    archives[0].unlink()


def find_checksum(text: str, file_name: str) -> str:
    """The sha256 of a file in a checksum file: lines of `digest  name`, or one lone digest.

    Raises:
        ValueError: It is not in there.
    """
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0].lower()
    for row in rows:
        if len(row) == 2 and row[1].lstrip("*") == file_name:
            return row[0].lower()
    raise ValueError(f"the official checksum file does not name {file_name}")


def check_integrity(file: Path, integrity: str) -> None:
    """Compare a file with an integrity value (`sha512-<base64>`).

    Raises:
        DownloadFailed: They differ.
    """
    algorithm, _, expected = integrity.partition("-")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, algorithm).digest()
    if not hmac.compare_digest(base64.b64encode(digest).decode(), expected):
        raise DownloadFailed(
            f"{file.name} does not match its checksum: it is not the file that was published"
        )


def extract(archive: Path, member: str, target: Path) -> None:
    """Write one file of a tar archive to `target`, executable.

    Raises:
        DownloadFailed: It is not in there, or the archive is broken.
    """
    try:
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            if source is None:
                raise DownloadFailed(f"{member} in {archive.name} is not a file")
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DownloadFailed(f"{archive.name} cannot be unpacked: {error}") from error
    target.chmod(0o755)


@functools.cache
def _reachable(url: str) -> bool:
    """Whether a host answers HTTP at all, within PROBE_SECONDS, name lookup included; asked once."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with _open(url, "HEAD", PROBE_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an answer, even if there is nothing at the root
        except OSError:
            return

    # A name lookup has no timeout of its own; a thread that hangs in one does not keep us.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()


def _get(url: str) -> str:
    with _open(url, "GET", _STALL_SECONDS) as answer:
        return str(answer.read(1 << 20).decode())


def _open(url: str, method: str, timeout: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, method=method)  # noqa: S310 -- `official` checked the scheme
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    return answer


class _Bar:
    """Gives pooch's progress (the interface of a tqdm bar) to a Report, a megabyte at a time."""

    def __init__(self, task: str, commands: Commands, report: Report) -> None:
        self.total: float = 0
        self._task, self._commands, self._report, self._bytes = task, commands, report, 0

    def update(self, count: int) -> None:
        """So many bytes more; the place to stop, if we are told to."""
        self._commands.check()
        before, self._bytes = self._bytes, self._bytes + count
        if before // _CHUNK != self._bytes // _CHUNK:
            self._report(
                Progress(self._task, "downloading", self._bytes // _CHUNK, int(self.total) // _CHUNK, "MB")
            )

    def reset(self) -> None:
        """Pooch calls this at the end, to show a full bar."""

    def close(self) -> None:
        """Pooch calls this at the end."""
