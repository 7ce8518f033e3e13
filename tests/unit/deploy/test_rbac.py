"""What deploy/rbac.yaml allows, against tests/data/rbac."""

from pathlib import Path

import pytest
import yaml

from support.rbac import DATA, expected, granted, single

MANIFEST = Path(__file__).parents[3] / "deploy/rbac.yaml"
OBJECTS = list(yaml.safe_load_all(MANIFEST.read_text()))


def test_the_operator_may_do_what_it_needs_and_nothing_else() -> None:
    system = "goosejobs-system"
    assert granted(OBJECTS, "goosejobs-operator", system) == expected("operator", served=["*"], own=system)


@pytest.mark.parametrize("part", ["worker-job", "worker-process"])
def test_a_worker_may_do_what_it_needs_in_its_own_namespace_and_nothing_else(part: str) -> None:
    assert granted(OBJECTS, f"goosejobs-{part}", "default") == expected(part, served=["default"])


def test_a_worker_of_processes_reads_the_secrets_that_are_named_and_no_others() -> None:
    bare = expected("worker-process", served=["a", "b"])
    named = expected("worker-process", served=["a", "b"], secrets=["mail"]) - bare
    assert named == {("a", "", "secrets", "mail", "get"), ("b", "", "secrets", "mail", "get")}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_rule_has_a_wildcard_or_leads_to_more_rights(path: Path) -> None:
    rules = [rule for part in yaml.safe_load(path.read_text()).values() for rule in part]
    for _, group, resource, _, verb in single(rules, "x"):
        assert "*" not in {group, resource, verb}
        assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}
        assert resource not in {
            "pods/exec",
            "pods/attach",
            "pods/ephemeralcontainers",
            "serviceaccounts/token",
        }
        assert group != "rbac.authorization.k8s.io"
        assert (resource, verb) not in {("secrets", "list"), ("secrets", "watch"), ("pods", "create")}
