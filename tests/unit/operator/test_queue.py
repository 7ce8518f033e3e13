"""The work queue: one reconcile per object at a time, and failures that delay nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.clients.errors import Unavailable
from goosejobs_operator import queue as queue_module
from goosejobs_operator.queue import FIRST_DELAY, LONGEST_DELAY, Key, WorkQueue, backoff

A, B = ("team", "a"), ("team", "b")
Eventually = Callable[..., Awaitable[object]]


class Work:
    """Notes what it is asked to do, and does it when it is let."""

    def __init__(self) -> None:
        self.done: list[tuple[Key, int]] = []
        self.running: list[Key] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: dict[Key, Exception] = {}
        self.again: dict[Key, float] = {}

    async def __call__(self, key: Key, tries: int) -> float | None:
        assert key not in self.running
        self.running.append(key)
        try:
            await self.gate.wait()
        finally:
            self.running.remove(key)
        self.done.append((key, tries))
        if key in self.fail:
            raise self.fail[key]
        return self.again.pop(key, None)

    def times(self, key: Key) -> int:
        return sum(1 for each, _ in self.done if each == key)


@asynccontextmanager
async def running(work: Work, workers: int = 2) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(work, workers)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_key_added_often_is_one_piece_of_work(eventually: Eventually) -> None:
    work = Work()
    async with running(work) as queue:
        for _ in range(5):
            queue.add(A)
        await eventually(lambda: queue.idle)
        assert work.done == [(A, 0)]


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more(eventually: Eventually) -> None:
    work = Work()
    work.gate.clear()
    async with running(work) as queue:
        queue.add(A)
        await eventually(lambda: work.running == [A])
        queue.add(A)
        queue.add(A)
        work.gate.set()
        await eventually(lambda: queue.idle)
        assert work.times(A) == 2


async def test_no_more_keys_are_worked_on_at_a_time_than_there_are_workers(eventually: Eventually) -> None:
    work = Work()
    work.gate.clear()
    async with running(work, workers=3) as queue:
        for number in range(10):
            queue.add(("team", str(number)))
        await eventually(lambda: len(work.running) == 3)
        work.gate.set()
        await eventually(lambda: queue.idle)
        assert len(work.done) == 10


@pytest.mark.invariant("I18")
@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a bug")])
async def test_a_key_that_fails_is_tried_again_and_delays_nobody(
    eventually: Eventually, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "FIRST_DELAY", 0.01)
    work = Work()
    work.fail[A] = error
    async with running(work, workers=1) as queue:
        queue.add(A)
        queue.add(B)
        await eventually(lambda: work.times(A) >= 2)
        assert (B, 0) in work.done[:2]
        assert [tries for key, tries in work.done if key == A][:2] == [0, 1]
        work.fail.clear()
        await eventually(lambda: not queue._tries)
        queue.add(A)
        await eventually(lambda: work.done[-1] == (A, 0))


async def test_a_key_is_worked_on_again_after_the_time_its_work_asked_for(eventually: Eventually) -> None:
    work = Work()
    work.again[A] = 0.05
    async with running(work) as queue:
        queue.add(A)
        await eventually(lambda: work.times(A) == 2)


async def test_a_later_time_replaces_the_one_before(eventually: Eventually) -> None:
    work = Work()
    async with running(work) as queue:
        queue.add_after(A, 3600)
        queue.add_after(A, 0.05)
        queue.add_after(B, 0.05)
        queue.add_after(B, 3600)
        await eventually(lambda: work.times(A) == 1)
        assert work.times(B) == 0


async def test_a_forgotten_key_has_no_time_to_come(eventually: Eventually) -> None:
    work = Work()
    async with running(work) as queue:
        queue.add_after(A, 0.05)
        queue.forget(A)
        queue.add_after(B, 0.1)
        await eventually(lambda: work.times(B) == 1)
        assert work.times(A) == 0


async def test_times_to_come_do_not_pile_up() -> None:
    queue = WorkQueue(Work())
    for number in range(10_000):
        queue.add_after(A, 3600 + number)
    assert len(queue._heap) < 200


@given(tries=st.integers(1, 10_000), chance=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_wait_after_a_failure_grows_up_to_a_bound_with_jitter(tries: int, chance: float) -> None:
    wait = backoff(tries, chance)
    assert FIRST_DELAY / 2 <= wait <= LONGEST_DELAY
    assert wait <= backoff(tries + 1, chance)
    assert backoff(tries, 0.0) * 2 == pytest.approx(backoff(tries, 1.0))
