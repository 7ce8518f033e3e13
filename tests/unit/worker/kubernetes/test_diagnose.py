"""What Kubernetes did to a run, told from what its API server says about the Job and the pod."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.model.reasons import Reason
from goosejobs.model.status import MAX_MESSAGE
from goosejobs_worker.executors.kubernetes.diagnose import Diagnosis, diagnose, is_settled
from support import recorded

Object = dict[str, Any]

CREATED = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMEOUT = timedelta(minutes=10)


# --- recorded from a real node


@pytest.mark.parametrize("name", recorded.names())
def test_a_recorded_pod_is_diagnosed_when_it_is_certain_and_not_before(name: str) -> None:
    recording = recorded.load(name)
    found = recorded.first_diagnosis(recording)
    told = found and {"at": found[0], "reason": found[1].reason.value, "message": found[1].message}
    assert told == recording.expected


def test_every_reason_that_kubernetes_gives_has_been_seen_on_a_real_node() -> None:
    expected = [recorded.load(name).expected for name in recorded.names()]
    assert {one["reason"] for one in expected if one is not None} == {
        "ConfigNotFound",
        "DeadlineExceeded",
        "Evicted",
        "ImagePullFailed",
        "NodeLost",
        "OOMKilled",
        "PodFailed",
        "Unschedulable",
    }


@pytest.mark.parametrize("name", ["succeeded", "goose-failed", "goose-exit-1", "killed", "oom-tool"])
def test_where_goose_came_to_its_own_end_its_pod_is_settled_at_once(name: str) -> None:
    ended = [
        (job, pod)
        for _, job, pod in recorded.looks(recorded.load(name))
        if pod and "terminated" in pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
    ]
    assert ended
    assert all(is_settled(job, pod) for job, pod in ended)


@pytest.mark.parametrize("name", ["pod-deleted", "pod-deleted-by-force", "evicted", "preempted"])
def test_where_goose_was_ended_its_pod_is_settled_only_with_the_word_of_its_job(name: str) -> None:
    settled = [
        is_settled(job, pod)
        for _, job, pod in recorded.looks(recorded.load(name))
        if pod and "deletionTimestamp" in pod["metadata"]
    ]
    assert settled == sorted(settled)
    assert (settled[0], settled[-1]) == (False, True)


# --- what no recording has


def job(*conditions: Object) -> Object:
    return {
        "metadata": {"name": "j", "namespace": "team-a", "creationTimestamp": "2026-11-21T12:00:00Z"},
        "spec": {"activeDeadlineSeconds": 60},
        "status": {"conditions": list(conditions)},
    }


def failed(reason: str, kind: str = "Failed") -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": f"{reason} it was"}


def pod(
    *conditions: Object,
    phase: str = "Running",
    reason: str | None = None,
    message: str | None = None,
    state: Object | None = None,
    deleted: str | None = None,
    node: str = "n1",
    limits: Object | None = None,
    volumes: list[Object] | None = None,
) -> Object:
    meta = {"name": "p", "namespace": "team-a", "creationTimestamp": "2026-11-21T12:00:00Z"}
    status: Object = {"phase": phase, "conditions": list(conditions)}
    status |= {} if state is None else {"containerStatuses": [{"name": "goose", "state": state}]}
    status |= {} if reason is None else {"reason": reason}
    status |= {} if message is None else {"message": message}
    container = {"name": "goose", "image": "example/goose:1", "resources": {"limits": limits or {}}}
    return {
        "metadata": meta if deleted is None else {**meta, "deletionTimestamp": deleted},
        "spec": {"nodeName": node, "containers": [container], "volumes": volumes or []},
        "status": status,
    }


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def exited(code: int, reason: str = "Error", message: str = "") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def told(seen: Object | None, of_job: Object | None = None, after: float = 30) -> Diagnosis | None:
    return diagnose(of_job or job(), seen, CREATED + timedelta(seconds=after), TIMEOUT)


RUNNING: Object = {"running": {}}
DISRUPTED = condition(
    "DisruptionTarget", "True", "TerminationByKubelet", "The node was low on resource: memory."
)


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (pod(phase="Failed", reason="NodeLost"), Reason.NODE_LOST, "node n1 is not heard of any more"),
        (pod(phase="Unknown", state=RUNNING), Reason.NODE_LOST, "kubectl delete node n1"),
        (
            pod(DISRUPTED, phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            Reason.EVICTED,
            "pod team-a/p on node n1 was ended by its node: The node was low on resource: memory. It is",
        ),
        (
            pod(
                phase="Failed",
                reason="Terminated",
                message="Pod was terminated in response to imminent node shutdown.",
            ),
            Reason.EVICTED,
            "was ended by its node: Pod was terminated in response to imminent node shutdown. It",
        ),
        (
            pod(phase="Failed", reason="NodeAffinity"),
            Reason.EVICTED,
            "was turned away by its node: NodeAffinity.",
        ),
        (
            pod(phase="Failed", reason="OutOfnvidia.com/gpu"),
            Reason.EVICTED,
            "turned away by its node: OutOfnvidia",
        ),
        (
            pod(phase="Failed", state=exited(137, "ContainerStatusUnknown", "could not be located")),
            Reason.EVICTED,
            "was lost by its node, which may have been restarted: could not be located.",
        ),
        (
            pod(phase="Failed", reason="Novelty", message="Who knows"),
            Reason.POD_FAILED,
            "failed on node n1: Who knows",
        ),
        (pod(phase="Failed"), Reason.POD_FAILED, "Kubernetes gave no reason"),
        (pod(phase="Failed", reason="DeadlineExceeded"), Reason.DEADLINE_EXCEEDED, "not done after 60 s"),
        (
            pod(state=exited(128, "StartError", 'exec: "goose": permission denied')),
            Reason.POD_FAILED,
            'goose cannot be started in pod team-a/p on node n1, image example/goose:1: exec: "goose": perm',
        ),
        (
            pod(state=exited(127, "ContainerCannotRun", "no such file or directory")),
            Reason.POD_FAILED,
            "no goose on",
        ),
        (
            pod(state=exited(137, "OOMKilled"), limits={}),
            Reason.OOM_KILLED,
            "more memory than the node had for them",
        ),
        (
            pod(state=exited(137, "OOMKilled"), limits={"memory": "1Gi"}),
            Reason.OOM_KILLED,
            "their limit of 1Gi",
        ),
        (
            pod(phase="Pending", state=waiting("RegistryUnavailable")),
            Reason.IMAGE_PULL_FAILED,
            "RegistryUnavailable.",
        ),
        (
            pod(
                phase="Pending",
                state=waiting("CreateContainerConfigError", "references non-existent secret key: a"),
            ),
            Reason.CONFIG_NOT_FOUND,
            "pod team-a/p cannot start: references non-existent secret key: a. Create it,",
        ),
    ],
)
def test_what_the_pod_says_is_named(seen: Object, reason: Reason, words: str) -> None:
    found = told(seen)
    assert found is not None
    assert found.reason is reason
    assert words in found.message


@pytest.mark.parametrize(
    "seen",
    [
        None,
        pod(phase="Pending", node=""),
        pod(phase="Pending", state=waiting("ContainerCreating")),
        pod(phase="Pending", state=waiting("ErrImagePull", "not found")),
        pod(phase="Pending", state=waiting("CreateContainerConfigError", "failed to sync secret cache")),
        pod(phase="Pending", state=waiting("CreateContainerError", "context deadline exceeded")),
        pod(state=RUNNING),
        pod(condition("Ready", "False"), state=RUNNING),
        pod(condition("DisruptionTarget", "True", "EvictionByEvictionAPI"), state=RUNNING),
        pod(state=exited(0, "Completed")),
        pod(state=exited(0, "OOMKilled")),
        pod(state=exited(1, "OOMKilled")),
        pod(phase="Failed", state=exited(1)),
        pod(phase="Failed", state=exited(137)),
        pod(condition("DisruptionTarget", "False", "EvictionByEvictionAPI"), phase="Failed", state=exited(1)),
        pod(phase="Failed", state=exited(137), deleted="2026-11-21T12:00:20Z"),
        pod(DISRUPTED, phase="Succeeded", state=exited(0, "Completed")),
    ],
)
def test_what_may_yet_go_well_or_is_gooses_own_end_is_no_diagnosis(seen: Object | None) -> None:
    assert told(seen) is None


def test_gooses_own_end_counts_more_than_a_deadline_that_came_too_late_to_end_it() -> None:
    late = job(failed("DeadlineExceeded", "FailureTarget"))
    assert told(pod(phase="Succeeded", state=exited(0, "Completed")), late) is None
    assert told(pod(phase="Failed", state=exited(1)), late) is None
    ended = told(pod(phase="Failed", state=exited(137), deleted="2026-11-21T12:01:05Z"), late)
    assert ended == Diagnosis(Reason.DEADLINE_EXCEEDED, "not done after 60 s (spec.activeDeadlineSeconds)")


def test_a_job_that_failed_without_a_pod_to_see_is_told_in_its_own_words() -> None:
    gone = told(None, job(failed("BackoffLimitExceeded")))
    assert gone == Diagnosis(
        Reason.POD_FAILED, "Job team-a/j failed, and its pod is gone: BackoffLimitExceeded it was"
    )
    late = told(None, job(failed("DeadlineExceeded")))
    assert late is not None
    assert late.reason is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (None, Reason.POD_FAILED, "Job team-a/j has no pod after 600 s: a ResourceQuota"),
        (
            pod(phase="Pending", node=""),
            Reason.UNSCHEDULABLE,
            "within 600 s: the scheduler said nothing about it.",
        ),
        (
            pod(phase="Pending", state=waiting("ErrImagePull", "slow")),
            Reason.POD_FAILED,
            "on node n1: slow. `kubectl get events -n team-a",
        ),
        (pod(phase="Pending"), Reason.POD_FAILED, "its containers are not there yet"),
        (
            pod(phase="Pending", volumes=[{"name": "a", "configMap": {"name": "settings"}}]),
            Reason.CONFIG_NOT_FOUND,
            "It mounts ConfigMap settings: is all of it there?",
        ),
        (
            pod(phase="Pending", volumes=[{"name": "a", "secret": {"secretName": "s", "optional": True}}]),
            Reason.POD_FAILED,
            "its containers are not there yet",
        ),
    ],
)
def test_what_has_not_started_in_time_is_given_up(seen: Object | None, reason: Reason, words: str) -> None:
    assert told(seen, after=TIMEOUT.total_seconds() - 1) is None
    found = told(seen, after=TIMEOUT.total_seconds())
    assert found is not None
    assert found.reason is reason
    assert words in found.message


def test_what_has_started_has_no_start_timeout() -> None:
    assert told(pod(state=RUNNING), after=10 * TIMEOUT.total_seconds()) is None


MISSED = condition("Ready", "False")
BUSY = condition("Ready", "False", "ContainersNotReady")


@pytest.mark.parametrize(
    ("ready", "after", "lost"),
    [(MISSED, 22, False), (MISSED, 23, True), (BUSY, 23, False), (BUSY, 80, False), (BUSY, 81, True)],
)
def test_a_node_that_does_not_end_a_pod_is_lost_soon_if_it_is_missed_and_late_if_it_may_be_busy(
    ready: Object, after: float, lost: bool
) -> None:
    found = told(pod(ready, state=RUNNING, deleted="2026-11-21T12:00:20Z"), after=after)
    assert (found is not None and found.reason is Reason.NODE_LOST) == lost


def test_a_pod_on_no_node_or_at_its_end_is_not_lost_however_long_it_stays() -> None:
    long_ago = "2026-11-21T11:00:00Z"
    assert told(pod(phase="Pending", node="", deleted=long_ago)) is None
    assert told(pod(phase="Failed", state=exited(137), deleted=long_ago)) is None


def test_a_container_that_somebody_else_put_beside_goose_is_not_taken_for_it() -> None:
    seen = pod(phase="Running", state=RUNNING)
    proxy = {"name": "proxy", "state": exited(137, "OOMKilled")}
    seen["status"]["containerStatuses"].insert(0, proxy)
    assert told(seen) is None
    seen["status"]["containerStatuses"] = [proxy]
    seen["status"]["phase"] = "Pending"
    assert told(seen) is None


def test_a_message_is_one_bounded_line_without_credentials() -> None:
    registry = "https://bob:hunter22@registry.example/v2\n" + "x" * 5000
    found = told(pod(phase="Pending", state=waiting("ImagePullBackOff", registry)))
    assert found is not None
    assert len(found.message) <= MAX_MESSAGE
    assert "\n" not in found.message
    assert "hunter22" not in found.message


STATES: st.SearchStrategy[Object] = st.one_of(
    st.just({}),
    st.just(RUNNING),
    st.builds(
        waiting,
        st.sampled_from(["ContainerCreating", "ImagePullBackOff", "CreateContainerConfigError"]),
        st.text(),
    ),
    st.builds(
        exited,
        st.integers(0, 255),
        st.sampled_from(["Error", "OOMKilled", "StartError", "Completed"]),
        st.text(),
    ),
)
CONDITIONS = st.builds(
    condition,
    st.sampled_from(["Ready", "PodScheduled", "DisruptionTarget", "New"]),
    st.sampled_from(["True", "False", "Unknown"]),
    st.sampled_from(["", "DeletionByPodGC", "DeletionByTaintManager", "Unschedulable"]),
    st.text(),
)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        pod,
        CONDITIONS,
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", "New"]),
        reason=st.one_of(st.none(), st.text()),
        message=st.one_of(st.none(), st.text()),
        state=st.one_of(st.none(), STATES),
        deleted=st.sampled_from([None, "2026-11-21T12:00:05Z"]),
        node=st.sampled_from(["", "n1"]),
    ),
    st.sampled_from(
        [job(), job(failed("BackoffLimitExceeded")), job(failed("DeadlineExceeded", "FailureTarget"))]
    ),
    st.sampled_from([0, 30, 3600]),
)
def test_whatever_kubernetes_says_is_read_and_gooses_success_stays_one(
    seen: Object, of_job: Object, after: int
) -> None:
    found = told(seen, of_job, after)
    assert found is None or 0 < len(found.message) <= MAX_MESSAGE
    state = seen["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
    if state.get("terminated", {}).get("exitCode") == 0:
        assert found is None
