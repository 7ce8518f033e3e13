"""The CRD's rules about `spec.execution`, as the worker keeps them itself.

tests/integration/test_pod_security.py asks the API server about the same cases.
"""

import pytest

from goosejobs.model.execution import Execution
from goosejobs_worker.executors.kubernetes import rules
from support.execution_rules import Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.says[:30]}-{case.execution}"[:100])
def test_what_the_crd_refuses_is_refused_with_its_words_and_the_field(case: Case) -> None:
    execution = Execution.model_validate(case.execution)
    found = rules.broken(execution.env, execution.env_from, execution.job)
    assert len(found) == bool(case.says)
    assert all(case.says in problem and problem.startswith("spec.execution.") for problem in found)


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.says[:30]}-{case.execution}"[:100])
def test_a_pool_is_held_to_the_same_but_may_set_keys_of_kubernetes(case: Case) -> None:
    execution = Execution.model_validate(case.execution)
    found = rules.broken(execution.env, execution.env_from, execution.job, of_pool=True)
    if "apparmor.security.beta.kubernetes.io" in str(case.execution):
        assert found == []
    else:
        assert len(found) == bool(case.says)
        assert not any(problem.startswith("spec.") for problem in found)
