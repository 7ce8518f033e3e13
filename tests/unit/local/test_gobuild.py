"""How Go is called."""

import os
from pathlib import Path

import pytest

from goosejobs_local import catalog, gobuild
from goosejobs_local.commands import Commands
from goosejobs_local.progress import silent

CATALOG = catalog.load()


def test_what_shares_a_module_is_built_by_one_command() -> None:
    groups = gobuild.group([CATALOG[name] for name in ("kubectl", "etcd", "kube-apiserver", "temporal")])
    assert [[one.name for one in group] for group in groups] == [
        ["kubectl", "kube-apiserver"],
        ["etcd"],
        ["temporal"],
    ]


def test_no_flag_of_the_users_changes_the_result_and_his_proxy_stays() -> None:
    ambient = {
        "GOFLAGS": "-mod=vendor",
        "GOTOOLCHAIN": "auto",
        "GOOS": "plan9",
        "GOPROXY": "https://proxy.example",
    }
    env = gobuild.environment(ambient)
    assert env["GOFLAGS"] == "-mod=readonly -buildvcs=false"
    assert env["GOTOOLCHAIN"] == "local"
    assert env["GOOS"] == "linux"
    assert env["GOPROXY"] == "https://proxy.example"


def fake_go(folder: Path, version: str) -> None:
    folder.mkdir()
    (folder / "go").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "go").chmod(0o755)


@pytest.mark.parametrize("version", ["go1.25.0", "go1.26.8", "go1.27rc1", "go2.0"])
def test_a_go_that_is_new_enough_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_go(tmp_path / "path", version)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    found = gobuild.find_go(tmp_path / "cache", [CATALOG["etcd"]], Commands(), silent)
    assert found == tmp_path / "path" / "go"


@pytest.mark.parametrize("version", ["go1.24.9", "go1.9", "nonsense"])
def test_a_go_that_is_too_old_is_passed_over_for_the_one_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_go(tmp_path / "path", version)
    cached = tmp_path / "cache" / f"go-{gobuild.GO_FROM_PYPI}" / "go" / "bin"
    cached.parent.mkdir(parents=True)
    fake_go(cached, f"go{gobuild.GO_FROM_PYPI}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    assert gobuild.find_go(tmp_path / "cache", [CATALOG["etcd"]], Commands(), silent) == cached / "go"
