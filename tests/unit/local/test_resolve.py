"""Where a program is looked for, and in which order."""

from pathlib import Path

import pytest

from goosejobs_local import catalog
from goosejobs_local.make import Unresolved
from goosejobs_local.resolve import Resolver, cache_directory

ETCD = catalog.load()["etcd"]


def program(path: Path, version: str = ETCD.version) -> Path:
    """A program that says it is etcd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'etcd Version: {version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """No program anywhere; nothing may be fetched, and what is looked for is never built."""
    return {
        "GOOSEJOBS_CACHE": str(tmp_path / "cache"),
        "GOOSEJOBS_OFFLINE": "1",
        "PATH": str(tmp_path / "path"),
    }


def cached(environ: dict[str, str]) -> Path:
    return Path(environ["GOOSEJOBS_CACHE"]) / "bin" / ETCD.key / "etcd"


def test_the_environment_variable_wins(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "path" / "etcd")
    program(cached(environ))
    own = program(tmp_path / "mine", "9.9.9")
    found = Resolver(environ={**environ, ETCD.variable: str(own)}).resolve(["etcd"])["etcd"]
    assert (found.path, found.version, found.source) == (own, "9.9.9", "GOOSEJOBS_BIN_ETCD")


def test_a_wrong_environment_variable_is_an_error_and_not_passed_over(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    program(cached(environ))
    with pytest.raises(Unresolved, match=r"GOOSEJOBS_BIN_ETCD=.*: there is no executable file"):
        Resolver(environ={**environ, ETCD.variable: str(tmp_path / "nothing")}).resolve(["etcd"])


@pytest.mark.parametrize(
    ("version", "source"), [("3.6.8", "PATH"), ("3.6.2", "PATH"), ("3.4.23", "cache"), ("3.60.1", "cache")]
)
def test_a_program_on_path_is_used_if_its_version_fits(
    tmp_path: Path, environ: dict[str, str], version: str, source: str
) -> None:
    program(tmp_path / "path" / "etcd", version)
    program(cached(environ))
    assert Resolver(environ=environ).resolve(["etcd"])["etcd"].source == source


def test_a_program_on_path_that_does_not_run_is_passed_over(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "path" / "etcd").write_text("#!/bin/sh\nexit 1\n")
    program(cached(environ))
    assert Resolver(environ=environ).resolve(["etcd"])["etcd"].source == "cache"


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory({}) == tmp_path / ".cache" / "goosejobs"
    assert cache_directory({"XDG_CACHE_HOME": "/x"}) == Path("/x/goosejobs")
    assert cache_directory({"XDG_CACHE_HOME": "/x", "GOOSEJOBS_CACHE": "/y"}) == Path("/y")
