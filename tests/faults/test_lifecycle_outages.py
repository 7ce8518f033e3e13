"""A life while servers go away: in each state the rules of tests/integration/test_kstatus.py hold."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from support.life import living
from support.lifecycle_states import computed, condition_of, status_of
from support.rig import Handle, Rig

Eventually = Callable[..., Awaitable[Any]]

RUN = "goosejobs.dev/run-requested"
YEARLY: Any = {"schedule": "0 0 1 1 *"}
AWAY = ("TemporalUnavailable", "Progressing")


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    own_platform.worker()
    return own_platform


@pytest.fixture
def namespace(rig: Rig, request: pytest.FixtureRequest) -> str:
    name = f"l-{abs(hash(request.node.name)) % 10**8}"
    rig.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def operator(rig: Rig) -> Iterator[Handle]:
    with rig.start_operator() as handle:
        yield handle


def waits(obj: Mapping[str, Any]) -> bool:
    """Whether it says that Temporal is away."""
    return (condition_of(obj, "Ready") or {}).get("reason") == "TemporalUnavailable"


def test_the_operator_is_killed_and_started_again(rig: Rig, namespace: str, operator: Handle) -> None:
    with living(rig, namespace) as life:
        life.apply(schedule="@every 2s")
        life.counts(succeeded=1)
        operator.kill9()
        life.patch(successfulRunsHistoryLimit=2)
        life.patch(schedule="@every 3s")
        edited = life.wait(lambda o: o["metadata"]["generation"] == 3)
        more = status_of(edited)["counts"]["succeeded"] + 2
        # Nobody has looked at the edits, and runs go on as they were.
        life.wait(lambda o: status_of(o)["counts"]["succeeded"] >= more)
        assert computed(life.seen.objects[-1]) == "InProgress"
        with rig.start_operator():
            life.current()
            life.from_now()
            life.wait(lambda o: status_of(o)["phase"] == "Running")
            life.delete()


async def test_temporal_is_away_for_a_while(
    rig: Rig, eventually: Eventually, namespace: str, operator: Handle
) -> None:
    assert operator.alive
    with living(rig, namespace, leaves=AWAY) as life:
        life.apply(**YEARLY)
        life.current()
        given_up = operator.log.count("waiting for Temporal")
        rig.server("temporal").kill9()
        life.patch(schedule="0 0 2 1 *")
        life.wait(waits)
        away = len(life.seen.objects)
        await eventually(lambda: operator.log.count("waiting for Temporal") > given_up)
        served = [
            o for o in life.seen.objects if o["metadata"]["generation"] == 2 and computed(o) == "Current"
        ]
        assert served == []
        rig.restart("temporal")
        life.current()
        # It does not write again and again that it waits.
        assert sum(map(waits, life.seen.objects[away:])) <= 3
        life.ask(RUN, "now")
        life.counts(succeeded=1)


def test_the_api_server_is_away_while_a_run_ends(rig: Rig, namespace: str, operator: Handle) -> None:
    assert operator.alive
    with living(rig, namespace, leaves=AWAY) as life:
        life.apply("stub: slow 3", **YEARLY)
        life.current()
        life.ask(RUN, "now")
        life.wait(lambda o: status_of(o)["active"])
        server = rig.server("kube-apiserver")
        server.kill9()
        rig.restart("kube-apiserver")
        done = life.counts(succeeded=1)
        assert status_of(done)["active"] == []


def test_the_worker_is_killed_in_the_middle_of_a_run(
    rig: Rig, namespace: str, operator: Handle, pool: str
) -> None:
    assert operator.alive
    with living(rig, namespace) as life, rig.start_worker(pool=pool) as worker:
        life.apply("stub: slow 4", execution={"pool": pool}, **YEARLY)
        life.current()
        life.ask(RUN, "now")
        life.wait(lambda o: status_of(o)["active"])
        worker.kill9()
        with rig.start_worker(pool=pool):
            done = life.counts(succeeded=1)
            assert status_of(done)["active"] == []
            life.delete()
