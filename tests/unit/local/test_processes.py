"""Only our own processes are signalled, and none of them survives."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from goosejobs_local import processes
from goosejobs_local.processes import Child

STUBBORN = "trap '' TERM; echo ready; sleep 60 & wait; sleep 60"
ORPHAN = "setsid sleep 60 & echo $!; exit 0"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A mark; whatever carries it is gone after the test."""
    yield str(tmp_path)
    processes.sweep(str(tmp_path))


def spawn(mark: str, *argv: str) -> Child:
    return processes.spawn(argv, env={"PATH": os.environ["PATH"]}, log=Path(mark) / "log", mark=mark)


def said(mark: str, word: str) -> bool:
    return processes.wait_until(lambda: word in processes.tail(Path(mark) / "log"), 10)


def test_a_process_leads_its_own_session_and_writes_into_its_log(mark: str) -> None:
    child = spawn(mark, "sh", "-c", "echo out; echo err >&2; sleep 60")
    assert os.getsid(child.pid) == child.pid
    assert said(mark, "out")
    assert said(mark, "err")


def test_a_process_that_ignores_sigterm_is_killed(mark: str) -> None:
    child = spawn(mark, "sh", "-c", STUBBORN)
    assert said(mark, "ready")
    processes.stop([child], grace=0.2)
    assert not child.alive


def test_a_process_that_is_frozen_ends_all_the_same(mark: str) -> None:
    child = spawn(mark, "sleep", "60")
    child.signal(signal.SIGSTOP)
    processes.stop([child], grace=5)
    assert processes.exit_code(child) == -signal.SIGTERM


def test_another_process_with_the_same_id_is_neither_alive_nor_signalled(mark: str) -> None:
    child = spawn(mark, "sleep", "60")
    impostor = Child(child.pid, birth="another boot/1")
    assert not impostor.alive
    assert not impostor.signal(signal.SIGKILL)
    processes.stop([impostor], grace=0.1)
    assert child.alive


def test_a_process_is_known_again_by_what_was_written_down_of_it(mark: str) -> None:
    child = spawn(mark, "sleep", "60")
    assert Child(child.pid, child.birth).alive


def test_an_ended_process_is_not_alive_even_while_nobody_has_waited_for_it(mark: str) -> None:
    child = spawn(mark, "true")
    assert processes.wait_until(lambda: not child.alive, 10)
    assert processes.exit_code(child) == 0


def test_a_process_that_left_its_session_is_found_by_its_mark(mark: str) -> None:
    child = spawn(mark, "sh", "-c", ORPHAN)
    assert processes.wait_until(lambda: not child.alive, 10)
    orphan = processes.find(int(processes.tail(Path(mark) / "log")))
    assert orphan.alive
    assert processes.sweep(mark) == 1
    assert not orphan.alive


def test_a_program_that_is_not_there_is_an_error(mark: str) -> None:
    with pytest.raises(OSError, match="No such file"):
        spawn(mark, "/nonexistent")


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.tail(log) == ""
    log.write_text("".join(f"{number}\n" for number in range(10_000)))
    assert processes.tail(log, lines=2) == "9998\n9999"
