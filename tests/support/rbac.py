"""What accounts are allowed to do, read from the manifests that allow it: deploy/, charts and kustomize.

tests/data/rbac says what each of our accounts may do, no more and no less. `granted` follows the bindings of
a set of objects, `expected` reads the data; both are sets of single permissions, so that neither the order of
rules nor how they are put together matters.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Object = dict[str, Any]
DATA = Path(__file__).parents[1] / "data/rbac"
CLUSTER = "*"


class Permission(NamedTuple):
    """One verb on one resource."""

    namespace: str
    """`*`: all of them, and what is in none."""
    group: str
    resource: str
    name: str
    """`*`: any."""
    verb: str


def single(rules: Iterable[Object], namespace: str) -> Iterator[Permission]:
    """The single permissions that rules give in a namespace."""
    for rule in rules:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}, rule
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames") or ["*"]:
                    for verb in rule["verbs"]:
                        yield Permission(namespace, group, resource, name, verb)


def granted(objects: Iterable[Object], account: str, namespace: str) -> set[Permission]:
    """What the bindings among the objects let a service account do.

    Args:
        objects: Manifests; those that are no roles or bindings are ignored.
        account: The service account's name.
        namespace: Its namespace, and that of objects that do not say theirs.
    """
    everything = list(objects)
    roles = {
        (each["kind"], each["metadata"].get("namespace", namespace), each["metadata"]["name"]): each["rules"]
        for each in everything
        if each["kind"] in {"Role", "ClusterRole"}
    }
    found: set[Permission] = set()
    for each in everything:
        if each["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        subjects = {(s["kind"], s["name"], s.get("namespace", namespace)) for s in each["subjects"]}
        if ("ServiceAccount", account, namespace) not in subjects:
            continue
        home = each["metadata"].get("namespace", namespace)
        where = CLUSTER if each["kind"] == "ClusterRoleBinding" else home
        kind, name = each["roleRef"]["kind"], each["roleRef"]["name"]
        [rules] = [
            rules
            for (role, its_namespace, its_name), rules in roles.items()
            if (role, its_name) == (kind, name) and (kind == "ClusterRole" or its_namespace == home)
        ]
        found |= set(single(rules, where))
    return found


def expected(part: str, *, served: Iterable[str], own: str = "", **named: Iterable[str]) -> set[Permission]:
    """What a part of ours may do, exactly.

    Args:
        part: `operator`, `worker-job` or `worker-process`.
        served: The namespaces it serves; `*` for all.
        own: The namespace it runs in.
        named: Names by resource, for a worker in Process mode: `secrets=["mail-account"]`.
    """
    rules = yaml.safe_load((DATA / f"{part}.yaml").read_text())
    found = {permission for namespace in served for permission in single(rules["served"], namespace)}
    found |= set(single(rules.get("cluster", ()), CLUSTER)) | set(single(rules.get("own", ()), own))
    for rule in rules.get("named", ()):
        names = [name for resource in rule["resources"] for name in named.get(resource, ())]
        if names:
            found |= {p for ns in served for p in single([{**rule, "resourceNames": names}], ns)}
    return found
