"""The recorder of Events at a real API server: nothing twice, nothing in anybody's way."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goosejobs.clients.events import WAITING, Recorder
from goosejobs.clients.kube import Kube
from goosejobs.events import Event
from goosejobs.model.run import GooseJobRef
from support.kube_proxy import At, Cut, KubeProxy, kube_proxy
from support.objects import Kubectl, Object
from support.rig import Rig

Eventually = Callable[..., Any]

SAID = Event("Said", "the same")
ONCE = Event("Happened", "by worker a", once="run-1")


@pytest.fixture
def proxy(platform: Rig, tmp_path: Path) -> Iterator[KubeProxy]:
    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def kube(proxy: KubeProxy) -> AsyncIterator[Kube]:
    async with proxy.client() as kube:
        yield kube


@pytest.fixture
def ref(namespace: str) -> GooseJobRef:
    return GooseJobRef(namespace=namespace, name="nightly", uid="u1")


def events(kubectl: Kubectl, ref: GooseJobRef) -> list[Object]:
    listed = kubectl("get", "events", "-n", ref.namespace, "-o", "json").stdout
    found: list[Object] = json.loads(listed)["items"]
    return found


async def test_two_replicas_that_tell_of_the_same_step_make_one_event(
    kube: Kube, kubectl: Kubectl, ref: GooseJobRef, eventually: Eventually
) -> None:
    fates: Counter[str] = Counter()
    for instance, so_far in (("a", 2), ("b", 4)):
        async with Recorder(
            kube, "goosejobs-worker", instance, lambda fate: fates.update([fate])
        ) as recorder:
            recorder.tell(ref, ONCE)
            recorder.tell(ref, Event("Happened", "by another", once="run-1"))
            # Here, because the recorder's end waits for it no longer than a moment.
            await eventually(lambda so_far=so_far: fates.total() == so_far)
    (found,) = events(kubectl, ref)
    assert (found["message"], found["reportingInstance"]) == ("by worker a", "a")
    assert fates == {"told": 1, "repeated": 3}


async def test_what_the_api_server_has_forgotten_is_told_with_its_count(
    kube: Kube, kubectl: Kubectl, ref: GooseJobRef, eventually: Eventually
) -> None:
    async def told(times: int) -> bool:
        # In a thread: a kubectl that took 5 s would take them from the recorder's request.
        return [each["count"] for each in await asyncio.to_thread(events, kubectl, ref)] == [times]

    async with Recorder(kube, "goosejobs-operator", "a", lambda _: None) as recorder:
        recorder.tell(ref, SAID, SAID)
        await eventually(lambda: told(2))
        kubectl("delete", "events", "--all", "-n", ref.namespace)
        recorder.tell(ref, SAID)
        await eventually(lambda: told(3))
    (found,) = events(kubectl, ref)
    assert found["firstTimestamp"] <= found["lastTimestamp"]


async def test_what_breaks_off_is_lost_and_the_next_one_is_told(
    kube: Kube, proxy: KubeProxy, kubectl: Kubectl, ref: GooseJobRef, eventually: Eventually
) -> None:
    def cut() -> None:
        raise Cut

    fates: Counter[str] = Counter()
    proxy.plan(At.REQUEST, "POST", "/events", cut)
    async with Recorder(kube, "goosejobs-operator", "a", lambda fate: fates.update([fate])) as recorder:
        recorder.tell(ref, SAID, ONCE)
        await eventually(lambda: fates.total() == 2)
    assert fates == {"failed": 1, "told": 1}
    assert [each["reason"] for each in events(kubectl, ref)] == ["Happened"]


async def test_when_too_many_wait_they_are_dropped_and_neither_caller_nor_end_waits(
    kube: Kube, ref: GooseJobRef, eventually: Eventually
) -> None:
    fates: Counter[str] = Counter()
    tasks, before = asyncio.all_tasks(), time.monotonic()
    async with Recorder(kube, "goosejobs-operator", "a", lambda fate: fates.update([fate])) as recorder:
        for number in range(WAITING + 10):
            recorder.tell(ref.model_copy(update={"uid": str(number)}), SAID)
        assert fates == {"dropped": 10}
        told_at_once = time.monotonic() - before
        await eventually(lambda: fates["told"])
        ends = time.monotonic()
    assert told_at_once < 20  # a machine may be slow
    assert time.monotonic() - ends < 20
    assert fates["told"] <= 150
    await eventually(lambda: asyncio.all_tasks() <= tasks)
