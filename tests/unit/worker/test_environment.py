"""What `spec.execution.env` and `envFrom` become in Process mode, held against what a kubelet does."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from goosejobs.model.execution import Execution
from goosejobs_worker.environment import (
    Absence,
    ConfigNotFound,
    Environment,
    Found,
    Kind,
    Source,
    resolve,
    sources,
)

DATA: Mapping[str, Mapping[str, str] | Absence] = {
    "Secret/mail": {"user": "ann", "password": "pa$(A)ss", "1st.key-x": "odd"},
    "Secret/empty": {},
    "Secret/zero": {"key": "a\0b"},
    "Secret/binary": {"key": "\udcff"},
    "Secret/huge": {"key": "x" * 128 * 1024},
    "Secret/hidden": Absence.FORBIDDEN,
    "Secret/gone": Absence.NOT_FOUND,
    "ConfigMap/settings": {"user": "bob", "A": "from the map", "level": "debug"},
    "ConfigMap/gone": Absence.NOT_FOUND,
}
FOUND: Found = {Source(Kind(key.split("/")[0]), key.split("/")[1]): data for key, data in DATA.items()}


def made(**execution: Any) -> Environment:
    given = Execution.model_validate(execution)
    assert set(sources(given.env, given.env_from)) <= set(FOUND)
    return resolve("team-a", given.env, given.env_from, FOUND)


def secret(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(
    ("why", "execution", "variables"),
    [
        ("nothing asked", {}, {}),
        ("a value", {"env": [{"name": "A", "value": "1"}]}, {"A": "1"}),
        ("no value is an empty one", {"env": [{"name": "A"}]}, {"A": ""}),
        ("a key of a Secret", {"env": [{"name": "P", **secret("mail", "user")}]}, {"P": "ann"}),
        (
            "a key of a ConfigMap",
            {"env": [{"name": "L", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}}]},
            {"L": "debug"},
        ),
        (
            "every key of a Secret, whatever it is called, behind the prefix",
            {"envFrom": [{"prefix": "M_", "secretRef": {"name": "mail"}}]},
            {"M_user": "ann", "M_password": "pa$(A)ss", "M_1st.key-x": "odd"},
        ),
        (
            "a later source wins over an earlier one, and env over both",
            {
                "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "mail"}}],
                "env": [{"name": "level", "value": "info"}],
            },
            {**FOUND[Source(Kind.SECRET, "mail")], "A": "from the map", "level": "info"},  # type: ignore[dict-item]
        ),
        (
            "references to envFrom and to what is further up",
            {
                "envFrom": [{"configMapRef": {"name": "settings"}}],
                "env": [
                    {"name": "B", "value": "<$(A)>"},
                    {"name": "C", "value": "$(B)$(level)$(D)"},
                    {"name": "D"},
                ],
            },
            {
                **FOUND[Source(Kind.CONFIG_MAP, "settings")],  # type: ignore[dict-item]
                "B": "<from the map>",
                "C": "<from the map>debug$(D)",
                "D": "",
            },
        ),
        (
            "values from elsewhere are left as they are",
            {"env": [{"name": "A", "value": "1"}, {"name": "P", **secret("mail", "password")}]},
            {"A": "1", "P": "pa$(A)ss"},
        ),
        (
            "an optional key or source that is missing sets nothing, and lets stand what there was",
            {
                "envFrom": [
                    {"configMapRef": {"name": "settings"}},
                    {"secretRef": {"name": "gone", "optional": True}},
                    {"configMapRef": {"name": "gone", "optional": True}},
                    {"secretRef": {"name": "empty"}},
                ],
                "env": [
                    {"name": "level", **secret("gone", "x", optional=True)},
                    {"name": "user", **secret("mail", "x", optional=True)},
                ],
            },
            FOUND[Source(Kind.CONFIG_MAP, "settings")],
        ),
    ],
)
def test_variables_are_those_that_a_pod_would_have(
    why: str, execution: dict[str, Any], variables: dict[str, str]
) -> None:
    assert made(**execution).variables == variables, why


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("$(A)", "1"),
        ("a$(A)b$(A)c", "a1b1c"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(X)", "$(X)"),
        ("$(A", "$(A"),
        ("$A ${A} $", "$A ${A} $"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
        ("$(B)", "$(A)"),  # what was put in is not looked at again
    ],
)
def test_a_reference_is_read_as_the_kubelet_reads_it(value: str, expanded: str) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$$(A)"}, {"name": "V", "value": value}]
    assert made(env=env).variables["V"] == expanded


@pytest.mark.parametrize(
    ("execution", "says"),
    [
        (
            {"env": [{"name": "A"}, {"name": "B", **secret("gone", "k")}]},
            (
                "spec.execution.env[1].valueFrom.secretKeyRef.name: there is no Secret gone in namespace "
                "team-a: create it, or set optional: true"
            ),
        ),
        (
            {"env": [{"name": "A", **secret("mail", "k")}]},
            (
                "spec.execution.env[0].valueFrom.secretKeyRef.key: Secret mail in namespace team-a has no "
                "key k: add it, name another one, or set optional: true"
            ),
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}}]},
            (
                "spec.execution.env[0].valueFrom.configMapKeyRef.key: ConfigMap settings in namespace team-a "
                "has no key k: add it, name one of those it has (A, level, user), or set optional: true"
            ),
        ),
        (
            {"envFrom": [{"configMapRef": {"name": "gone"}}]},
            "spec.execution.envFrom[0].configMapRef.name: there is no ConfigMap gone in namespace team-a",
        ),
        (
            {"env": [{"name": "A", **secret("hidden", "k", optional=True)}]},
            (
                "spec.execution.env[0].valueFrom.secretKeyRef.name: the worker may not read Secret hidden in "
                "namespace team-a: name it in the pool's process.secrets, or allow the worker to get it"
            ),
        ),
        (
            {"env": [{"name": "A", **secret("zero", "key")}]},
            "spec.execution.env[0].valueFrom.secretKeyRef: key key of Secret zero holds a zero byte",
        ),
        (
            {"env": [{"name": "A", **secret("binary", "key")}]},
            "spec.execution.env[0].valueFrom.secretKeyRef: key key of Secret binary is not UTF-8",
        ),
        (
            {"envFrom": [{"secretRef": {"name": "huge"}}]},
            "spec.execution.envFrom[0].secretRef: key key of Secret huge is longer than a variable can be",
        ),
        (
            {"envFrom": [{"prefix": "a=", "secretRef": {"name": "huge"}}]},
            "spec.execution.envFrom[0].secretRef: 'a=key' cannot be a variable's name",
        ),
        (
            {"env": [{"name": "A", **secret("gone", "k")}, {"name": "B", **secret("hidden", "k")}]},
            "; spec.execution.env[1].valueFrom.secretKeyRef.name: the worker may not read Secret hidden",
        ),
    ],
)
def test_what_is_missing_is_told_by_its_field_with_what_to_do(execution: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigNotFound) as problem:
        made(**execution)
    assert says in str(problem.value)


def test_values_are_secret_by_where_they_come_from() -> None:
    environment = made(
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "mail"}}],
        env=[{"name": "HARMLESS", **secret("mail", "password")}, {"name": "A", "value": "open"}],
    )
    assert environment.secrets == {"ann", "pa$(A)ss", "odd"}
    assert "ann" not in repr(environment)


def test_each_source_is_read_once() -> None:
    given = Execution.model_validate(
        {
            "envFrom": [{"secretRef": {"name": "mail"}}, {"configMapRef": {"name": "mail"}}],
            "env": [{"name": "A", **secret("mail", "a")}, {"name": "B", **secret("other", "b")}],
        }
    )
    assert [str(source) for source in sources(given.env, given.env_from)] == [
        "Secret mail",
        "ConfigMap mail",
        "Secret other",
    ]


@pytest.mark.parametrize("more", [0, 1])
def test_a_variable_is_refused_for_its_length_only_where_linux_refuses_it(more: int) -> None:
    value = "x" * (128 * 1024 - len("KEY=") - 1 + more)
    found = {Source(Kind.SECRET, "s"): {"KEY": value}}
    given = Execution.model_validate({"envFrom": [{"secretRef": {"name": "s"}}]})
    if not more:
        variables = resolve("team-a", given.env, given.env_from, found).variables
        assert (
            os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], variables), 0)[1]) == 0
        )
        return
    with pytest.raises(ConfigNotFound):
        resolve("team-a", given.env, given.env_from, found)
    with pytest.raises(OSError, match="too long"):
        os.posix_spawn("/bin/true", ["true"], {"KEY": value})
