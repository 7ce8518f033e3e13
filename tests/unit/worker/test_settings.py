"""What a worker can be told, and what it says to nonsense."""

import os
from pathlib import Path

import pytest

from goosejobs.model.execution import Mode
from goosejobs.settings import InvalidSettings
from goosejobs_worker.settings import WorkerSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GOOSEJOBS_")]:
        monkeypatch.delenv(name)


def test_the_defaults_serve_the_default_pool() -> None:
    settings = WorkerSettings.load()
    assert (settings.pool, settings.mode, settings.drain_seconds) == ("default", Mode.JOB, 30)
    assert settings.recipe_dir is None


@pytest.mark.parametrize(("mode", "most"), [("Job", 200), ("Process", 10)])
def test_a_job_costs_a_worker_less_than_a_process(
    monkeypatch: pytest.MonkeyPatch, mode: str, most: int
) -> None:
    monkeypatch.setenv("GOOSEJOBS_MODE", mode)
    assert WorkerSettings.load().max_concurrent_runs == most
    monkeypatch.setenv("GOOSEJOBS_MAX_CONCURRENT_RUNS", "7")
    assert WorkerSettings.load().max_concurrent_runs == 7


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOSEJOBS_NAMESPACES", "team-a, team-b")
    monkeypatch.setenv("GOOSEJOBS_PASS_ENV", "GITHUB_TOKEN,MYTOOL_*,")
    settings = WorkerSettings.load()
    assert settings.pass_env == ["GITHUB_TOKEN", "MYTOOL_*"]
    assert settings.serves("team-b")
    assert not settings.serves("team-c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOOSEJOBS_POOL", "Not A Pool"),
        ("GOOSEJOBS_MAX_CONCURRENT_RUNS", "none"),
        ("GOOSEJOBS_MAX_CONCURRENT_RUNS", "0"),
        ("GOOSEJOBS_RECIPE_DIR", "/does/not/exist"),
        ("GOOSEJOBS_RUN_AS_UID", "-1"),
        ("GOOSEJOBS_DRAIN_SECONDS", "-1"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as wrong:
        WorkerSettings.load()
    assert str(wrong.value).startswith(f"{name}: ")


def test_goose_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "goose"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert WorkerSettings.load().find_goose() == str(program)
    monkeypatch.setenv("PATH", "/nowhere")
    assert WorkerSettings.load().find_goose() is None


def test_goose_runs_as_another_user_exactly_where_the_worker_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert WorkerSettings.load().goose_user == (65534, 65534)
    monkeypatch.setenv("GOOSEJOBS_RUN_AS_UID", "1234")
    assert WorkerSettings.load().goose_user == (1234, 1234)
    monkeypatch.setenv("GOOSEJOBS_RUN_AS_GID", "99")
    assert WorkerSettings.load().goose_user == (1234, 99)
    monkeypatch.setenv("GOOSEJOBS_RUN_AS_UID", "0")
    assert WorkerSettings.load().goose_user is None


def test_a_worker_that_is_not_root_cannot_choose_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert WorkerSettings.load().goose_user is None
    monkeypatch.setenv("GOOSEJOBS_RUN_AS_UID", "65534")
    with pytest.raises(InvalidSettings, match=r"GOOSEJOBS_RUN_AS_UID: .*only a worker that is root"):
        WorkerSettings.load()
