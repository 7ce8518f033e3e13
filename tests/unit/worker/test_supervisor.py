"""What the supervisor promises, on real processes: when goose is to end, nothing that it started survives."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from goosejobs_worker.executors.local.process import Cause, Report, Start, SupervisedProcess
from goosejobs_worker.executors.local.supervisor import boot_time
from support.waiting import eventually

FAR = 1_000.0
ESCAPE = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open({ledger!r}, "a") as ledger:
                ledger.write(f"{{os.getpid()}}\\n")
            time.sleep(600)
        os._exit(0)
    os.wait()
    {then}
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(program)]


def start_of(argv: list[str], directory: Path, **changes: object) -> Start:
    now = boot_time()
    fields: dict[str, object] = {
        "argv": argv,
        "environment": {"PATH": os.environ["PATH"]},
        "cwd": str(directory),
        "directory": str(directory / "attempt"),
        "uid": None,
        "gid": None,
        "lease": now + FAR,
        "deadline": now + FAR,
        "grace": 0.2,
    }
    return Start(**{**fields, **changes})  # type: ignore[arg-type]


@asynccontextmanager
async def supervised(start: Start) -> AsyncIterator[SupervisedProcess]:
    process = await SupervisedProcess.start(start)
    try:
        yield process
    finally:
        await process.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(ledger: Path) -> list[int]:
    return [int(line) for line in ledger.read_text().split()] if ledger.exists() else []


async def end_of(start: Start) -> Report:
    async with supervised(start) as process:
        async with asyncio.timeout(20):
            return await process.ended()


async def test_the_exit_code_and_the_output_of_the_program_come_back(tmp_path: Path) -> None:
    async with supervised(start_of(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], tmp_path)) as process:
        assert (await process.stdout.read(), await process.stderr.read()) == (b"out\n", b"err\n")
        report = await process.ended()
    assert (report.cause, report.exit_code, report.signal) == (Cause.EXITED, 7, None)
    assert report.max_rss_bytes > 0


async def test_a_signal_that_ended_the_program_is_told(tmp_path: Path) -> None:
    report = await end_of(start_of(["/bin/sh", "-c", "kill -SEGV $$"], tmp_path))
    assert (report.cause, report.exit_code, report.signal) == (Cause.EXITED, None, signal.SIGSEGV)


async def test_a_program_that_cannot_be_started_is_told_with_its_path(tmp_path: Path) -> None:
    report = await end_of(start_of([str(tmp_path / "no-goose")], tmp_path))
    assert report.cause is Cause.START_FAILED
    assert "No such file" in report.error
    assert "no-goose" in report.error


async def test_the_program_gets_its_environment_and_nothing_else(tmp_path: Path) -> None:
    start = start_of(["/usr/bin/env"], tmp_path, environment={"ONLY": "this"})
    async with supervised(start) as process:
        assert await process.stdout.read() == b"ONLY=this\n"


async def test_the_program_inherits_no_descriptor_but_the_standard_ones(tmp_path: Path) -> None:
    program = python("import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])")
    async with supervised(start_of(program, tmp_path)) as process:
        assert await process.stdout.read() == b"[0, 1, 2]\n"


async def test_the_attempts_directory_is_removed_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "attempt" / "home").mkdir(parents=True)
    await end_of(start_of(["/bin/true"], tmp_path))
    assert not (tmp_path / "attempt").exists()


async def test_what_a_tool_left_in_the_background_ends_with_the_program(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    report = await end_of(start_of(python(ESCAPE.format(ledger=str(ledger), then="sys.exit(0)")), tmp_path))
    assert (report.cause, report.exit_code) == (Cause.EXITED, 0)
    assert not any(map(alive, pids(ledger)))


async def test_stop_ends_a_double_fork_that_ignores_sigterm(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    program = python(ESCAPE.format(ledger=str(ledger), then="time.sleep(600)"))
    async with supervised(start_of(program, tmp_path)) as process:
        await eventually(lambda: len(pids(ledger)) == 1, timeout=10)
        process.stop(0.1)
        report = await process.ended()
    assert report.cause is Cause.STOPPED
    assert report.signal == signal.SIGKILL
    assert not any(map(alive, pids(ledger)))


async def test_stop_gives_a_tool_its_grace_even_when_the_program_died_at_once(tmp_path: Path) -> None:
    # goose itself does not survive a SIGTERM; its tools may want to put things in order.
    tool = "trap 'sleep 0.1; echo tidy; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    start = start_of(["/bin/sh", "-c", f"({tool}) & trap - TERM; wait"], tmp_path)
    async with supervised(start) as process:
        assert await process.stdout.readline() == b"ready\n"
        process.stop(10)
        report = await process.ended()
        assert await process.stdout.read() == b"tidy\n"
    assert report.cause is Cause.STOPPED


async def test_a_loop_of_forks_that_change_their_session_is_caught(tmp_path: Path) -> None:
    # Each process lives for a moment: forks, leaves its session, and exits.
    comet = """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"up\\n")
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
    """
    program = ["/bin/sh", "-c", '"$0" -I -S -c "$1" & exec sleep 600', sys.executable, textwrap.dedent(comet)]
    async with supervised(start_of(program, tmp_path)) as process:
        await process.stdout.readline()
        process.stop(0.05)
        async with asyncio.timeout(20):
            assert (await process.ended()).cause is Cause.STOPPED


async def test_a_tree_that_keeps_growing_is_caught(tmp_path: Path) -> None:
    bomb = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(5):
            os.fork()
            os.setsid() if os.getpgrp() != os.getpid() else None
        os.write(1, b"up\\n")
        while True:
            time.sleep(0.05)
            if os.fork() == 0:
                time.sleep(600)
    """
    async with supervised(start_of(python(bomb), tmp_path)) as process:
        for _ in range(32):
            await process.stdout.readline()
        process.stop(0)
        async with asyncio.timeout(20):
            report = await process.ended()
    assert report.swept >= 32


async def test_the_deadline_ends_the_program(tmp_path: Path) -> None:
    report = await end_of(start_of(["/bin/sleep", "600"], tmp_path, deadline=boot_time() + 0.2))
    assert (report.cause, report.signal) == (Cause.DEADLINE, signal.SIGTERM)


async def test_a_lease_that_is_not_renewed_ends_everything_without_grace(tmp_path: Path) -> None:
    start = start_of(
        ["/bin/sh", "-c", "trap '' TERM; sleep 600"], tmp_path, lease=boot_time() + 2, grace=600.0
    )
    async with asyncio.timeout(20):
        report = await end_of(start)
    assert (report.cause, report.signal) == (Cause.LEASE, signal.SIGKILL)


async def test_a_renewed_lease_keeps_it_alive_and_an_older_one_does_not_shorten_it(tmp_path: Path) -> None:
    began = boot_time()
    start = start_of(["/bin/sleep", "600"], tmp_path, lease=began + 0.2, deadline=began + 0.6)
    async with supervised(start) as process:
        process.renew(began + FAR)
        process.renew(began + 0.2)
        report = await process.ended()
    assert report.cause is Cause.DEADLINE


async def test_nothing_starts_under_a_lease_that_has_ended(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    report = await end_of(start_of(["/usr/bin/touch", str(ledger)], tmp_path, lease=boot_time()))
    assert report.cause is Cause.LEASE
    assert not ledger.exists()


@pytest.mark.invariant("I10")
async def test_when_the_worker_is_killed_everything_dies_at_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    goose = python(ESCAPE.format(ledger=str(ledger), then="time.sleep(600)"))
    worker = f"""
        import asyncio
        from goosejobs_worker.executors.local.process import Start, SupervisedProcess

        async def main():
            process = await SupervisedProcess.start(Start(**{asdict(start_of(goose, tmp_path))!r}))
            await process.ended()

        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(worker))
    await eventually(lambda: len(pids(ledger)) == 1, timeout=10)
    (escaped,) = pids(ledger)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await eventually(lambda: not alive(escaped), timeout=5)


async def test_a_supervisor_that_is_killed_takes_the_program_with_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    start = start_of(["/bin/sh", "-c", f"echo $$ > {ledger}; exec sleep 600"], tmp_path)
    async with supervised(start) as process:
        await eventually(lambda: len(pids(ledger)) == 1, timeout=10)
        os.kill(process.pid, signal.SIGKILL)
        assert (await process.ended()).cause is Cause.SUPERVISOR_LOST
    (goose,) = pids(ledger)
    await eventually(lambda: not alive(goose), timeout=5)


async def test_the_program_may_not_gain_rights_nor_look_into_the_supervisor(tmp_path: Path) -> None:
    start = start_of(
        ["/bin/sh", "-c", "grep NoNewPrivs /proc/self/status; stat -c %u /proc/$PPID/environ"], tmp_path
    )
    async with supervised(start) as process:
        privileges, owner = (await process.stdout.read()).decode().splitlines()
    assert privileges.split() == ["NoNewPrivs:", "1"]
    assert owner == "0"  # a process that is not dumpable shows its memory and environment to root only


async def test_the_program_runs_as_the_user_it_is_given(tmp_path: Path) -> None:
    # Only root may become somebody else; anybody may stay who they are.
    uid, gid = (65534, 65534) if os.geteuid() == 0 else (None, None)
    start = start_of(["/bin/sh", "-c", "id -u; id -g; id -G"], tmp_path, uid=uid, gid=gid, cwd="/")
    async with supervised(start) as process:
        seen = [int(line) for line in (await process.stdout.read()).split()]
    assert seen[:2] == [uid or os.getuid(), gid or os.getgid()]
    assert uid is None or seen[2:] == [gid]
