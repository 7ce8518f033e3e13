"""deploy/ and examples/: what is there is accepted, fits together, and asks for no more than it needs."""

import copy
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.envconfig import ClientConfig

from goosejobs_local.resolve import Resolver
from goosejobs_operator.settings import OperatorSettings
from goosejobs_worker.executors.kubernetes.manifest import job_manifest
from goosejobs_worker.executors.kubernetes.template import PoolTemplate
from goosejobs_worker.settings import WorkerSettings
from support import foreign
from support.attempts import attempt
from support.manifests import ROOT, Object, documents, environment, kustomizations, pod_templates, selects
from support.objects import Eventually, Kubectl
from support.rbac import expected, granted

DEPLOY = ROOT / "deploy"
OVERLAYS = {"dev": "agents", "production": "team-a"}
"""And the namespace of each one's pool."""
SYSTEM = "goosejobs-system"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
DRY_RUN = ("apply", "--dry-run=server", "--validate=strict")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
GOOSE_LABELS = job_manifest(attempt(), "recipe", PoolTemplate(), "default")["spec"]["template"]["metadata"][
    "labels"
]
Build = Callable[[Path], list[Object]]


@pytest.fixture(scope="session")
def build(kubectl: Kubectl) -> Build:
    """The objects of a kustomization."""
    return lambda folder: documents(kubectl("kustomize", str(folder)).stdout)


@pytest.fixture(scope="module", autouse=True)
def _kinds(kubectl: Kubectl) -> None:
    foreign.install(kubectl, foreign.ARGO + foreign.FLUX + foreign.CERT_MANAGER)


def try_all(kubectl: Kubectl, namespace: str, objects: list[Object]) -> None:
    """Ask the API server whether it takes these objects.

    Args:
        kubectl: As the fixture.
        namespace: Of the objects that do not say theirs.
        objects: Theirs are made, as they are described or bare: a dry run needs them.
    """
    described = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Namespace"}
    for name in {one["metadata"].get("namespace") for one in objects} - {None} - set(described):
        described[name] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for each in described.values():  # by the server: another test may make the same one now
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(each))
    placed = [one for one in objects if "namespace" in one["metadata"]]
    for group, options in ((placed, []), ([one for one in objects if one not in placed], ["-n", namespace])):
        if group:
            kubectl(*DRY_RUN, *options, "-f", "-", input="\n---\n".join(map(json.dumps, group)))


# -- the API server takes it --


@pytest.mark.parametrize("folder", kustomizations(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_kustomization_is_accepted(kubectl: Kubectl, build: Build, namespace: str, folder: Path) -> None:
    try_all(kubectl, namespace, build(folder))


FILES = [
    *sorted((ROOT / "examples").glob("*.yaml")),
    *sorted((ROOT / "examples/gitops/flux").glob("*.yaml")),
    DEPLOY / "rbac.yaml",
    DEPLOY / "overlays/production/temporal/certificates.yaml",
]


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_accepted(kubectl: Kubectl, namespace: str, file: Path) -> None:
    try_all(kubectl, namespace, documents(file.read_text()))


def test_a_wrong_field_would_not_be_accepted(kubectl: Kubectl, build: Build, namespace: str) -> None:
    [deployment] = [one for one in build(DEPLOY / "base/pool") if one["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    answer = kubectl(*DRY_RUN, "-n", namespace, "-f", "-", input=json.dumps(deployment), check=False)
    assert "livenesProbe" in answer.stderr
    assert answer.returncode == 1


# -- its pods are as they should be --


@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_every_pod_is_let_into_a_restricted_namespace(
    kubectl: Kubectl, eventually: Eventually, build: Build, namespace: str, overlay: str
) -> None:
    kubectl("label", "namespace", namespace, RESTRICTED)
    templates = list(pod_templates(build(DEPLOY / "overlays" / overlay)))
    loose = copy.deepcopy(templates[-1][1])
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refusal = 'violates PodSecurity "restricted'
    # First: who judges hears of the label a moment later, as does who makes the namespace's account.
    await eventually(lambda: refusal in try_pod(kubectl, namespace, loose).stderr)
    for name, template in templates:
        answer = try_pod(kubectl, namespace, template)
        assert answer.returncode == 0, (name, answer.stderr)


def try_pod(kubectl: Kubectl, namespace: str, template: Object) -> Any:
    """Ask the API server about one pod of a workload."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "one"},
        # Its account is in another namespace.
        "spec": {key: value for key, value in template["spec"].items() if key != "serviceAccountName"},
    }
    return kubectl(*DRY_RUN, "-n", namespace, "-f", "-", input=json.dumps(pod), check=False)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_bounded_probed_and_cannot_write_its_image(build: Build, overlay: str) -> None:
    objects = build(DEPLOY / "overlays" / overlay)
    for name, template in pod_templates(objects):
        for container in template["spec"]["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
            assert container["securityContext"]["readOnlyRootFilesystem"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_namespaces_refuse_other_pods(build: Build, overlay: str) -> None:
    objects = build(DEPLOY / "overlays" / overlay)
    labels = {o["metadata"]["name"]: o["metadata"]["labels"] for o in objects if o["kind"] == "Namespace"}
    assert set(labels) == {SYSTEM, OVERLAYS[overlay]}
    assert {each["pod-security.kubernetes.io/enforce"] for each in labels.values()} == {"restricted"}


# -- operator and workers get what they understand, and no more rights than they need --


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_accounts_may_do_what_they_need_and_nothing_else(build: Build, overlay: str) -> None:
    objects, pool = build(DEPLOY / "overlays" / overlay), OVERLAYS[overlay]
    assert granted(objects, "goosejobs-operator", SYSTEM) == expected("operator", served=["*"], own=SYSTEM)
    assert granted(objects, "goosejobs-worker-job", pool) == expected("worker-job", served=[pool])
    accounts = {name: template["spec"].get("serviceAccountName") for name, template in pod_templates(objects)}
    assert accounts.pop("Deployment/goosejobs-operator") == "goosejobs-operator"
    assert accounts.pop("Deployment/goosejobs-worker") == "goosejobs-worker-job"
    assert set(accounts.values()) <= {None}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_setting_is_misspelt(build: Build, overlay: str) -> None:
    objects = build(DEPLOY / "overlays" / overlay)
    for name, namespace, settings in (
        ("Deployment/goosejobs-operator", SYSTEM, OperatorSettings),
        ("Deployment/goosejobs-worker", OVERLAYS[overlay], WorkerSettings),
    ):
        variables = environment(dict(pod_templates(objects))[name], objects, namespace)
        ours = {key.removeprefix("GOOSEJOBS_").lower() for key in variables if key.startswith("GOOSEJOBS_")}
        assert ours <= set(settings.model_fields), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_temporals_sdk_finds_the_server_and_the_certificates(
    build: Build, overlay: str, tmp_path: Path
) -> None:
    objects = build(DEPLOY / "overlays" / overlay)
    for side, namespace in (("operator", SYSTEM), ("worker", OVERLAYS[overlay])):
        template = dict(pod_templates(objects))[f"Deployment/goosejobs-{side}"]
        variables = environment(template, objects, namespace)
        mounted = {mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
        for name in [name for name in variables if name.endswith("_PATH")]:
            path = Path(variables[name])
            assert str(path.parent) in mounted
            variables[name] = str(tmp_path / path.name)
            (tmp_path / path.name).write_text(path.name)
        config = ClientConfig.load_client_connect_config(disable_file=True, override_env_vars=variables)
        assert config["target_host"] == variables["TEMPORAL_ADDRESS"]
        assert config["namespace"] == variables["TEMPORAL_NAMESPACE"]
        if overlay == "production":
            tls = config["tls"]
            assert not isinstance(tls, bool)
            assert (tls.server_root_ca_cert, tls.client_cert, tls.client_private_key) == (
                b"ca.crt",
                b"tls.crt",
                b"tls.key",
            )
            assert config["target_host"].startswith(f"{tls.domain}:")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pool_has_a_template_that_its_worker_takes(build: Build, overlay: str, tmp_path: Path) -> None:
    objects, namespace = build(DEPLOY / "overlays" / overlay), OVERLAYS[overlay]
    template = dict(pod_templates(objects))["Deployment/goosejobs-worker"]
    file = Path(environment(template, objects, namespace)["GOOSEJOBS_POOL_TEMPLATE"])
    mounts = {m["mountPath"]: m["name"] for m in template["spec"]["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    name = volumes[mounts[str(file.parent)]]["configMap"]["name"]
    [data] = [
        one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name
    ]
    (tmp_path / file.name).write_text(data[file.name])
    loaded = PoolTemplate.load(tmp_path / file.name)
    assert [source.secret_ref and source.secret_ref.name for source in loaded.env_from] == ["goose-provider"]


# -- parts that are written down twice --


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_line_of_an_overlay_sets_the_tag_of_both_images(
    build: Build, tmp_path: Path, overlay: str
) -> None:
    for part in ("base", "overlays"):
        shutil.copytree(DEPLOY / part, tmp_path / part)
    settings = tmp_path / "overlays" / overlay / "connection/kustomization.yaml"
    settings.write_text(settings.read_text().replace(f"&tag {VERSION}", "&tag 7.7.7"))
    images = [
        template["spec"]["containers"][0]["image"]
        for name, template in pod_templates(build(tmp_path / "overlays" / overlay))
        if "goosejobs" in name
    ]
    assert sorted(images) == [
        "ghcr.io/goosejobs/operator:7.7.7",
        "ghcr.io/goosejobs/worker:7.7.7",
    ]


# -- production: Temporal behind mutual TLS, and walls between --


def temporal_values() -> Object:
    loaded: Object = yaml.safe_load(
        (DEPLOY / "overlays/production/temporal/temporal-values.yaml").read_text()
    )
    return loaded


def certificates() -> dict[tuple[str, str], Object]:
    """Each certificate's spec by the namespace and the name of its Secret."""
    objects = documents((DEPLOY / "overlays/production/temporal/certificates.yaml").read_text())
    return {
        (one["metadata"]["namespace"], one["spec"]["secretName"]): one["spec"]
        for one in objects
        if one["kind"] == "Certificate"
    }


def test_every_secret_with_a_certificate_is_made(build: Build) -> None:
    used = {
        ("temporal", volume["secret"]["secretName"])
        for part in (temporal_values()["server"], temporal_values()["admintools"], temporal_values()["web"])
        for volume in part["additionalVolumes"]
    }
    for each in build(DEPLOY / "overlays/production"):
        if each["kind"] == "Deployment":
            names = {
                volume.get("secret", {}).get("secretName")
                for volume in each["spec"]["template"]["spec"]["volumes"]
            }
            used |= {(each["metadata"]["namespace"], name) for name in names & {"goosejobs-temporal-tls"}}
    assert len(used) == 4
    assert used == {place for place, spec in certificates().items() if not spec.get("isCA")}


def test_the_server_has_the_name_that_clients_expect(build: Build) -> None:
    tls = temporal_values()["server"]["config"]["tls"]
    made = certificates()
    frontend = made["temporal", "temporal-frontend-tls"]["dnsNames"]
    [name] = {
        one["data"]["TEMPORAL_TLS_SERVER_NAME"]
        for one in build(DEPLOY / "overlays/production")
        if one["kind"] == "ConfigMap" and "TEMPORAL_ADDRESS" in one["data"]
    }
    assert {name, tls["frontend"]["client"]["serverName"]} <= set(frontend)
    assert tls["internode"]["client"]["serverName"] in made["temporal", "temporal-internode-tls"]["dnsNames"]
    for side in tls.values():
        assert side["server"]["requireClientAuth"]


def test_operator_and_worker_reach_temporal_and_the_gooses_do_not(build: Build) -> None:
    objects = build(DEPLOY / "overlays/production")
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(objects)}
    [wall] = [one for one in build(DEPLOY / "overlays/production/temporal") if one["kind"] == "NetworkPolicy"]
    [selector] = [
        peer["podSelector"]
        for rule in wall["spec"]["ingress"]
        for peer in rule["from"]
        if "namespaceSelector" in peer
    ]
    assert [name for name, each in labels.items() if selects(selector, each)] == list(labels)
    assert not selects(selector, GOOSE_LABELS)
    policies = {
        o["metadata"]["name"]: o["spec"]["podSelector"] for o in objects if o["kind"] == "NetworkPolicy"
    }
    assert selects(policies["goosejobs-operator"], labels["Deployment/goosejobs-operator"])
    assert selects(policies["goosejobs-worker"], labels["Deployment/goosejobs-worker"])
    assert [name for name, each in policies.items() if selects(each, GOOSE_LABELS)] == ["goosejobs-runs"]


@pytest.mark.parametrize("side", ["operator", "worker"])
def test_a_drain_of_nodes_leaves_a_replica(build: Build, side: str) -> None:
    objects = build(DEPLOY / "overlays/production")
    [replicas] = [
        one["spec"]["replicas"]
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", f"goosejobs-{side}")
    ]
    [budget] = [
        one["spec"]
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == ("PodDisruptionBudget", f"goosejobs-{side}")
    ]
    labels = dict(pod_templates(objects))[f"Deployment/goosejobs-{side}"]["metadata"]["labels"]
    assert selects(budget["selector"], labels)
    assert replicas > budget["maxUnavailable"]


# -- Flux installs the charts --


def test_flux_gives_the_charts_values_that_they_take() -> None:
    releases = [
        one["spec"]
        for one in documents((ROOT / "examples/gitops/flux/platform.yaml").read_text())
        if one["kind"] == "HelmRelease"
    ]
    charts = [release["chart"]["spec"]["chart"] for release in releases]
    assert charts == ["./charts/goosejobs-crds", "./charts/goosejobs", "./charts/goosejobs-worker"]
    helm = str(Resolver().resolve(["helm"])["helm"].path)
    for release in releases:
        values = json.dumps(release.get("values", {}))
        argv = [helm, "template", "it", str(ROOT / release["chart"]["spec"]["chart"]), "--values", "-"]
        answer = subprocess.run(argv, input=values, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
