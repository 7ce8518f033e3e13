"""The API server, set to enforce Pod Security "restricted", judges our pods and our judgement of pods."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from goosejobs_worker.executors.kubernetes.manifest import Refused, job_manifest
from goosejobs_worker.executors.kubernetes.pod_security import violations
from goosejobs_worker.executors.kubernetes.template import PoolTemplate
from support import execution_rules
from support.attempts import attempt
from support.objects import goosejob
from support.restricted import Case, cases

Kubectl = Callable[..., CompletedProcess[str]]
Object = dict[str, Any]

ACCOUNTS = ("default", "reporter", "runner")
ADMITTED = "admitted"
REFUSED = "refused by the profile"
NOT_EVEN_A_POD = {"fail-procmount0", "fail-procmount1"}
"""Since Kubernetes 1.35 these are invalid, before the profile is asked."""


@pytest.fixture(scope="module")
def restricted(kubectl: Kubectl) -> Iterator[str]:
    """A namespace that enforces the profile, with the service accounts that the cases name.

    Each worker of pytest-xdist that gets tests of this file makes one, and removes it.
    """
    name = f"restricted-{uuid.uuid4().hex[:8]}"
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "v1.35",
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("apply", "-f", "-", input=json.dumps(namespace))
    for account in ACCOUNTS:  # the controller's `default` may come later than we do, or at the same time
        meta = {"name": account, "namespace": name}
        text = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        kubectl("apply", "--server-side", "-f", "-", input=text)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def verdicts(kubectl: Kubectl, namespace: str, objects: Sequence[Object]) -> list[str]:
    """What the API server would say to each object: ADMITTED, REFUSED, or why it is none."""
    answer = kubectl(
        "create",
        "--dry-run=server",
        "--output=name",
        "--namespace",
        namespace,
        "-f",
        "-",
        input="\n".join(map(json.dumps, objects)),
        check=False,
    )
    taken = set(answer.stdout.split())
    return [_verdict(answer.stderr, taken, one) for one in objects]


def _verdict(errors: str, taken: set[str], one: Object) -> str:
    kind, name = one["kind"].lower(), one["metadata"]["name"]
    if {f"{kind}/{name}", f"{kind}.batch/{name}", f"{kind}.goosejobs.dev/{name}"} & taken:
        return ADMITTED
    if re.search(rf'pods "{name}" is forbidden: violates PodSecurity "restricted:v1\.35"', errors):
        return REFUSED
    # What is wrong stands in the line with the name, or, one line for each thing, after it.
    found = re.search(rf'.*"{name}"(?:.*\n\*)*.*', errors)
    return found[0] if found else errors


def pod(name: str, spec: Object, metadata: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": name}, "spec": spec}


def test_our_verdict_on_every_kind_of_pod_is_the_api_servers(kubectl: Kubectl, restricted: str) -> None:
    kinds: list[Case] = cases("refused", "admitted", "also_refused", "also_admitted")
    pods = [pod(f"case-{index}", case.spec, case.metadata) for index, case in enumerate(kinds)]
    answers = dict(zip(map(str, kinds), verdicts(kubectl, restricted, pods), strict=True))
    ours = {str(case): REFUSED if violations(case.spec, case.metadata) else ADMITTED for case in kinds}
    for name in NOT_EVEN_A_POD:
        assert "`hostUsers` must be false to use `Unmasked`" in answers.pop(name)
        assert ours.pop(name) == REFUSED
    assert answers == ours


# --- whatever a GooseJob and a pool say

NAMES = st.sampled_from(["a", "b", "cache"])
VALUES = st.sampled_from(["", "x", "A-b_c.9"])
KEYS = st.sampled_from(["team", "example.com/team", "seccomp.example.com/pod"])
ANNOTATIONS = st.sampled_from(
    [
        "note",
        "container.apparmor.security.beta.kubernetes.io/goose",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
    ]
)
PROFILES = st.sampled_from(["unconfined", "localhost/x", "runtime/default", ""])
SOURCES = st.sampled_from(
    [
        {"secretKeyRef": {"name": "s", "key": "k"}},
        {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}},
    ]
)
VOLUME_KINDS = st.sampled_from(
    [
        {"emptyDir": {}},
        {"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}},
        {"configMap": {"name": "c", "optional": True}},
        {"persistentVolumeClaim": {"claimName": "p", "readOnly": True}},
    ]
)
TOLERATIONS = st.sampled_from(
    [
        {"operator": "Exists"},
        {"key": "gpu", "value": "x", "effect": "NoSchedule"},
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoExecute"},
        {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
    ]
)


def volumes() -> st.SearchStrategy[Object]:
    return st.builds(lambda name, kind: {"name": name, **kind}, NAMES, VOLUME_KINDS)


def variables() -> st.SearchStrategy[list[Object]]:
    name = st.sampled_from(["A", "PATH", "LD_PRELOAD", "GOOSE_MODEL", "KUBECONFIG", "a.b-c"])
    value = st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20), st.none()
    )
    given_value = st.builds(lambda n, v: {"name": n, "value": v}, name, value)
    taken_value = st.builds(lambda n, v: {"name": n, "valueFrom": v}, name, SOURCES)
    return st.lists(
        st.one_of(given_value, taken_value), max_size=3, unique_by=lambda variable: variable["name"]
    )


@st.composite
def job_templates(draw: st.DrawFn) -> Object:
    chosen = draw(st.lists(volumes(), unique_by=lambda volume: volume["name"], max_size=3))
    places = draw(st.lists(st.sampled_from(["/data", "/etc/x", "/work"]), unique=True, max_size=len(chosen)))
    mounts = [
        {"name": chosen[index]["name"], "mountPath": place, "readOnly": draw(st.booleans())}
        for index, place in enumerate(places)
    ]
    return {
        "image": draw(st.sampled_from([None, "example/goose", "registry.example:5000/g@sha256:" + "0" * 64])),
        "imagePullPolicy": draw(st.sampled_from([None, "Always", "IfNotPresent", "Never"])),
        "imagePullSecrets": [{"name": name} for name in draw(st.lists(NAMES, unique=True, max_size=2))],
        "resources": {
            "requests": draw(st.dictionaries(st.sampled_from(["cpu", "memory"]), st.just("1"), max_size=2)),
            "limits": draw(st.dictionaries(st.sampled_from(["cpu", "memory"]), st.just(2), max_size=2)),
        },
        "serviceAccountName": draw(st.sampled_from([None, *ACCOUNTS, "admin"])),
        "automountServiceAccountToken": draw(st.booleans()),
        "nodeSelector": draw(st.dictionaries(KEYS, VALUES, max_size=2)),
        "tolerations": draw(st.lists(TOLERATIONS, max_size=2)),
        "volumes": chosen,
        "volumeMounts": mounts,
        "labels": draw(st.dictionaries(KEYS, VALUES, max_size=2)),
        "annotations": draw(st.dictionaries(ANNOTATIONS, PROFILES, max_size=1)),
    }


@st.composite
def pool_templates(draw: st.DrawFn) -> Object:
    localhost = {"type": "Localhost", "localhostProfile": "p.json"}
    return {
        "env": draw(variables()),
        "job": {**draw(job_templates()), "serviceAccountName": draw(st.sampled_from([None, "runner"]))},
        "allowedServiceAccounts": ["reporter"],
        "security": {
            "runAsUser": draw(st.sampled_from([None, 1, 1000, 2**31 - 1])),
            "runAsGroup": draw(st.sampled_from([None, 0, 1000])),
            "fsGroup": draw(st.sampled_from([None, 0, 1000])),
            "seccompProfile": localhost if draw(st.booleans()) else {},
        },
    }


@st.composite
def asked(draw: st.DrawFn) -> tuple[Object, Object]:
    """What a GooseJob and its pool say."""
    said = {
        "env": draw(variables()),
        "env_from": draw(st.sampled_from([[], [{"secretRef": {"name": "s"}}]])),
        "job": draw(st.one_of(st.none(), job_templates())),
        "model": draw(st.sampled_from([{}, {"provider": "openai", "name": "--x $(A)"}])),
        "deadline": draw(st.sampled_from([1, 604800])),
    }
    return said, draw(pool_templates())


def manifests(pairs: Sequence[tuple[Object, Object]], namespace: str) -> Iterator[Object]:
    """The Jobs that may be made, one for each pair at most."""
    for index, (said, pools) in enumerate(pairs):
        request = attempt(name=f"job-{index}", namespace=namespace, **said)
        try:
            yield job_manifest(request, '{"title":"t"}', PoolTemplate.model_validate(pools), "default")
        except Refused:
            continue


def test_nothing_that_a_goosejob_and_its_pool_say_makes_a_pod_that_the_profile_refuses(
    kubectl: Kubectl, restricted: str
) -> None:
    counts: Counter[str] = Counter()

    # Without shrinking: the API server's sentence names the pod, and each try asks it about forty objects.
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    @given(st.lists(asked(), min_size=20, max_size=20))
    def judged(pairs: list[tuple[Object, Object]]) -> None:
        jobs = list(manifests(pairs, restricted))
        pods = [
            pod(job["metadata"]["name"], template["spec"], template["metadata"])
            for job in jobs
            for template in [job["spec"]["template"]]
        ]
        told = verdicts(kubectl, restricted, [*jobs, *pods])
        counts.update(told[len(jobs) :])
        counts["refused by us"] += len(pairs) - len(jobs)
        assert [one for one in told if one != ADMITTED] == []

    judged()
    assert counts[ADMITTED] > 40
    assert counts["refused by us"] > 5


def test_the_recipe_at_its_limit_is_a_job_that_the_api_server_takes(
    kubectl: Kubectl, restricted: str
) -> None:
    annotations = {f"note-{index}": "x" * 4096 for index in range(13)}
    request = attempt(namespace=restricted, job={"annotations": annotations})

    def told(recipe: str) -> tuple[str, str]:
        job = job_manifest(request, recipe, PoolTemplate(), "default")
        template = job["spec"]["template"]
        as_pod = pod("full", template["spec"], template["metadata"])
        first, second = verdicts(kubectl, restricted, [job, as_pod])
        return first, second

    with pytest.raises(Refused) as caught:
        told("x" * 262144)
    over = int(re.search(r"have (\d+) bytes together", caught.value.message)[1]) - 262144  # type: ignore[index]
    assert told("x" * (262144 - over)) == (ADMITTED, ADMITTED)
    with pytest.raises(Refused):
        told("x" * (262144 - over + 1))


def test_what_the_worker_refuses_of_an_execution_the_crd_refuses_in_the_same_words(
    kubectl: Kubectl, restricted: str
) -> None:
    kinds = execution_rules.cases()
    objects = [
        goosejob(f"case-{index}", execution={"pool": "default", **case.execution})
        for index, case in enumerate(kinds)
    ]
    wrong = {
        str(case): answer
        for case, answer in zip(kinds, verdicts(kubectl, restricted, objects), strict=True)
        if (case.says not in answer) or (not case.says and answer != ADMITTED)
    }
    assert wrong == {}
