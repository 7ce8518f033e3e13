"""Why a pod did not come to goose's own end, from the statuses of its Job and its own. Pure.

The words are Kubernetes': conditions and reasons of batch/v1 and v1 (k8s.io/api), of the kubelet
(pkg/kubelet/images, pkg/kubelet/eviction, pkg/kubelet/lifecycle) and of the containers' runtime.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from goosejobs.model.reasons import Reason
from goosejobs.model.status import MAX_MESSAGE
from goosejobs_worker.executors.kubernetes.manifest import CONTAINER
from goosejobs_worker.goose.redact import message_text

Object = Mapping[str, Any]

LOST_AFTER: Final = timedelta(seconds=2)
"""How long after its grace period a pod on a node that is not heard of counts as lost."""
OVERDUE_AFTER: Final = timedelta(seconds=60)
"""The same, where nobody said that the node is not heard of: it may just be busy."""

_IMAGE: Final = frozenset(
    {
        "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError",
        "RegistryUnavailable", "SignatureValidationFailed",
    }
)  # fmt: skip
"""Waiting reasons after which the kubelet waits before it tries again, or does not try again."""
_CONFIG: Final = "CreateContainerConfigError"
_UNKNOWN: Final = "ContainerStatusUnknown"
"""The kubelet came back from a restart, or ended the pod, and there was no container any more."""
_MISSING: Final = ("not found", "couldn't find key", "references non-existent")
"""How the kubelet says that an object or a key is not there; its other errors may pass."""
_NOT_STARTED: Final = frozenset(
    {"StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError"}
)
_TAKEN_AWAY: Final = {
    "EvictionByEvictionAPI": "was evicted, as `kubectl drain` does",
    "PreemptionByScheduler": "had to make room for a pod of higher priority",
    "TerminationByKubelet": "was ended by its node",
    "DeletionByTaintManager": "was evicted, because its node was tainted",
}
"""Reasons of the condition DisruptionTarget."""
_BY_ITS_NODE: Final = {
    **dict.fromkeys(("Evicted", "Preempting", "Terminated", "Shutdown"), "was ended by its node"),
    **dict.fromkeys(
        ("NodeShutdown", "NodeAffinity", "NodeName", "UnexpectedAdmissionError", "TopologyAffinityError"),
        "was turned away by its node",
    ),
}
"""Reasons of a pod that its kubelet ended or never took; beside them, `OutOfcpu` and the like."""
_BACK_OFF: Final = re.compile(r'^Back-off pulling image "[^"]*": (ErrImagePull: )?')
_PREEMPTION: Final = re.compile(r" (no new claims to deallocate, )?preemption: .*", re.DOTALL)
"""What is said before, and after, the words that matter."""


@dataclass(frozen=True)
class Diagnosis:
    """What Kubernetes did to a run.

    Attributes:
        reason: One of Reason's words under "what Kubernetes did", or DEADLINE_EXCEEDED.
        message: What, where, and what to do; at most MAX_MESSAGE characters, one line.
    """

    reason: Reason
    message: str


def diagnose(job: Object, pod: Object | None, now: datetime, start_timeout: timedelta) -> Diagnosis | None:
    """Tell what Kubernetes did, as soon as it is certain.

    A diagnosis is final, even while the pod is still there: the Job is to be deleted. None while there is
    nothing to tell: goose has not ended, or it came to an end of its own, which is `classify`'s to name, or
    it was ended and the Job does not say why yet (`is_settled`).

    Args:
        job: The Kubernetes Job.
        pod: Its pod, as last seen; None where there never was one.
        now: The present (aware).
        start_timeout: Within which time goose must have started.
    """
    if pod is None:
        return _deadline(job, None) or _without_pod(job, now, start_timeout)
    if _exit_code(pod) == 0:
        return None  # goose was done before whatever else there was
    return (
        _deadline(job, pod)
        or _lost(pod, now)
        or _taken_away(pod)
        or _ended(job, pod)
        or _waiting(pod)
        or _not_in_time(pod, now, start_timeout)
    )


def is_settled(job: Object, pod: Object) -> bool:
    """Whether a pod whose goose has exited was left alone, or its Job has said why it was not.

    Until then, goose's exit by a signal may be what a deadline or a deletion did.
    """
    return not _is_deleted(pod) or _finished(job) is not None or _exit_code(pod) == 0


def _told(reason: Reason, message: str) -> Diagnosis:
    return Diagnosis(reason, message_text(message, (), MAX_MESSAGE))


def _without_pod(job: Object, now: datetime, start_timeout: timedelta) -> Diagnosis | None:
    name = _name(job)
    if finished := _finished(job):
        words = finished.get("message") or finished.get("reason")
        return _told(Reason.POD_FAILED, f"Job {name} failed, and its pod is gone: {words}")
    if now - _time(job["metadata"]["creationTimestamp"]) < start_timeout:
        return None
    return _told(
        Reason.POD_FAILED,
        f"Job {name} has no pod after {_seconds(start_timeout)} s: a ResourceQuota, a LimitRange or an "
        f"admission policy may refuse it. {_events(job)}",
    )


def _deadline(job: Object, pod: Object | None) -> Diagnosis | None:
    finished = _finished(job) or {}
    of_pod = (pod or {}).get("status", {}).get("reason") == "DeadlineExceeded"
    own_end = pod is not None and _exit_code(pod) is not None and not _is_deleted(pod)
    if (finished.get("reason") != "DeadlineExceeded" and not of_pod) or (own_end and not of_pod):
        return None
    limit = job.get("spec", {}).get("activeDeadlineSeconds")
    started = "" if pod is None or _has_started(pod) else "; goose had not even started"
    return _told(
        Reason.DEADLINE_EXCEEDED,
        f"not done after {limit} s (spec.activeDeadlineSeconds){started}",
    )


def _lost(pod: Object, now: datetime) -> Diagnosis | None:
    status = pod.get("status", {})
    disruption = _disruption(pod)
    if disruption.get("reason") == "DeletionByPodGC":
        return _told(
            Reason.NODE_LOST,
            f"node {_node(pod)} was removed from the cluster while pod {_name(pod)} ran on it "
            f"({disruption.get('message')}). If the machine is still on, goose may still be running there.",
        )
    if not (_is_overdue(pod, now) or status.get("reason") == "NodeLost" or status.get("phase") == "Unknown"):
        return None
    words = disruption.get("message") or status.get("message") or "it does not confirm that the pod has ended"
    return _told(
        Reason.NODE_LOST,
        f"node {_node(pod)} is not heard of any more, and goose may still be running there in pod "
        f"{_name(pod)} ({words}). Bring the node back, or make sure that it is off and "
        f"`kubectl delete node {_node(pod)}`.",
    )


def _is_overdue(pod: Object, now: datetime) -> bool:
    """Whether the kubelet should have ended the pod by now, and says nothing."""
    deleted = pod["metadata"].get("deletionTimestamp")
    if deleted is None or not _node(pod) or _has_ended(pod):
        return False
    ready = _condition(pod, "Ready")
    # The kubelet gives a reason for a pod that is not ready; the controller that misses the node gives none.
    missed = ready.get("status") == "False" and not ready.get("reason") and _state(pod, "running") is not None
    return now - _time(deleted) > (LOST_AFTER if missed else OVERDUE_AFTER)


def _taken_away(pod: Object) -> Diagnosis | None:
    if not _has_ended(pod):
        return None
    status = pod.get("status", {})
    disruption = _disruption(pod)
    terminated = _state(pod, "terminated") or {}
    reason = status.get("reason", "")
    if what := _TAKEN_AWAY.get(disruption.get("reason", "")):
        words = status.get("message") or disruption.get("message")
    elif reason.startswith("OutOf") or reason in _BY_ITS_NODE:
        what, words = _BY_ITS_NODE.get(reason, "was turned away by its node"), status.get("message") or reason
    elif terminated.get("reason") == _UNKNOWN and not _is_deleted(pod):
        what, words = "was lost by its node, which may have been restarted", terminated.get("message")
    else:
        return None
    return _told(
        Reason.EVICTED,
        f"pod {_name(pod)} on node {_node(pod)} {what}: {_sentence(words)} "
        "It is tried again as spec.retry says.",
    )


def _ended(job: Object, pod: Object) -> Diagnosis | None:
    status = pod.get("status", {})
    terminated = _state(pod, "terminated") or {}
    if terminated.get("reason") == "OOMKilled" and terminated.get("exitCode") == 137:
        return _told(
            Reason.OOM_KILLED, _out_of_memory(pod)
        )  # with another code it was a tool that was killed
    if terminated.get("reason") in _NOT_STARTED:
        return _told(Reason.POD_FAILED, _not_started(pod, str(terminated.get("message", ""))))
    if _is_deleted(pod) and _has_ended(pod):
        if _finished(job) is None:
            return None
        when = f"while goose ran in it on node {_node(pod)}" if terminated else "before goose started in it"
        return _told(Reason.POD_FAILED, f"somebody deleted pod {_name(pod)} {when}.")
    if status.get("phase") != "Failed" or terminated:
        return None
    words = status.get("message") or status.get("reason") or "Kubernetes gave no reason"
    return _told(Reason.POD_FAILED, f"pod {_name(pod)} failed on node {_node(pod)}: {words}")


def _out_of_memory(pod: Object) -> str:
    limit = _container(pod).get("resources", {}).get("limits", {}).get("memory")
    of = f"their limit of {limit}" if limit else "the node had for them"
    return (
        f"goose and its tools used more memory than {of} (pod {_name(pod)} on node {_node(pod)}). Raise "
        "spec.execution.job.resources.limits.memory, or the pool's."
    )


def _not_started(pod: Object, words: str) -> str:
    image = _container(pod).get("image")
    if "executable file not found" in words or "no such file or directory" in words:
        return f"image {image} has no goose on its PATH: use an image with goose in it ({words})"
    return f"goose cannot be started in pod {_name(pod)} on node {_node(pod)}, image {image}: {words}"


def _waiting(pod: Object) -> Diagnosis | None:
    waiting = _state(pod, "waiting") or {}
    reason, words = waiting.get("reason"), str(waiting.get("message", ""))
    if reason in _IMAGE:
        image = _container(pod).get("image")
        why = _sentence(_BACK_OFF.sub("", words) or reason)
        return _told(
            Reason.IMAGE_PULL_FAILED,
            f"node {_node(pod)} cannot get image {image}: {why} Check spec.execution.job.image and "
            "imagePullSecrets, or the pool's.",
        )
    if reason == _CONFIG and any(missing in words for missing in _MISSING):
        return _told(
            Reason.CONFIG_NOT_FOUND,
            f"pod {_name(pod)} cannot start: {_sentence(words)} Create it, or mend spec.execution.env and "
            "envFrom, or the pool's.",
        )
    return None


def _not_in_time(pod: Object, now: datetime, start_timeout: timedelta) -> Diagnosis | None:
    if _has_started(pod) or now - _time(pod["metadata"]["creationTimestamp"]) < start_timeout:
        return None
    seconds = _seconds(start_timeout)
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" or not _node(pod):
        words = _PREEMPTION.sub("", scheduled.get("message") or "the scheduler said nothing about it")
        return _told(
            Reason.UNSCHEDULABLE,
            f"no node took pod {_name(pod)} within {seconds} s: {_sentence(words)} Add such a node, or "
            "change nodeSelector, tolerations or resources in spec.execution.job.",
        )
    waiting = _state(pod, "waiting") or {}
    words = waiting.get("message") or waiting.get("reason") or "its containers are not there yet"
    where = f"pod {_name(pod)} did not start within {seconds} s on node {_node(pod)}: {words}"
    if mounted := _mounted(pod):
        return _told(
            Reason.CONFIG_NOT_FOUND,
            f"{where}. It mounts {', '.join(mounted)}: is all of it there? {_events(pod)}",
        )
    return _told(Reason.POD_FAILED, f"{where}. {_events(pod)}")


def _mounted(pod: Object) -> list[str]:
    """The Secrets and ConfigMaps without which the pod cannot start."""
    found = []
    for volume in pod.get("spec", {}).get("volumes", ()):
        secret, config_map = volume.get("secret"), volume.get("configMap")
        if secret and not secret.get("optional"):
            found.append(f"Secret {secret.get('secretName')}")
        if config_map and not config_map.get("optional"):
            found.append(f"ConfigMap {config_map.get('name')}")
    return found


def _finished(job: Object) -> Object | None:
    """The Job's condition that says why it failed, also while its pod is still being ended."""
    conditions = job.get("status", {}).get("conditions") or ()
    failed = [c for c in conditions if c["type"] in {"Failed", "FailureTarget"} and c["status"] == "True"]
    return failed[0] if failed else None


def _condition(pod: Object, kind: str) -> Object:
    conditions: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _disruption(pod: Object) -> Object:
    found = _condition(pod, "DisruptionTarget")
    return found if found.get("status") == "True" else {}


def _state(pod: Object, kind: str) -> Object | None:
    statuses: Sequence[Object] = pod.get("status", {}).get("containerStatuses") or ()
    ours: Object = next((status for status in statuses if status.get("name") == CONTAINER), {})
    found: Object | None = ours.get("state", {}).get(kind)
    return found


def _has_ended(pod: Object) -> bool:
    return _state(pod, "terminated") is not None or pod.get("status", {}).get("phase") == "Failed"


def _exit_code(pod: Object) -> int | None:
    terminated = _state(pod, "terminated")
    return None if terminated is None else int(terminated.get("exitCode", -1))


def _has_started(pod: Object) -> bool:
    return _state(pod, "running") is not None or _state(pod, "terminated") is not None


def _is_deleted(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _container(pod: Object) -> Object:
    containers: Sequence[Object] = pod.get("spec", {}).get("containers") or ()
    return next((container for container in containers if container.get("name") == CONTAINER), {})


def _name(thing: Object) -> str:
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


def _node(pod: Object) -> str:
    return str(pod.get("spec", {}).get("nodeName", ""))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _events(thing: Object) -> str:
    """Where more is to be read: the pod itself is deleted, its events stay for an hour."""
    namespace, name = thing["metadata"].get("namespace"), thing["metadata"]["name"]
    events = f"kubectl get events -n {namespace} --field-selector involvedObject.name={name}"
    return f"`{events}` tells more, for an hour."


def _sentence(words: Any) -> str:
    return f"{str(words).rstrip(' .')}."


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
