"""Liveness: whether events still flow."""

import pytest

from goosejobs_operator.health import RESYNC_GRACE_SECONDS, WATCH_LAG_SECONDS, Pulse

pytestmark = pytest.mark.invariant("I12")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    pulse = Pulse(300, clock)
    pulse.active()
    return pulse


def test_it_is_ready_once_everything_was_listed(pulse: Pulse) -> None:
    assert not pulse.ready
    pulse.listed({})
    assert pulse.ready


def test_one_that_stands_by_is_ready_once_it_has_seen_another_to_be_active(clock: Clock) -> None:
    pulse = Pulse(300, clock)
    assert not pulse.ready
    pulse.stand_by()
    assert pulse.ready
    pulse.active()
    assert not pulse.ready
    pulse.listed({})
    assert pulse.ready


def test_it_lives_while_the_watch_delivers_what_is_listed(pulse: Pulse, clock: Clock) -> None:
    for version in range(10, 100, 10):
        clock.now += 290
        pulse.watched("team-a", str(version))
        pulse.listed({"team-a": version})
        assert pulse.failure() == ""


def test_it_fails_when_lists_fail(pulse: Pulse, clock: Clock) -> None:
    pulse.listed({})
    clock.now += 300 + RESYNC_GRACE_SECONDS - 1
    assert pulse.failure() == ""
    clock.now += 2
    assert "no list of GooseJobs" in pulse.failure()


def test_it_fails_when_there_never_was_a_list(pulse: Pulse, clock: Clock) -> None:
    clock.now += 300 + RESYNC_GRACE_SECONDS + 1
    assert "no list of GooseJobs" in pulse.failure()


def test_it_fails_when_the_watch_of_one_namespace_stays_behind(pulse: Pulse, clock: Clock) -> None:
    for name in ("team-a", "team-b"):
        pulse.watched(name, "10")
    pulse.watched("team-a", "20")
    pulse.listed({"team-a": 20, "team-b": 15})
    assert pulse.failure() == ""
    clock.now += WATCH_LAG_SECONDS + 1
    assert "team-b" in pulse.failure()
    assert "team-a" not in pulse.failure()


def test_a_watch_that_stays_behind_is_not_excused_by_the_next_list(pulse: Pulse, clock: Clock) -> None:
    pulse.listed({"team-a": 10})
    clock.now += WATCH_LAG_SECONDS + 1
    pulse.listed({"team-a": 11})
    assert "team-a" in pulse.failure()


def test_what_comes_late_comes_in_time(pulse: Pulse, clock: Clock) -> None:
    pulse.listed({"team-a": 10})
    pulse.watched("team-a", "10")
    clock.now += WATCH_LAG_SECONDS + 1
    assert pulse.failure() == ""


def test_a_replica_that_stands_by_lives_and_is_not_ready(clock: Clock) -> None:
    pulse = Pulse(300, clock)
    clock.now += 100_000
    assert (pulse.failure(), pulse.ready) == ("", False)
    pulse.active()
    assert pulse.failure() == ""
