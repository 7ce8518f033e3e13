"""What each chart has to keep, whatever its values: what it renders is looked at, no cluster is asked."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined
from temporalio.envconfig import ClientConfig

from goosejobs.settings import Settings
from goosejobs_operator.settings import OperatorSettings
from goosejobs_worker.executors.kubernetes.pod_security import violations
from goosejobs_worker.executors.kubernetes.template import PoolTemplate
from goosejobs_worker.settings import WorkerSettings
from support.helm import CASES, CHARTS, OPERATORS, WORKERS, Case, rendered, template
from support.manifests import Object, environment, pod_templates, selects
from support.rbac import single

OURS = OPERATORS + WORKERS
FIXED = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
CONVENTION = FIXED | {
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


def each(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """All pods, those of `helm test` too: a name, and the template."""
    yield from pod_templates(objects)
    yield from ((f"Pod/{one['metadata']['name']}", one) for one in objects if one["kind"] == "Pod")


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


@each(CASES)
def test_every_object_has_the_labels_of_the_convention_and_its_namespace(case: Case) -> None:
    clusterwide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
    for one in rendered(case):
        assert set(one["metadata"]["labels"]) >= CONVENTION, one["metadata"]["name"]
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert ("namespace" in one["metadata"]) == (one["kind"] not in clusterwide)


@each(OURS)
def test_every_pod_is_one_that_pod_security_restricted_admits(case: Case) -> None:
    for name, pod in pods(rendered(case)):
        assert violations(pod["spec"], pod["metadata"]) == [], name


@each(OURS)
def test_every_container_has_a_fixed_image_and_says_what_it_needs(case: Case) -> None:
    for name, pod in pods(rendered(case)):
        for container in pod["spec"]["containers"]:
            _, found, tag = container["image"].rpartition("@" if "@" in container["image"] else ":")
            assert found, name
            assert tag != "latest", name
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), name
            assert "memory" in resources["limits"], name
            assert "cpu" not in resources["limits"], f"{name}: would be throttled"
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name


@each(OURS)
def test_what_runs_for_long_is_probed_on_the_paths_that_there_are(case: Case) -> None:
    for name, pod in pod_templates(rendered(case)):
        [container] = pod["spec"]["containers"]
        paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness")}
        assert paths == {"liveness": "/healthz", "readiness": "/readyz"}, name
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 60, name


@each(OURS)
def test_a_token_is_mounted_only_where_the_api_server_is_spoken_to(case: Case) -> None:
    objects = rendered(case)
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for name, pod in pods(objects):
        assert pod["spec"]["automountServiceAccountToken"] is name.startswith("Deployment/")
        assert pod["spec"]["enableServiceLinks"] is False


@each(OURS)
def test_no_rule_has_a_wildcard_or_leads_to_more_rights(case: Case) -> None:
    for role in [one for one in rendered(case) if one["kind"] in {"Role", "ClusterRole"}]:
        for _, group, resource, name, verb in single(role["rules"], "x"):
            assert "*" not in {group, resource, verb}
            assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}
            assert group != "rbac.authorization.k8s.io"
            assert resource != "secrets" or (name != "*" and verb == "get")
            assert (resource, verb) != ("pods", "create")


@each(OURS)
def test_every_selector_selects_the_chart_s_own_pods_by_labels_that_no_upgrade_changes(case: Case) -> None:
    objects = rendered(case)
    [(_, pod)] = pod_templates(objects)
    selectors = [one["spec"]["selector"] for one in objects if one["kind"] in {"Deployment", "PodMonitor"}]
    selectors += [one["spec"]["selector"] for one in of_kind(objects, "PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"] for one in of_kind(objects, "NetworkPolicy")]
    selectors += [{"matchLabels": one["spec"]["selector"]} for one in of_kind(objects, "Service")]
    assert len(selectors) >= 3
    for selector in selectors:
        assert set(selector["matchLabels"]) == FIXED
        assert selects(selector, pod["metadata"]["labels"])
        for test in of_kind(objects, "Pod"):
            assert not selects(selector, test["metadata"]["labels"])


@each(OURS)
def test_helm_tests_are_hooks_and_let_in_by_the_network_policy(case: Case) -> None:
    objects = rendered(case, "--set", "networkPolicy.enabled=true")
    [test] = of_kind(objects, "Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [policy] = of_kind(objects, "NetworkPolicy")
    [rule] = policy["spec"]["ingress"]
    assert any(selects(peer.get("podSelector", {}), test["metadata"]["labels"]) for peer in rule["from"])
    [service] = of_kind(objects, "Service")
    address = f"{service['metadata']['name']}.own.svc:8080"
    assert address in test["spec"]["containers"][0]["command"]


@each(WORKERS)
def test_a_worker_has_longer_to_stop_than_its_runs_have_to_drain(case: Case) -> None:
    objects = rendered(case)
    [(_, pod)] = pod_templates(objects)
    given = environment(pod, objects, "own")
    drain = 5.0
    if given["GOOSEJOBS_MODE"] == "Process":
        drain = float(given["GOOSEJOBS_DRAIN_SECONDS"]) + float(given["GOOSEJOBS_KILL_GRACE_SECONDS"])
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 10


def test_a_new_worker_comes_before_an_old_one_goes() -> None:
    for chart in ("goosejobs", "goosejobs-worker"):
        [deployment] = of_kind(template(chart), "Deployment")
        rolling = {"maxUnavailable": 0, "maxSurge": 1}
        assert deployment["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}


@pytest.mark.parametrize(
    ("values", "replicas"), [("replicas=3", 3), ("replicas=null", None), ("autoscaling.enabled=true", None)]
)
def test_the_number_of_workers_is_left_to_whoever_scales_them(values: str, replicas: int | None) -> None:
    [deployment] = of_kind(template("goosejobs-worker", "--set", values), "Deployment")
    assert deployment["spec"].get("replicas") == replicas


# What the pods are told is what our programs read.


def told(case: Case) -> dict[str, str]:
    objects = rendered(case)
    [(_, pod)] = pod_templates(objects)
    return environment(pod, objects, "own")


def settled(case: Case, model: type[Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a program reads in such a pod; files of volumes are not there."""
    known = {f"GOOSEJOBS_{name.upper()}" for name in model.model_fields}
    for name, value in told(case).items():
        if name.startswith("GOOSEJOBS_"):
            assert name in known
        if not value.startswith("/etc/goosejobs/"):
            monkeypatch.setenv(name, value)
    return model.load()


@each(OPERATORS)
def test_the_operator_understands_what_it_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settled(case, OperatorSettings, monkeypatch)
    assert isinstance(settings, OperatorSettings)
    assert settings.health_host_port == ("0.0.0.0", 8080)  # noqa: S104
    assert settings.lease_name == "r-goosejobs"


@each(WORKERS)
def test_a_worker_understands_what_it_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settled(case, WorkerSettings, monkeypatch)
    assert isinstance(settings, WorkerSettings)
    assert settings.namespaces == {"job": ["team-a", "team-b"], "everywhere": ["*"]}.get(
        case.values.stem.removesuffix("-values"), ["own"]
    )


@pytest.mark.parametrize("model", [OperatorSettings, WorkerSettings])
def test_the_charts_default_values_are_the_settings_own(model: type[Settings]) -> None:
    """A value that differs from the setting's default would tell two stories about one thing."""
    chart, differ = ("goosejobs", {"GOOSEJOBS_LEASE_NAME"})
    if model is WorkerSettings:
        chart, differ = ("goosejobs-worker", {"GOOSEJOBS_DATA_DIR"})
    given = told(Case(chart, CHARTS / chart / "values.yaml"))
    compared = 0
    for name, field in model.model_fields.items():
        variable = f"GOOSEJOBS_{name.upper()}"
        if variable in given and variable not in differ and field.default not in (PydanticUndefined, None):
            compared += 1
            assert given[variable] == str(field.default), variable
    assert compared >= 5


@each(OURS)
def test_temporals_own_configuration_finds_what_it_is_told(case: Case, tmp_path: Path) -> None:
    given = {name: value for name, value in told(case).items() if name.startswith("TEMPORAL_")}
    for name, value in given.items():
        if value.startswith("/etc/goosejobs/"):
            file = tmp_path / Path(value).name
            file.write_text(name)
            given[name] = str(file)
    given["TEMPORAL_CONFIG_FILE"] = os.devnull
    found = ClientConfig.load_client_connect_config(override_env_vars=given)
    assert found["target_host"] == given["TEMPORAL_ADDRESS"]
    assert found["namespace"] == given["TEMPORAL_NAMESPACE"]
    assert bool(found.get("tls")) == ("TEMPORAL_TLS" in given)
    if "TEMPORAL_TLS_CLIENT_CERT_PATH" in given:
        tls = found["tls"]
        assert not isinstance(tls, bool)
        assert tls is not None
        assert tls.client_cert == b"TEMPORAL_TLS_CLIENT_CERT_PATH"
        assert tls.client_private_key == b"TEMPORAL_TLS_CLIENT_KEY_PATH"
        assert tls.server_root_ca_cert == b"TEMPORAL_TLS_SERVER_CA_CERT_PATH"


@each(OURS)
def test_every_file_that_a_program_is_told_of_is_mounted(case: Case) -> None:
    objects = rendered(case)
    [(_, pod)] = pod_templates(objects)
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert set(mounts.values()) == volumes
    paths = [value for value in told(case).values() if value.startswith("/")]
    for path in paths:
        assert path in mounts or str(Path(path).parent) in mounts


@each(tuple(case for case in WORKERS if "process" not in case.values.stem))
def test_the_worker_reads_the_pool_s_template_as_it_was_meant(case: Case, tmp_path: Path) -> None:
    [pool] = [
        one for one in of_kind(rendered(case), "ConfigMap") if one["metadata"]["name"].endswith("-pool")
    ]
    file = tmp_path / "template.yaml"
    file.write_text(pool["data"]["template.yaml"])
    read = PoolTemplate.load(file)
    if case.values.stem == "job-values":
        names = [variable.name for variable in read.env]
        assert names == ["GOOSE_MODEL", "GOOSE_PROVIDER", "HTTPS_PROXY", "MAIL_PASSWORD"]
        assert read.env_from[0].secret_ref is not None
        assert read.env_from[0].secret_ref.name == "model-provider"
        assert read.job.image == "registry.example.com/agents:2026-11"
        assert read.security.run_as_user is None
        assert read.allowed_service_accounts == ["reader"]
    else:
        assert read == PoolTemplate()


def test_a_changed_template_makes_new_workers_and_a_changed_recipe_does_not() -> None:
    def annotations(*values: str) -> dict[str, str]:
        [(_, pod)] = pod_templates(template("goosejobs-worker", *values))
        found: dict[str, str] = pod["metadata"]["annotations"]
        return found

    assert annotations() != annotations("--set", "template.job.image=x:1")
    recipes = [annotations("--set", f"recipes.files.a={text}") for text in ("x", "y")]
    assert recipes[0] == recipes[1]
