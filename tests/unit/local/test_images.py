"""Which files decide what is in an image, and what its build is told of this machine."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from goosejobs_local.buildah import secrets
from goosejobs_local.imagebuild import (
    CHECKOUT,
    GOOSE,
    OPERATOR,
    WORKER,
    WORKER_SLIM,
    Image,
    cache_key,
    copied,
)

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS base
FROM base AS build
COPY lock ./
COPY src \\
     more/ ./
FROM base AS other
COPY elsewhere ./
FROM base AS small
COPY --from=build /out /out
FROM small
COPY --from=other /other /other
"""


def test_an_image_is_decided_by_what_goes_into_its_stage() -> None:
    assert copied(DOCKERFILE, "small") == ["lock", "more/", "src"]


def test_the_last_stage_is_built_unless_one_is_named() -> None:
    assert copied(DOCKERFILE) == ["elsewhere", "lock", "more/", "src"]
    assert copied(DOCKERFILE, "base") == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("lock", "src/a.py", "more/b.py", "elsewhere/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def _small_key(checkout: Path) -> str:
    return cache_key(DOCKERFILE, checkout, target="small")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda checkout: (checkout / "src/a.py").write_text("other"),
    "name": lambda checkout: (checkout / "src/a.py").rename(checkout / "src/z.py"),
    "permissions": lambda checkout: (checkout / "lock").chmod(0o755),
    "a new file": lambda checkout: (checkout / "more/new").write_text(""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_key_changes_with_every_copied_file(checkout: Path, change: Callable[[Path], object]) -> None:
    before = _small_key(checkout)
    assert _small_key(checkout) == before
    change(checkout)
    assert _small_key(checkout) != before


def test_the_key_does_not_change_with_what_is_not_copied(checkout: Path) -> None:
    before = _small_key(checkout)
    (checkout / "elsewhere/c.py").write_text("other")
    (checkout / "src/__pycache__").mkdir()
    (checkout / "src/__pycache__/a.pyc").write_text("")
    assert _small_key(checkout) == before


def test_the_key_changes_with_the_dockerfile_and_the_base(checkout: Path) -> None:
    keys = {
        _small_key(checkout),
        cache_key(DOCKERFILE + "USER 1\n", checkout, target="small"),
        cache_key(DOCKERFILE, checkout, "another base", target="small"),
        cache_key(DOCKERFILE, checkout),
    }
    assert len(keys) == 4


OURS = {"operator": OPERATOR, "worker": WORKER, "slim": WORKER_SLIM, "goose": GOOSE}


@pytest.mark.parametrize("image", OURS.values(), ids=OURS)
def test_all_that_our_dockerfiles_copy_is_there_and_not_ignored(image: Image) -> None:
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    paths = copied((CHECKOUT / image.dockerfile).read_text(), image.target)
    assert {"pyproject.toml", "uv.lock"} <= set(paths)
    for path in paths:
        assert (CHECKOUT / path).exists(), path
        assert any(path == one or path.startswith(f"{one}/") for one in allowed), path


def test_an_image_without_goose_does_not_depend_on_where_goose_comes_from() -> None:
    dockerfile = (CHECKOUT / WORKER.dockerfile).read_text()
    catalog = "deploy/local/goosejobs_local/binaries/catalog.toml"
    assert catalog in copied(dockerfile)
    assert catalog in copied(dockerfile, "goose")
    assert catalog not in copied(dockerfile, "slim")
    assert "worker" not in copied(dockerfile, "goose")


def test_both_dockerfiles_begin_with_the_same_stages() -> None:
    common = [
        re.split(r"^FROM tools AS locked$", (CHECKOUT / file).read_text(), flags=re.MULTILINE)[0]
        for file in (OPERATOR.dockerfile, WORKER.dockerfile)
    ]
    operator, worker = (text[text.index("ARG BASE_IMAGE") :] for text in common)
    assert operator == worker


def test_a_reference_has_the_version_of_what_is_inside() -> None:
    assert OPERATOR.reference == "localhost/goosejobs/operator:0.1.0"
    assert WORKER_SLIM.reference == "localhost/goosejobs/worker:0.1.0-slim"
    assert re.fullmatch(r"localhost/goosejobs/goose:\d+\.\d+\.\d+", GOOSE.reference)


def test_a_build_gets_the_credentials_and_certificates_that_are_there(tmp_path: Path) -> None:
    certificates = tmp_path / "roots.pem"
    certificates.touch()
    (tmp_path / ".netrc").touch()
    environ = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(certificates)}
    assert secrets(environ) == {"ca-certificates": certificates, "netrc": tmp_path / ".netrc"}
