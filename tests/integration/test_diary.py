"""The agents of random stories tell on each other. Here a process with its argv stands in for goose."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from support.stories.diary import Diary, new_diary

Eventually = Callable[..., Awaitable[Any]]
_GOOSE = "import subprocess, sys; subprocess.run(['sh', sys.argv[1]])"


@pytest.fixture
def diary() -> Iterator[Diary]:
    with new_diary() as diary:
        diary.add("a")
        yield diary
        for line in diary.alive():
            with contextlib.suppress(ProcessLookupError):  # killed before, and dead only now
                os.kill(line.pid, signal.SIGKILL)


def start(diary: Diary, run: str, seconds: int, policy: str = "Forbid") -> subprocess.Popen[bytes]:
    said = {"STORY_LIFE": "1", "STORY_POLICY": policy, "STORY_SECONDS": str(seconds), "GOOSE_JOB_ID": "ns/a"}
    argv = [sys.executable, "-c", _GOOSE, str(diary.agent), f"--name=ns-a-{run}-2"]
    return subprocess.Popen(argv, env={"PATH": os.environ["PATH"], **said})


async def test_an_agent_that_is_alive_is_told_of_and_so_is_what_one_left_behind(
    diary: Diary, eventually: Eventually
) -> None:
    start(diary, "20261121-080000", seconds=0).wait(60)
    (left,) = await eventually(lambda: [line for line in diary.lines("a") if line.word == "escaped"])
    os.kill(left.pid, signal.SIGKILL)
    await eventually(lambda: not diary.alive())
    slow = start(diary, "20261121-080002", seconds=600)
    await eventually(lambda: len(diary.alive()) == 2)
    start(diary, "20261121-080004", seconds=0, policy="Allow").wait(60)
    lines = diary.lines("a")
    assert [(each.run, each.attempt) for each in lines if each.word == "start"] == [
        ("20261121-080000", 2),
        ("20261121-080002", 2),
        ("20261121-080004", 2),
    ]
    assert [each.run for each in lines if each.word == "end"] == ["20261121-080000", "20261121-080004"]
    overlaps = [(each.run, each.policy, each.more) for each in lines if each.word == "overlap"]
    assert overlaps == [("20261121-080004", "Allow", "20261121-080002/2")] * 2  # the agent, and what it left
    # What the last agent left says so a moment after it; nobody else would end it.
    await eventually(lambda: [line.word for line in diary.lines("a")].count("escaped") == 3)
    for line in diary.alive():
        os.kill(line.pid, signal.SIGKILL)
    slow.wait(60)
