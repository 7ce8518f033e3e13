"""Building a program, a tiny one, from its pinned sources with the real Go."""

import base64
import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from goosejobs_local import download
from goosejobs_local.catalog import Binary, Download, GoBuild
from goosejobs_local.commands import Cancelled, Commands
from goosejobs_local.make import Maker, Unresolved
from goosejobs_local.progress import Progress, silent

VERSION = "1.2.3"
WAITING = "waiting for another goosejobs that makes it"


class Nothing(BaseHTTPRequestHandler):
    """A server that answers, but has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 -- the name that http.server calls

    def log_message(self, *_: object) -> None:
        """In silence."""


class Registry(BaseHTTPRequestHandler):
    """A module registry with one module, which owes the first answer for its sources."""

    MODULE = "example.com/greeting"
    FILES: ClassVar = {
        "go.mod": b"module example.com/greeting\n\ngo 1.25.0\n",
        "greeting.go": b'package greeting\n\nconst Word = "tiny"\n',
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind = self.path.rpartition(".")[2]
        if kind == "zip" and self.asked.count(self.path) == 1:
            self.send_error(503)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self._zip() if kind == "zip" else self._text(kind))

    def _text(self, kind: str) -> bytes:
        return self.FILES["go.mod"] if kind == "mod" else b'{"Version": "v1.0.0"}'

    def _zip(self) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, content in self.FILES.items():
                archive.writestr(f"{self.MODULE}@v1.0.0/{name}", content)
        return data.getvalue()

    @classmethod
    def sums(cls) -> str:
        """What go.sum says of it."""
        whole = {f"{cls.MODULE}@v1.0.0/{name}": content for name, content in cls.FILES.items()}
        return (
            f"{cls.MODULE} v1.0.0 {_h1(whole)}\n"
            f"{cls.MODULE} v1.0.0/go.mod {_h1({'go.mod': cls.FILES['go.mod']})}\n"
        )

    def log_message(self, *_: object) -> None:
        """In silence."""


def _h1(files: dict[str, bytes]) -> str:
    """Go's hash of a tree: golang.org/x/mod/sumdb/dirhash, Hash1."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


@pytest.fixture
def empty_build_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go has built nothing yet."""
    monkeypatch.setenv("GOCACHE", str(tmp_path / "go-build"))


@pytest.fixture
def tiny(tmp_path: Path) -> Binary:
    """A program that prints the version which the linker put into it."""
    return write(tmp_path, 'var version = "none"\n\nfunc main() { println("tiny", version) }')


def write(tmp_path: Path, source: str) -> Binary:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/tiny\n\ngo 1.25.0\n")
    (module / "go.sum").touch()
    (module / "main.go").write_text(f"package main\n\n{source}\n")
    return Binary(
        name="tiny",
        version=VERSION,
        accept="1.2.",
        version_args=(),
        version_pattern=r"tiny (\S+)",
        go=GoBuild(module=str(module), package="example.com/tiny", ldflags="-X main.version={version}"),
    )


def maker(tmp_path: Path, commands: Commands | None = None, report: "list[Progress] | None" = None) -> Maker:
    say = silent if report is None else report.append
    return Maker(tmp_path / "cache", commands or Commands(), say, offline=True)


def packages(seen: list[Progress]) -> list[Progress]:
    return [progress for progress in seen if progress.unit == "packages"]


@pytest.mark.usefixtures("empty_build_cache")
def test_a_program_is_built_with_its_version_and_every_package_is_told(tmp_path: Path, tiny: Binary) -> None:
    seen: list[Progress] = []
    one = maker(tmp_path, report=seen)
    one.make([tiny])
    assert one.place(tiny).exists()
    first, last = packages(seen)[0], packages(seen)[-1]
    assert (first.done, last.done) == (0, last.total)
    assert last.total > 20  # the runtime at least
    assert seen[-1] == Progress("module", "built tiny 1.2.3", finished=True)


@pytest.mark.usefixtures("empty_build_cache")
def test_what_was_built_before_an_interruption_is_not_built_again(tmp_path: Path, tiny: Binary) -> None:
    commands, seen = Commands(), []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.done > 10:
            commands.cancel()

    with pytest.raises(Cancelled):
        Maker(tmp_path / "cache", commands, interrupt, offline=True).make([tiny])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["locks"]

    again: list[Progress] = []
    maker(tmp_path, report=again).make([tiny])
    assert packages(again)[0].total < packages(seen)[0].total


def test_of_two_that_want_the_same_program_one_builds_it_and_the_other_waits(
    tmp_path: Path, tiny: Binary
) -> None:
    seen: list[Progress] = []
    waits = threading.Event()

    def hear(progress: Progress) -> None:
        """Whoever makes it goes on once the other one has come."""
        seen.append(progress)
        if progress.text == WAITING:
            waits.set()
        waits.wait(60)

    makers = [Maker(tmp_path / "cache", Commands(), hear, offline=True) for _ in range(2)]
    threads = [threading.Thread(target=one.make, args=[[tiny]]) for one in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [progress.text for progress in seen]
    assert texts.count(WAITING) == 1
    assert texts.count("built tiny 1.2.3") == 1


def test_a_download_that_goes_wrong_is_told_and_the_program_is_built_instead(
    tmp_path: Path, tiny: Binary, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A host that is slower than that is not asked at all, and nothing is told.
    monkeypatch.setattr(download, "PROBE_SECONDS", 60.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        address = f"http://127.0.0.1:{server.server_port}"
        published = Download(url=f"{address}/tiny", checksum_url=f"{address}/sums")
        seen: list[Progress] = []
        one = Maker(tmp_path / "cache", Commands(), seen.append, offline=False)
        one.make([tiny.model_copy(update={"download": published})])
        server.shutdown()
    assert one.place(tiny).exists()
    told = [progress.text for progress in seen if progress.text.endswith(": building it instead")]
    assert told == [f"{address}/tiny: HTTP Error 404: Not Found: building it instead"]


@pytest.mark.usefixtures("empty_build_cache")
def test_sources_that_a_registry_owes_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = write(
        tmp_path,
        'import "example.com/greeting"\n\nvar version = "none"\n\n'
        "func main() { println(greeting.Word, version) }",
    )
    module = tmp_path / "module"
    with (module / "go.mod").open("a") as file:
        file.write(f"\nrequire {Registry.MODULE} v1.0.0\n")
    (module / "go.sum").write_text(Registry.sums())
    Registry.asked.clear()
    seen: list[Progress] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("GOPROXY", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GONOSUMDB", Registry.MODULE)
        monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
        one = maker(tmp_path, report=seen)
        one.make([binary])
        server.shutdown()
    assert one.place(binary).exists()
    assert [progress.text for progress in seen].count("its sources were not to be had: trying again") == 1


def test_a_program_that_does_not_compile_is_told_in_the_compilers_words(tmp_path: Path) -> None:
    with pytest.raises(Unresolved, match=r"(?s)tiny cannot be built: `.*go build.*undefined: nonsense"):
        maker(tmp_path).make([write(tmp_path, "func main() { nonsense() }")])


def test_a_program_that_is_not_what_it_should_be_does_not_reach_the_cache(tmp_path: Path) -> None:
    one = maker(tmp_path)
    wrong = write(tmp_path, 'func main() { println("tiny 9.9.9") }')
    with pytest.raises(Unresolved, match=r"the tiny just built says it is version 9.9.9, not 1.2.3"):
        one.make([wrong])
    assert not one.place(wrong).exists()
