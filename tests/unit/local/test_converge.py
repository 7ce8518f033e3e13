"""From whatever was left behind to where all is well."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from goosejobs_local import converge, processes
from goosejobs_local.converge import Ground, PartFailed
from goosejobs_local.parts import Part
from goosejobs_local.progress import Progress, silent
from goosejobs_local.state import State

SLEEP = Part(name="sleeper", argv=("sleep", "60"))
STEP = Part(name="step", argv=("sh", "-c", "echo done >> steps"), once=True)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A data directory; whatever runs in it is gone after the test."""
    yield Ground(tmp_path, State(), save=lambda: None)
    processes.sweep(str(tmp_path))


def run(ground: Ground, *parts: Part) -> list[int]:
    return [child.pid for child in converge.converge(parts, ground, silent)]


def test_what_runs_is_left_alone(ground: Ground) -> None:
    (pid,) = run(ground, SLEEP)
    assert run(ground, SLEEP) == []
    assert ground.state.parts["sleeper"].pid == pid


def test_what_has_died_is_started_again(ground: Ground) -> None:
    run(ground, SLEEP)
    processes.stop([ground.state.parts["sleeper"].child], 5)
    (pid,) = run(ground, SLEEP)
    assert ground.state.parts["sleeper"].pid == pid


def test_what_was_started_and_not_written_down_is_replaced(ground: Ground) -> None:
    stray = converge.start(SLEEP, Ground(ground.home, State(), save=lambda: None))
    (pid,) = run(ground, SLEEP)
    assert not stray.alive
    assert ground.state.parts["sleeper"].pid == pid


def test_another_part_with_the_same_command_is_no_stray(ground: Ground) -> None:
    """Tests start workers of their own beside the one that they share."""
    other = converge.start(replace(SLEEP, name="other"), Ground(ground.home, State(), save=lambda: None))
    run(ground, SLEEP)
    assert other.alive


@pytest.mark.parametrize("change", [{"argv": ("sleep", "61")}, {"env": {"A": "1"}}])
def test_what_should_run_otherwise_is_replaced(ground: Ground, change: dict[str, object]) -> None:
    run(ground, SLEEP)
    old = ground.state.parts["sleeper"].child
    (pid,) = run(ground, replace(SLEEP, **change))  # type: ignore[arg-type]
    assert not old.alive
    assert ground.state.parts["sleeper"].pid == pid


def test_a_step_is_done_once_unless_it_changes(ground: Ground) -> None:
    step = replace(STEP, cwd=ground.home)
    for part in (step, step, replace(step, stamp="new content")):
        run(ground, part)
    assert (ground.home / "steps").read_text() == "done\ndone\n"


def test_a_part_starts_after_what_it_needs(ground: Ground) -> None:
    order: list[str] = []

    def report(progress: Progress) -> None:
        if progress.finished:
            order.append(progress.task)

    first = replace(STEP, argv=("sh", "-c", "sleep 0.1"))
    converge.converge([replace(SLEEP, after=("step",)), first], ground, report)
    assert order == ["step", "sleeper"]


def test_a_part_that_ends_is_named_with_the_end_of_its_log(ground: Ground) -> None:
    dying = Part(name="dying", argv=("sh", "-c", "echo I cannot; exit 3"))
    with pytest.raises(PartFailed) as caught:
        run(ground, replace(dying, probes=("http://127.0.0.1:1/",)))
    assert str(caught.value) == "dying ended with code 3\nI cannot"


def test_a_step_that_fails_is_named_and_tried_again_next_time(ground: Ground) -> None:
    failing = replace(STEP, argv=("sh", "-c", "echo no; exit 1"))
    for _ in range(2):
        with pytest.raises(PartFailed, match="step ended with code 1\nno"):
            run(ground, failing)


def test_a_part_that_is_not_well_in_time_is_named_with_what_is_missing(ground: Ground) -> None:
    sick = replace(SLEEP, probes=("http://127.0.0.1:1/healthz",), deadline=0.2)
    with pytest.raises(
        PartFailed, match=r"sleeper is not well after 0 s: http://127.0.0.1:1/healthz: .*refused"
    ):
        run(ground, sick)


def test_a_program_that_is_not_there_is_named(ground: Ground) -> None:
    with pytest.raises(PartFailed, match=r"sleeper cannot be started: .*No such file"):
        run(ground, replace(SLEEP, argv=("/nonexistent",)))


def test_servers_do_not_see_keys_of_the_callers_environment(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    show = replace(STEP, argv=("sh", "-c", "echo ${OPENAI_API_KEY-none}, $OWN"), env={"OWN": "mine"})
    run(ground, show, replace(show, name="trusted", inherit=True))
    assert processes.tail(ground.log("step")) == "none, mine"
    assert processes.tail(ground.log("trusted")) == "secret, mine"


def test_what_servers_write_is_for_nobody_else(ground: Ground) -> None:
    run(ground, replace(STEP, cwd=ground.home))
    assert (ground.home / "steps").stat().st_mode & 0o077 == 0
    assert ground.log("step").stat().st_mode & 0o077 == 0
