"""Kubernetes Jobs: what is asked of the API server about one, and what a look at one says."""

from datetime import datetime
from typing import Any, Final

from goosejobs.clients.errors import Conflict, NotFound
from goosejobs.clients.kube import Kube, Object, object_path
from goosejobs.model import names
from goosejobs.model.run import AttemptRequest
from goosejobs_worker.executors.kubernetes.manifest import CONTAINER

_API: Final = "/apis/batch/v1"
_FINISHED: Final = frozenset({"Complete", "Failed"})
_SIGNAL: Final = 128
"""An exit code above this stands for a signal, by the custom of shells and container runtimes."""


class Jobs:
    """The Kubernetes Jobs of the API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def create(self, manifest: Object) -> Object:
        """Create a Job.

        Raises:
            Conflict: There is one of this name.
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        meta = manifest["metadata"]
        path = object_path(_API, "jobs", meta["namespace"])
        what = f"create Job {meta['namespace']}/{meta['name']}"
        return await self._kube.request(what, "POST", path, body=manifest)

    async def get(self, namespace: str, name: str) -> Object | None:
        """Read a Job; None when there is none."""
        path = object_path(_API, "jobs", namespace, name)
        try:
            return await self._kube.request(f"read Job {namespace}/{name}", "GET", path)
        except NotFound:
            return None

    async def delete(self, job: Object, *, foreground: bool) -> None:
        """Delete a Job and its pods; when it is gone, or another one has its name, nothing is left to do.

        Args:
            job: The Job.
            foreground: It stays until its pods are gone; else they go after it.
        """
        meta = job["metadata"]
        path = object_path(_API, "jobs", meta["namespace"], meta["name"])
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
            "preconditions": {"uid": meta["uid"]},
        }
        try:
            await self._kube.request(
                f"delete Job {meta['namespace']}/{meta['name']}", "DELETE", path, body=body
            )
        except (NotFound, Conflict):
            return

    async def keep_for(self, job: Object, seconds: int) -> None:
        """Let Kubernetes delete a Job so many seconds after its end."""
        meta = job["metadata"]
        path = object_path(_API, "jobs", meta["namespace"], meta["name"])
        try:
            await self._kube.request(
                f"set when Job {meta['namespace']}/{meta['name']} goes",
                "PATCH",
                path,
                body={"metadata": {"uid": meta["uid"]}, "spec": {"ttlSecondsAfterFinished": seconds}},
                content_type="application/merge-patch+json",
            )
        except (NotFound, Conflict):
            return


def is_of(job: Object, attempt: AttemptRequest) -> bool:
    """Whether a Job is the one of this attempt, by its owner's uid and what it is labelled with."""
    meta = job["metadata"]
    owners = {owner["uid"] for owner in meta.get("ownerReferences", ()) if owner.get("controller")}
    labels = meta.get("labels", {})
    return (
        owners == {attempt.run.goosejob.uid}
        and labels.get(names.RUN_LABEL) == attempt.run.id
        and labels.get(names.ATTEMPT_LABEL) == str(attempt.attempt)
    )


def label(job: Object, name: str) -> str:
    """A label's value; empty when it is not there."""
    return str(job["metadata"].get("labels", {}).get(name, ""))


def condition(job: Object, *kinds: str) -> Object | None:
    """The Job's condition of one of these types, if it is true."""
    found = (c for c in job["status"].get("conditions", ()) if c["type"] in kinds and c["status"] == "True")
    return next(found, None)


def is_finished(job: Object) -> bool:
    """Whether Kubernetes has settled how the Job ended: no pod of it runs any more."""
    return condition(job, *_FINISHED) is not None


def is_doomed(job: Object) -> bool:
    """Whether it has failed, though its pods may still be ending."""
    return condition(job, "Failed", "FailureTarget") is not None


def age(obj: Object, now: datetime) -> float:
    """Seconds since an object was created."""
    created = datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
    return (now - created).total_seconds()


def goose_state(pod: Object | None) -> dict[str, Any]:
    """The state of goose's container: `waiting`, `running` or `terminated`, and what it says; or nothing."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", ())
    return next((status.get("state", {}) for status in statuses if status["name"] == CONTAINER), {})


def has_log(pod: Object | None) -> bool:
    """Whether goose has started, so that there is a log."""
    state = goose_state(pod)
    return bool("running" in state or state.get("terminated", {}).get("containerID"))


def exit_of(pod: Object | None) -> tuple[int | None, int | None] | None:
    """(exit code, signal) of goose, one of them None; None when it has not ended by itself or by a signal."""
    ended = goose_state(pod).get("terminated")
    if ended is None or ended.get("reason") == "ContainerStatusUnknown":  # kubelet lost it
        return None
    code = int(ended.get("exitCode", 0))
    signal = int(ended.get("signal", 0)) or (code - _SIGNAL if code > _SIGNAL else 0)
    return (None, signal) if signal else (code, None)
