"""Progress in words, and without control codes where nobody sees them."""

import io

import pytest
from rich.console import Console

from goosejobs_local.display import Display, describe
from goosejobs_local.progress import Progress


@pytest.mark.parametrize(
    ("progress", "seconds", "text"),
    [
        (Progress("t", "looking"), 100, "looking"),
        (Progress("t", "fetching", 3, unit="modules"), 1, "fetching, 3 modules"),
        (Progress("t", "building", 0, 200, "packages"), 60, "building, 0 of 200 packages"),
        (Progress("t", "building", 50, 200, "packages"), 5, "building, 50 of 200 packages"),
        (Progress("t", "building", 50, 200, "packages"), 20, "building, 50 of 200 packages, about 60 s left"),
        (
            Progress("t", "building", 50, 200, "packages"),
            60,
            "building, 50 of 200 packages, about 3 min left",
        ),
        (Progress("t", "building", 200, 200, "packages"), 60, "building, 200 of 200 packages"),
    ],
)
def test_where_a_step_is_reads_well(progress: Progress, seconds: float, text: str) -> None:
    assert describe(progress, seconds) == text


def test_a_log_gets_a_line_for_each_change_and_no_control_codes() -> None:
    output = io.StringIO()
    with Display(Console(file=output)) as display:
        display(Progress("etcd", "starting", quick=True))
        for done in range(100):
            display(Progress("[etcd]", "building", done, 100, "packages"))
        display(Progress("[etcd]", "built 3.6.8", finished=True))
        display(Progress("model", "", finished=True))
    assert output.getvalue() == "  [etcd]: building, 0 of 100 packages\n✓ [etcd]: built 3.6.8\n✓ model\n"


def test_a_terminal_gets_a_bar() -> None:
    output = io.StringIO()
    with Display(Console(file=output, force_terminal=True, width=100)) as display:
        display(Progress("[etcd]", "building", 1, 100, "packages"))
    assert "[etcd]" in output.getvalue()
    assert "\x1b[" in output.getvalue()
