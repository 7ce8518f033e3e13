"""The command line, where nothing runs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from goosejobs_local import local
from goosejobs_local.cli import app


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory."""
    monkeypatch.setenv("GOOSEJOBS_HOME", str(tmp_path))
    return tmp_path


def goosejobs(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_status_says_that_nothing_was_started(home: Path) -> None:
    answer = goosejobs("status")
    assert answer.exit_code == 1
    assert answer.stdout.startswith(f"Nothing was started in {home}. Start it: ")


def test_logs_says_which_logs_there_are(home: Path) -> None:
    (home / "logs").mkdir()
    (home / "logs" / "worker.log").write_text("one\ntwo\n")
    answer = goosejobs("logs", "wroker")
    assert answer.exit_code == 1
    assert answer.stderr == "goosejobs: there is no log of 'wroker'; there is: worker\n"
    assert goosejobs("logs", "worker", "-n", "1").stdout == "two\n"


def test_down_removes_what_is_ours_and_nothing_else(home: Path) -> None:
    for name in ("etcd", "logs", "recipes", "photos"):
        (home / name).mkdir()
    (home / "recipes" / "mine.yaml").touch()
    assert goosejobs("down").stdout == f"Nothing was running in {home}.\n"
    assert sorted(path.name for path in home.iterdir()) == ["lock", "photos", "recipes"]


def test_a_model_of_the_environment_is_used_if_there_is_one() -> None:
    assert local.choose_model({}).stub
    chosen = local.choose_model({"GOOSE_PROVIDER": "anthropic", "GOOSE_MODEL": "claude"})
    assert (chosen.stub, chosen.text) == (False, "anthropic, claude (from your environment)")


def test_a_node_is_for_root_only_and_it_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    answer = goosejobs("up", "--node")
    assert answer.exit_code == 1
    assert answer.stderr == ("goosejobs: a node needs root: it makes network devices, mounts and cgroups\n")
    assert [path.name for path in home.iterdir()] == ["lock"]


@pytest.mark.parametrize("wrong", [["upp"], ["up", "--fast"], ["logs"]])
def test_a_wrong_command_line_is_told_so(wrong: list[str]) -> None:
    answer = goosejobs(*wrong)
    assert answer.exit_code == 2
    assert "Usage: " in answer.stderr
