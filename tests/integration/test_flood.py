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
from support.objects import Kubectl, Object, apply, get, goosejob, is_true
from support.rig import Handle, Rig

Eventually = Callable[..., Any]

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
    async with await Kube.connect(connections=0) as kube, Watch(kube, sys.argv[1], [sys.argv[2]]) as watch:
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
                await kube.request(f"create {each['metadata']['name']}", "POST", path, body=each)


def megabytes(pid: int) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.mark.invariant("I18")
async def test_a_worker_has_room_for_jobs_as_large_as_they_can_be(
    platform: Rig, namespace: str, pool: str, kubeconfig: Path, tmp_path: Path
) -> None:
    jobs = [job(f"large-{number}", pool) for number in range(30)]
    await create(platform, object_path("/apis/batch/v1", "jobs", namespace), jobs, tmp_path)
    found = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WATCHER, pool, namespace],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, kilobytes = map(int, found.stdout.split())
    assert (count, kilobytes // 1024 < LIMITS["worker"] * 0.5) == (30, True), kilobytes


@pytest.mark.invariant("I18")
async def test_an_operator_has_room_for_goosejobs_as_large_as_they_can_be(
    platform: Rig,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_operator: Callable[..., Handle],
    tmp_path: Path,
) -> None:
    large = [goosejob(f"large-{number}") for number in range(60)]
    for each in large:
        each["spec"]["recipe"]["inline"]["more"] = DEAR + "x" * 150_000
    path = goosejob_path(namespace, "x").rpartition("/")[0]
    await create(platform, path, large, tmp_path)
    apply(kubectl, namespace, goosejob("small", suspend=True))
    operator = start_operator(GOOSEJOBS_NAMESPACES=namespace)
    await eventually(lambda: is_true(get(kubectl, namespace, "small"), "Ready"), timeout=120)
    assert megabytes(operator.pid) < LIMITS["operator"] * 0.75
