"""Our own check of the Pod Security Standard "restricted", against its kinds of pods.

tests/integration/test_pod_security.py asks the API server about the same pods.
"""

import pytest

from goosejobs_worker.executors.kubernetes.pod_security import violations
from support.restricted import Case, cases


@pytest.mark.parametrize("case", cases("refused", "also_refused"), ids=str)
def test_a_kind_of_pod_that_the_profile_refuses_is_refused_with_its_field(case: Case) -> None:
    found = violations(case.spec, case.metadata)
    assert found
    assert found[0].startswith(case.says), found


@pytest.mark.parametrize("case", cases("admitted", "also_admitted"), ids=str)
def test_a_kind_of_pod_that_the_profile_admits_is_admitted(case: Case) -> None:
    assert violations(case.spec, case.metadata) == []


def test_no_kind_is_left_out() -> None:
    assert len({case.kind for case in cases("refused")}) == 76
    assert len({case.kind for case in cases("admitted")}) == 23


def test_every_breach_is_told_not_only_the_first() -> None:
    [pod] = [case for case in cases("refused") if case.kind == "allowprivilegeescalation3"]
    assert violations(pod.spec, {}) == [
        "spec.containers[0].securityContext.allowPrivilegeEscalation must be false",
        "spec.containers[0].securityContext.capabilities.drop must have ALL",
    ]


def test_a_debugging_container_is_held_to_the_same() -> None:
    [pod] = [case for case in cases("admitted") if case.kind == "base"]
    spec = {**pod.spec, "ephemeralContainers": [{"name": "debug", "securityContext": {"privileged": True}}]}
    assert "spec.ephemeralContainers[0].securityContext.privileged must not be true" in violations(spec, {})
