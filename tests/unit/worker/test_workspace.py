"""goose's folders on a worker."""

import os
import stat
import time
from pathlib import Path

import pytest

from goosejobs_worker.executors.local.workspace import Unusable, Workspace

ME = (os.getuid(), os.getgid())
STRANGER = (ME[0] + 4321, ME[1] + 4321)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_attempts_files_are_for_gooses_user_only(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "data", None)
    workspace.prepare()
    place = workspace.create("title: Grüße\n")
    assert place.recipe.read_bytes() == "title: Grüße\n".encode()
    assert (mode(place.recipe), mode(place.directory), mode(place.home)) == (0o600, 0o700, 0o700)
    assert list(place.home.iterdir()) == []


def test_of_what_goose_writes_only_its_sessions_stay(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, None)
    workspace.prepare()
    one, other = workspace.create("one"), workspace.create("other")
    for path in ("config", "data/apps"):
        (one.goose / path).mkdir()
    (one.goose / "data/sessions/sessions.db").touch()
    assert sorted(path.name for path in other.goose.rglob("*")) == ["data", "sessions"]
    workspace.remove(one)
    assert (other.goose / "data/sessions/sessions.db").samefile(tmp_path / "goose/data/sessions/sessions.db")


def test_no_file_is_given_away_inside_a_folder_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: given.append(path))
    Workspace(tmp_path, None).prepare()
    place = Workspace(tmp_path, STRANGER).create("one")
    assert {place.directory, place.recipe, place.recipe.parent, place.home, place.goose} <= {*given}
    for number, path in enumerate(given):
        assert not {*path.parents} & {*given[:number]}


def test_attempts_do_not_share_a_folder_and_leave_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, None)
    workspace.prepare()
    one, other = workspace.create("one"), workspace.create("other")
    assert one.directory != other.directory
    workspace.remove(one)
    assert (one.directory.exists(), other.recipe.read_text()) == (False, "other")
    workspace.remove(one)  # the supervisor has usually done it


def test_a_data_folder_can_be_used_again(tmp_path: Path) -> None:
    for _ in range(2):
        Workspace(tmp_path, None).prepare()
    assert mode(tmp_path / "goose/data/sessions") == 0o700


def test_what_a_crashed_machine_left_is_cleared_away_when_no_attempt_can_still_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, None)
    workspace.prepare()
    old, young = workspace.create("old"), workspace.create("young")
    nine_days_ago = time.time() - 9 * 86400
    os.utime(old.directory, (nine_days_ago, nine_days_ago))
    workspace.prepare()
    assert (old.directory.exists(), young.directory.exists()) == (False, True)


def test_a_data_folder_that_cannot_be_made_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=r"GOOSEJOBS_DATA_DIR: cannot use .*file.*: Not a directory"):
        Workspace(tmp_path / "file" / "data", None).prepare()


def test_a_folder_that_gooses_user_may_not_enter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)  # only root may give a file away
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Unusable) as unusable:
        Workspace(closed / "data", STRANGER).prepare()
    assert "GOOSEJOBS_RUN_AS_UID" in str(unusable.value)
    Workspace(closed / "data", ME).prepare()
