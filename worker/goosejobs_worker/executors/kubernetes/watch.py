"""The pool's Kubernetes Jobs and their pods: one list and watch of each for all runs of this worker.

Runs do not ask; they are woken when something of theirs has changed.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, Self

from goosejobs.clients.kube import Kube, Object
from goosejobs.model import names
from goosejobs_worker.executors.kubernetes.reflector import Key, Reflector, key_of

_JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
_JOB_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
"""On a pod, by Kubernetes; unlike its owner they stay when a Job is deleted without its pods."""
_SHOWN_ANNOTATIONS: Final = (names.WORKFLOW_ANNOTATION,)


class Sight:
    """One Job and its pod as they were seen last, kept also when they are gone.

    Attributes:
        uid: The Job's; what has another one is another Job's. None until it is known.
        job: The Job; None when it was never seen.
        pod: Its pod; None when it was never seen.
        job_gone: The Job was seen and is no longer there.
        pod_gone: The pod was seen and is no longer there.
    """

    def __init__(self, uid: str | None = None) -> None:
        self.uid = uid
        self.job: Object | None = None
        self.pod: Object | None = None
        self.job_gone = False
        self.pod_gone = False
        self._changed = asyncio.Event()

    def attach(self, job: Object) -> None:
        """Look at this Job from now on, as it is at least by now."""
        self.uid = job["metadata"]["uid"]
        if self.job is None or self.job["metadata"]["uid"] != self.uid:
            self.job, self.job_gone = small_job(job), False
        if self.pod is not None and owner_uid(self.pod) != self.uid:
            self.pod, self.pod_gone = None, False

    def forget(self) -> None:
        """Nothing of what was seen is ours."""
        self.uid, self.job, self.pod = "", None, None

    def see_job(self, job: Object, gone: bool) -> None:
        """Take note of what a Job of this name is now."""
        if self.uid in {None, job["metadata"]["uid"]}:
            self.job, self.job_gone = job, gone
            self.wake()

    def see_pod(self, pod: Object, gone: bool) -> None:
        """Take note of what a pod of this Job is now."""
        if self.uid in {None, owner_uid(pod)} and (self.pod is None or _newer(pod, self.pod)):
            self.pod, self.pod_gone = pod, gone
            self.wake()

    def wake(self) -> None:
        """Let `change` return."""
        self._changed.set()

    async def change(self, seconds: float) -> None:
        """Wait until something has changed since the last call, or for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()


class Watch:
    """What of a pool is in Kubernetes.

    Args:
        kube: Where to look.
        pool: Its label's value.
        namespaces: Where its Jobs are; `*` among them: everywhere.
        more: Passed to each `Reflector`.
    """

    def __init__(self, kube: Kube, pool: str, namespaces: Iterable[str], **more: Any) -> None:
        selector = f"{names.POOL_LABEL}={pool}"
        wanted = sorted(set(namespaces))
        self._sights: dict[Key, set[Sight]] = {}
        self._jobs: dict[str | None, Reflector] = {}
        self._pods: dict[str | None, Reflector] = {}
        self._tasks: list[asyncio.Task[NoReturn]] = []
        for namespace in [None] if "*" in wanted else wanted:
            self._jobs[namespace] = Reflector(
                *(kube, "/apis/batch/v1", "jobs", namespace, selector),
                keep=small_job,
                changed=self._job_changed,
                **more,
            )
            self._pods[namespace] = Reflector(
                *(kube, "/api/v1", "pods", namespace, selector),
                keep=small_pod,
                changed=self._pod_changed,
                **more,
            )

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def trouble(self) -> str:
        """Why what is known may be out of date; empty when it is not."""
        return next((reflector.trouble for reflector in self._reflectors if reflector.trouble), "")

    def trouble_in(self, namespace: str) -> str:
        """As `trouble`, of one namespace."""
        return next((reflector.trouble for reflector in self._of(namespace) if reflector.trouble), "")

    @property
    def knows_some(self) -> bool:
        """Whether there is a namespace that has been seen."""
        return any(
            jobs.listed.is_set() and self._pods[namespace].listed.is_set()
            for namespace, jobs in self._jobs.items()
        )

    async def answered(self) -> None:
        """Wait until the API server has answered for each namespace, if only by a refusal."""
        for reflector in self._reflectors:
            await reflector.answered.wait()

    @property
    def followed(self) -> frozenset[Key]:
        """The Jobs that runs of this worker look at."""
        return frozenset(self._sights)

    async def listed(self, namespace: str | None = None) -> None:
        """Wait until what there is in a namespace (None: everywhere) has been seen once."""
        for reflector in self._reflectors if namespace is None else self._of(namespace):
            await reflector.listed.wait()

    def jobs(self) -> list[Object]:
        """All Jobs of the pool."""
        return [job for reflector in self._jobs.values() for job in reflector.items.values()]

    def jobs_of(self, namespace: str, uid: str) -> list[Object]:
        """The Jobs of a GooseJob, which are in its namespace; a label alone can be anybody's elsewhere."""
        reflector = self._jobs.get(namespace) or self._jobs.get(None)
        jobs = reflector.items.values() if reflector else ()
        here = (job for job in jobs if job["metadata"]["namespace"] == namespace)
        return [job for job in here if job["metadata"].get("labels", {}).get(names.UID_LABEL) == uid]

    def pod_of(self, job: Object) -> Object | None:
        """The newest pod of a Job."""
        namespace, _ = key_of(job)
        found: Object | None = None
        for pod in self._of(namespace)[1].items.values():
            if owner_uid(pod) == job["metadata"]["uid"] and (found is None or _newer(pod, found)):
                found = pod
        return found

    @contextmanager
    def follow(self, namespace: str, name: str, uid: str | None = None) -> Iterator[Sight]:
        """Look at one Job while the block lasts; what is known of it already is in the sight at once."""
        key, sight = (namespace, name), Sight(uid)
        jobs, pods = self._of(namespace)
        self._sights.setdefault(key, set()).add(sight)
        try:
            if key in jobs.items:
                sight.see_job(jobs.items[key], gone=False)
            for pod in pods.items.values():
                if _job_key(pod) == key:
                    sight.see_pod(pod, gone=False)
            yield sight
        finally:
            self._sights[key].discard(sight)
            if not self._sights[key]:
                del self._sights[key]

    @property
    def _reflectors(self) -> list[Reflector]:
        return [*self._jobs.values(), *self._pods.values()]

    def _of(self, namespace: str) -> tuple[Reflector, Reflector]:
        key = namespace if namespace in self._jobs else None
        return self._jobs[key], self._pods[key]

    def _job_changed(self, job: Object, gone: bool) -> None:
        for sight in self._sights.get(key_of(job), ()):
            sight.see_job(job, gone)

    def _pod_changed(self, pod: Object, gone: bool) -> None:
        for sight in self._sights.get(_job_key(pod), ()):
            sight.see_pod(pod, gone)


def small_job(job: Object) -> Object:
    """A Job without its pod template, which holds the recipe."""
    spec = job.get("spec", {})
    wanted = ("activeDeadlineSeconds", "ttlSecondsAfterFinished")
    return {
        "metadata": _metadata(job),
        "spec": {field: spec[field] for field in wanted if field in spec},
        "status": job.get("status", {}),
    }


def small_pod(pod: Object) -> Object:
    """A pod without its recipe, its environment and its command."""
    spec = pod.get("spec", {})
    kept = {field: spec[field] for field in ("nodeName", "terminationGracePeriodSeconds") if field in spec}
    shown = ("name", "image", "resources")
    kept["containers"] = [
        {field: container[field] for field in shown if field in container}
        for container in spec.get("containers", ())
    ]
    kept["volumes"] = [
        volume for volume in spec.get("volumes", ()) if "secret" in volume or "configMap" in volume
    ]
    return {"metadata": _metadata(pod), "spec": kept, "status": pod.get("status", {})}


def owner_uid(pod: Object) -> str | None:
    """The uid of a pod's Job."""
    uid: str | None = pod["metadata"].get("labels", {}).get(_JOB_UID_LABEL)
    return uid


def _metadata(obj: Object) -> Object:
    meta = obj["metadata"]
    wanted = (
        "namespace",
        "name",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "labels",
        "ownerReferences",
    )
    kept = {field: meta[field] for field in wanted if field in meta}
    annotations = meta.get("annotations", {})
    kept["annotations"] = {name: annotations[name] for name in _SHOWN_ANNOTATIONS if name in annotations}
    return kept


def _job_key(pod: Object) -> Key:
    return pod["metadata"]["namespace"], pod["metadata"].get("labels", {}).get(_JOB_NAME_LABEL, "")


def _newer(pod: Object, other: Object) -> bool:
    """Whether it is the same pod or one that was made later."""
    mine, its = pod["metadata"], other["metadata"]
    return bool(mine["uid"] == its["uid"] or mine["creationTimestamp"] >= its["creationTimestamp"])
