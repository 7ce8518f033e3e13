"""Many objects as large as Kubernetes takes them: who may make some must not end what serves all."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goosejobs.clients.kube import goosejob_path, object_path
from goosejobs.model import names
from support.kube_proxy import kube_proxy
from support.objects import Object, apply, get, goosejob, is_true
from support.resyncs import metric
from support.rig import Rig

Eventually = Callable[..., Any]

NAMESPACE = "default"
LIMITS = {"operator": 512, "worker": 1024}
"""MiB, as the charts set them."""
DEAR = "<" * 200_000 + "\N{GRINNING FACE}"
"""Six bytes of JSON for each character, and four of memory where it becomes Python's text as a whole."""

# In a process of its own: how much memory a test has had is no news.
WATCHER = """
import asyncio, sys
from goosejobs.clients.kube import Kube
from goosejobs_worker.executors.kubernetes.watch import Watch

async def main():
    pool, namespace = sys.argv[1:]
    async with await Kube.connect(120, connections=0) as kube, Watch(kube, pool, [namespace]) as watch:
        await watch.listed()
        print(len(watch.jobs()))

asyncio.run(main())
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def job(name: str, pool: str) -> Object:
    """A Job of 5 MiB in JSON; anybody who may create Jobs can label it as a pool's."""
    labels = {names.POOL_LABEL: pool, names.UID_LABEL: "u", names.RUN_LABEL: "once", names.ATTEMPT_LABEL: "1"}
    env = [{"name": f"V{number}", "value": DEAR} for number in range(3)]
    container = {"name": "goose", "image": "nowhere/goose:1", "env": env}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "annotations": {"example.com/a": DEAR}},
        "spec": {
            "suspend": True,
            "template": {
                "metadata": {"annotations": {names.RECIPE_ANNOTATION: DEAR}},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }


async def create(platform: Rig, path: str, objects: list[Object], tmp_path: Path) -> None:
    """Create them as they are: kubectl would spell them out, and Kubernetes refuse the request."""
    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        async with proxy.client() as kube:
            for each in objects:
                what = f"create {each['metadata']['name']}"
                await kube.request(what, "POST", path, body=each, timeout=120)


def megabytes(pid: int) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.mark.invariant("I18")
async def test_a_worker_has_room_for_jobs_as_large_as_they_can_be(
    own_platform: Rig, pool: str, tmp_path: Path
) -> None:
    jobs = [job(f"large-{number}", pool) for number in range(30)]
    await create(own_platform, object_path("/apis/batch/v1", "jobs", NAMESPACE), jobs, tmp_path)
    found = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WATCHER, pool, NAMESPACE],
        env={**os.environ, "KUBECONFIG": str(own_platform.kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, kilobytes = map(int, found.stdout.split())
    assert (count, kilobytes // 1024 < LIMITS["worker"] * 0.5) == (30, True), kilobytes


@pytest.mark.invariant("I18")
async def test_an_operator_has_room_for_goosejobs_as_large_as_they_can_be(
    own_platform: Rig, eventually: Eventually, tmp_path: Path
) -> None:
    """On a platform of its own: where others are, it would only stand by for the one that they share."""
    large = [goosejob(f"large-{number}") for number in range(60)]
    for each in large:
        each["spec"]["recipe"]["inline"]["more"] = DEAR + "x" * 150_000
    path = goosejob_path(NAMESPACE, "x").rpartition("/")[0]
    await create(own_platform, path, large, tmp_path)
    apply(own_platform.kubectl, NAMESPACE, goosejob("small", suspend=True))
    with own_platform.start_operator() as operator:
        await eventually(lambda: is_true(get(own_platform.kubectl, NAMESPACE, "small"), "Ready"), timeout=300)
        await eventually(lambda: metric(operator, "goosejobs_last_resync_timestamp_seconds") > 0, timeout=300)
        await eventually(lambda: metric(operator, "goosejobs_queue_depth") == 0, timeout=300)
        assert megabytes(operator.pid) < LIMITS["operator"] * 0.75
