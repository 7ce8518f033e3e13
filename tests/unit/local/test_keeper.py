"""What is kept runs again when it ends, and dies with its keeper."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goosejobs_local import processes
from goosejobs_local.processes import Child


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.sweep(str(tmp_path))


def keep(home: Path, script: str) -> Child:
    argv = [sys.executable, "-m", "goosejobs_local.keeper", "sh", "-c", script]
    return processes.spawn(argv, env=dict(os.environ), log=home / "log", mark=str(home))


def kept(home: Path) -> Child:
    """The process that was started, by the id that it wrote."""
    log = home / "log"
    assert processes.wait_until(lambda: processes.tail(log).endswith("up"), 10)
    return processes.find(int(processes.tail(log).split()[-2]))


def test_what_ends_at_its_first_start_is_set_up_wrongly_and_not_tried_again(home: Path) -> None:
    keeper = keep(home, "echo started; exit 7")
    assert processes.wait_until(lambda: not keeper.alive, 10)
    assert processes.exit_code(keeper) == 7
    assert processes.tail(home / "log") == "started"


def test_sigterm_reaches_what_is_kept_and_its_exit_code_is_told(home: Path) -> None:
    keeper = keep(home, "trap 'exit 5' TERM; echo $$ up; while :; do sleep 0.05; done")
    kept(home)
    os.kill(keeper.pid, signal.SIGTERM)
    assert processes.wait_until(lambda: not keeper.alive, 10)
    assert processes.exit_code(keeper) == 5


def test_what_is_kept_dies_with_its_keeper(home: Path) -> None:
    keeper = keep(home, "trap '' TERM; echo $$ up; while :; do sleep 0.05; done")
    child = kept(home)
    os.kill(keeper.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not child.alive, 5)
