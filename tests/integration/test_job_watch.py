"""One watch for all runs of a worker: what it knows, and that no trouble with the API server stops it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiohttp import web

from goosejobs.clients.errors import Rejected
from goosejobs.model import names
from goosejobs_worker.executors.kubernetes.jobs import Jobs
from goosejobs_worker.executors.kubernetes.retention import Retention
from goosejobs_worker.executors.kubernetes.watch import Watch
from support.kube_proxy import At, Cut, KubeProxy, kube_proxy
from support.objects import Kubectl, Object, apply
from support.rig import Rig

Eventually = Callable[..., Any]
Watching = Callable[..., contextlib.AbstractAsyncContextManager[Watch]]

PATIENCE = 90.0
JOBS, WATCHED, PODS_WATCHED = r"/jobs\?", r"/jobs\?watch=1", r"/pods\?watch=1"
EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "message": "too old"}


@pytest.fixture
def proxy(platform: Rig, tmp_path: Path) -> Iterator[KubeProxy]:
    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def watching(proxy: KubeProxy, namespace: str, pool: str) -> Watching:
    """`watching(**options)`: a watch of the test's namespace through the proxy, once it has listed."""

    @contextlib.asynccontextmanager
    async def watching(**options: Any) -> AsyncIterator[Watch]:
        async with proxy.client() as kube, Watch(kube, pool, [namespace], **options) as watch:
            async with asyncio.timeout(PATIENCE):
                await watch.listed(namespace)
            yield watch

    return watching


def job(name: str, pool: str, uid: str = "uid-1") -> Object:
    labels = {names.POOL_LABEL: pool, names.UID_LABEL: uid, names.RUN_LABEL: "once", names.ATTEMPT_LABEL: "1"}
    container = {"name": "goose", "image": "nowhere/goose:1"}
    recipe = {names.RECIPE_ANNOTATION: "x" * 100_000}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "annotations": {names.WORKFLOW_ANNOTATION: "w"}},
        "spec": {
            "template": {
                "metadata": {"annotations": recipe},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            }
        },
    }


def known(watch: Watch) -> set[str]:
    return {job["metadata"]["name"] for job in watch.jobs()}


def answer(status: int, body: Object, **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(
        status=status, text=json.dumps(body) + "\n", content_type="application/json", headers=headers
    )


def cut() -> NoReturn:
    raise Cut


async def test_it_knows_the_jobs_of_its_pool_and_nothing_of_their_recipes(
    watching: Watching, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str
) -> None:
    apply(kubectl, namespace, job("there", pool), job("foreign", f"{pool}-2"))
    async with watching() as watch:
        assert known(watch) == {"there"}
        apply(kubectl, namespace, job("new", pool, "uid-2"))
        await eventually(lambda: known(watch) == {"there", "new"})
        assert [j["metadata"]["name"] for j in watch.jobs_of(namespace, "uid-2")] == ["new"]
        assert len(json.dumps(watch.jobs())) < 5_000
        assert all(j["metadata"]["annotations"] == {names.WORKFLOW_ANNOTATION: "w"} for j in watch.jobs())
        kubectl("delete", "-n", namespace, "job", "there")
        await eventually(lambda: known(watch) == {"new"})


async def test_a_job_of_another_namespace_is_not_a_goosejobs_whatever_it_is_labelled(
    kubectl: Kubectl, namespace: str, pool: str, proxy: KubeProxy
) -> None:
    elsewhere = f"{namespace}-2"
    kubectl("create", "namespace", elsewhere)
    apply(kubectl, namespace, job("own", pool))
    apply(kubectl, elsewhere, job("forged", pool))
    async with proxy.client() as kube, Watch(kube, pool, ["*"]) as watch, asyncio.timeout(PATIENCE):
        await watch.listed()
        assert known(watch) == {"own", "forged"}
        assert [j["metadata"]["name"] for j in watch.jobs_of(namespace, "uid-1")] == ["own"]
    kubectl("delete", "namespace", elsewhere, "--wait=false")


async def test_a_job_that_nobody_can_say_anything_about_does_not_keep_a_sweep_from_the_others(
    watching: Watching, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, proxy: KubeProxy
) -> None:
    async def is_open(workflow_id: str) -> bool:
        if workflow_id == "refused":
            raise Rejected("Temporal: no workflow can have this id")
        return False

    forged, over = job("a-forged", pool), job("over", pool)
    forged["metadata"]["annotations"][names.WORKFLOW_ANNOTATION] = "refused"
    apply(kubectl, namespace, forged, over)
    async with watching() as watch, proxy.client() as kube:
        await Retention(Jobs(kube), watch, 60, is_open, young=-1).sweep()
        await eventually(lambda: known(watch) == {"a-forged"})


async def test_a_run_is_woken_and_nobody_asks_again_and_again(
    watching: Watching, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, proxy: KubeProxy
) -> None:
    apply(kubectl, namespace, job("mine", pool), job("other", pool))
    async with watching() as watch, asyncio.timeout(3 * PATIENCE):
        with watch.follow(namespace, "mine") as sight:
            await eventually(lambda: proxy.answering(WATCHED) and proxy.answering(PODS_WATCHED))
            asked = len(proxy.requests)  # two lists, two watches; more, where one of them was not answered
            await sight.change(0.01)
            kubectl("patch", "-n", namespace, "job", "other", "-p", '{"spec":{"activeDeadlineSeconds":7}}')
            kubectl("patch", "-n", namespace, "job", "mine", "-p", '{"spec":{"activeDeadlineSeconds":9}}')
            await sight.change(PATIENCE)
            assert sight.job is not None
            assert sight.job["spec"]["activeDeadlineSeconds"] == 9
            kubectl("delete", "-n", namespace, "job", "mine")
            while not sight.job_gone:
                await sight.change(PATIENCE)
            assert sight.job["spec"]["activeDeadlineSeconds"] == 9
        assert len(proxy.requests) == asked
        assert watch.followed == frozenset()


@pytest.mark.invariant("I12")
async def test_it_goes_on_when_its_connections_are_cut(
    watching: Watching, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, proxy: KubeProxy
) -> None:
    async with watching() as watch:
        await eventually(lambda: proxy.answering(WATCHED) and not watch.trouble)
        lists = proxy.seen("GET", r"/jobs\?labelSelector")
        for number in range(3):
            proxy.cut("watch=1")
            apply(kubectl, namespace, job(f"job-{number}", pool))
            await eventually(lambda number=number: f"job-{number}" in known(watch))
        assert proxy.seen("GET", r"/jobs\?labelSelector") == lists  # it went on from where it was


@pytest.mark.invariant("I12")
async def test_a_watch_that_says_nothing_any_more_is_renewed(
    watching: Watching, kubectl: Kubectl, eventually: Eventually, namespace: str, pool: str, proxy: KubeProxy
) -> None:
    async with watching(silence=2.0) as watch:
        await eventually(lambda: proxy.answering(WATCHED) and not watch.trouble)
        proxy.mute("watch=1")
        apply(kubectl, namespace, job("unheard", pool))
        await eventually(lambda: "unheard" in known(watch))


@pytest.mark.invariant("I12")
@pytest.mark.parametrize("inside", [True, False], ids=["as an event", "as an answer"])
async def test_what_went_while_the_watch_had_expired_is_gone(
    watching: Watching,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    inside: bool,
) -> None:
    apply(kubectl, namespace, job("gone", pool), job("stays", pool))
    async with watching() as watch:
        await eventually(lambda: proxy.answering(WATCHED) and not watch.trouble)
        expired = answer(200, {"type": "ERROR", "object": EXPIRED}) if inside else answer(410, EXPIRED)
        with watch.follow(namespace, "gone") as sight:
            proxy.mute(WATCHED)
            kubectl("delete", "-n", namespace, "job", "gone")
            proxy.plan(At.REQUEST, "GET", WATCHED, expired)
            proxy.cut(WATCHED)
            await eventually(lambda: sight.job_gone)
        assert known(watch) == {"stays"}


@pytest.mark.invariant("I12")
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_api_server_that_cannot_answer_is_asked_again_later(
    watching: Watching,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    pool: str,
    proxy: KubeProxy,
    status: int,
) -> None:
    refusal = answer(status, {"message": "not now"}, **{"Retry-After": "1"})
    proxy.plan(At.REQUEST, "GET", r"/(jobs|pods)\?", refusal, times=3)
    proxy.plan(At.ANSWER, "GET", r"/pods\?labelSelector", cut)
    async with watching() as watch:
        proxy.plan(At.REQUEST, "GET", r"watch=1", refusal, times=3)
        proxy.cut("watch=1")
        apply(kubectl, namespace, job("patient", pool))
        await eventually(lambda: "patient" in known(watch) and not watch.trouble)


async def test_what_keeps_it_from_knowing_is_told(
    proxy: KubeProxy, pool: str, eventually: Eventually
) -> None:
    forbidden = answer(403, {"message": "jobs.batch is forbidden: nobody may list it"})
    proxy.plan(At.REQUEST, "GET", JOBS, forbidden, times=1000)
    async with proxy.client() as kube, Watch(kube, pool, ["team-a"]) as watch:
        await eventually(lambda: "nobody may list it" in watch.trouble)
        assert "namespace team-a" in watch.trouble
