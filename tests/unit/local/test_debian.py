"""Debian's packages: apt's own plan says what is missing, and unpacked programs find their libraries."""

from pathlib import Path

import pytest

from goosejobs_local import debian
from goosejobs_local.debian import NotDebian, Root

PLAN = """\
Reading package lists...
The following NEW packages will be installed:
  containerd runc
Inst libnftnl11 (1.2.4-2 Debian:12.15/oldstable [amd64])
Inst runc (1.1.5+ds1-1+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst tzdata [2024a-0] (2026a-0+deb12u1 Debian:12.15/oldstable [all]) []
Inst containerd (1.6.20~ds1-1+deb12u3 Debian:12.15/oldstable [amd64])
Remv docker [20.10]
Conf containerd (1.6.20~ds1-1+deb12u3 Debian:12.15/oldstable [amd64])
"""


def test_what_apt_would_install_is_what_is_missing() -> None:
    assert debian.to_install(PLAN) == [
        "libnftnl11=1.2.4-2",
        "runc=1.1.5+ds1-1+deb12u1",
        "tzdata=2026a-0+deb12u1",
        "containerd=1.6.20~ds1-1+deb12u3",
    ]


def test_nothing_is_fetched_for_no_packages(tmp_path: Path) -> None:
    root = debian.packages([], environ={"GOOSEJOBS_CACHE": str(tmp_path)})
    assert root.environment({"PATH": "/usr/bin"}) == {"PATH": "/usr/bin:/usr/sbin:/sbin"}
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_apt_it_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotDebian, match=r"containerd, runc: there is no apt here: install"):
        debian.packages(["runc", "containerd"], environ={"GOOSEJOBS_CACHE": str(tmp_path / "cache")})


def test_programs_of_the_machine_come_before_those_that_were_unpacked(tmp_path: Path) -> None:
    for folder in ("usr/sbin", "usr/lib/x86_64-linux-gnu", "here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/libnftables.so.1").touch()
    for place in ("usr/sbin/nft", "usr/sbin/runc", "here/runc"):
        (tmp_path / place).touch(mode=0o755)
    env = Root(tmp_path).environment({"PATH": str(tmp_path / "here")})
    assert env["PATH"].split(":")[0] == str(tmp_path / "here")
    assert env["PATH"].split(":")[-1] == str(tmp_path / "usr/sbin")
    assert env["LD_LIBRARY_PATH"] == str(tmp_path / "usr/lib/x86_64-linux-gnu")
