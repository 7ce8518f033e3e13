"""The charts, with each of their ci/*-values.yaml: linted, rendered, and asked of a real API server."""

import json
import re
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from support import foreign
from support.helm import CASES, CHARTS, OPERATORS, WORKERS, Case, helm, rendered, template
from support.manifests import ROOT, pod_templates
from support.objects import apply, goosejob
from support.rbac import expected, granted
from support.rig import Rig

Kubectl = Callable[..., CompletedProcess[str]]

OTHERS = (
    foreign.Module(
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "h1:AohlYJT+En8TmNpAcEUJ3GsaJTAqfEBwHmGTVpRm/Io=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ),
    ),
    foreign.Module(
        "github.com/kedacore/keda/v2@v2.18.0",
        "h1:ttR223fii/4QJ0YvtrhcWHaEoezByb/t5CeFopjl6EI=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    ),
)
TEAMS = {"team-a", "team-b"}


def each(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


@each(CASES)
def test_a_chart_passes_helms_own_strict_checks(case: Case) -> None:
    helm("lint", "--strict", str(CHARTS / case.chart), "-f", str(case.values))


# What the API server says.


@pytest.fixture(scope="module")
def strict(platform: Rig) -> Iterator[str]:
    """A namespace that admits "restricted" pods only. There are other projects' kinds, too."""
    foreign.install(platform.kubectl, OTHERS)
    name = f"charts-{uuid.uuid4().hex[:8]}"
    # Born with its label: one that comes later is not at once known to the part that judges pods.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    # The controller's `default`, which every pod asks for, may come later than we do, or at the same time.
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": name},
    }
    for one in (namespace, account):
        platform.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(one))
    yield name
    platform.kubectl("delete", "namespace", name, "--wait=false")


@each(CASES)
def test_the_api_server_takes_all_of_it_and_knows_every_field(
    case: Case, strict: str, kubectl: Kubectl
) -> None:
    objects = rendered(case, namespace=strict)
    for one in objects:
        if one["metadata"].get("namespace") in TEAMS:  # which need not be there
            one["metadata"]["namespace"] = "default"
    answer = kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=helm"),
        *("--dry-run=server", "--validate=strict", "-f", "-"),
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == len(objects) > 0
    assert "Warning" not in answer.stderr


@each(OPERATORS + WORKERS)
def test_its_pods_are_admitted_where_pod_security_restricted_is_enforced(
    case: Case, strict: str, kubectl: Kubectl
) -> None:
    templates = list(pod_templates(rendered(case, namespace=strict)))
    assert templates
    for _, pod in templates:
        # The account and the priority are not what is asked about, and need not be there.
        spec = {**pod["spec"], "serviceAccountName": "default", "priorityClassName": ""}
        one = {"apiVersion": "v1", "kind": "Pod", "metadata": {**pod["metadata"], "name": "x"}, "spec": spec}
        kubectl(
            "create", "--dry-run=server", "--validate=strict", "-n", strict, "-f", "-", input=json.dumps(one)
        )


@each(CASES)
def test_the_notes_tell_the_next_command(case: Case, strict: str, kubeconfig: Path) -> None:
    said = helm(
        *("install", "r", str(CHARTS / case.chart), "-n", strict, "-f", str(case.values)),
        *("--dry-run=server", "--take-ownership"),
        kubeconfig=kubeconfig,
    )
    notes = said.stdout.partition("NOTES:")[2]
    assert "  kubectl " in notes or "  helm " in notes
    assert "NOT there yet" not in notes


def in_readme(chart: str) -> list[str]:
    """The YAML that a README shows."""
    text = (CHARTS / chart / "README.md").read_text()
    return [
        textwrap.dedent(found)
        for found in re.findall(r"^ *```yaml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("chart", ["goosejobs", "goosejobs-worker"])
def test_what_a_readme_shows_is_taken(chart: str, strict: str, kubectl: Kubectl, tmp_path: Path) -> None:
    shown = in_readme(chart)
    assert len(shown) >= 2
    for text in shown:
        one = yaml.safe_load(text)
        if "kind" in one:
            one["metadata"]["namespace"] = strict
            kubectl(*("apply", "--dry-run=server", "--validate=strict", "-f", "-"), input=json.dumps(one))
        else:
            values = tmp_path / "values.yaml"
            values.write_text(text)
            assert template(chart, values=values)


def test_that_namespace_refuses_other_pods(strict: str, kubectl: Kubectl) -> None:
    spec = {"containers": [{"name": "x", "image": "x:1"}]}
    one = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    answer = kubectl(
        "create", "--dry-run=server", "-n", strict, "-f", "-", input=json.dumps(one), check=False
    )
    assert 'violates PodSecurity "restricted' in answer.stderr


# What wrong values get.

WRONG = [
    ("goosejobs", "temporal.adress=x:1", "at '/temporal': additional properties 'adress' not allowed"),
    ("goosejobs", "temporal.address=http://x:1", "at '/temporal/address': 'http://x:1' does not match"),
    ("goosejobs", "temporal.address=x", "at '/temporal/address': 'x' does not match"),
    ("goosejobs", "temporal.tls.serverName=x", "set temporal.tls.enabled to true, or remove the rest"),
    ("goosejobs", "image.tag=latest", "image.tag: latest is another image every day"),
    ("goosejobs", "image.digest=sha256:12", "at '/image/digest'"),
    ("goosejobs", "replicas=-1", "at '/replicas': minimum: got -1, want 0"),
    ("goosejobs", "serviceAccount.create=false", "serviceAccount.name: name an account that is there"),
    ("goosejobs", "security.runAsUser=0", "at '/security/runAsUser': minimum: got 0, want 1"),
    ("goosejobs", "security.privileged=true", "at '/security': additional properties 'privileged'"),
    ("goosejobs", "log.level=info", "at '/log/level': value must be one of 'DEBUG', 'INFO'"),
    (
        "goosejobs",
        r"podLabels.app\.kubernetes\.io/name=x",
        "the chart itself sets labels such as app.kubernetes.io/name",
    ),
    ("goosejobs-worker", r"recipes.files.a/b=x", "at '/recipes/files': additional properties 'a/b'"),
    ("goosejobs-worker", "provider.env.A B=x", "at '/provider/env': additional properties 'A B' not"),
    ("goosejobs", "workers=0", "at '/workers': minimum: got 0, want 1"),
    ("goosejobs-crds", "annotation.x=y", "additional properties 'annotation' not allowed"),
    ("goosejobs-worker", "mode=Jobs", "at '/mode': value must be one of 'Job', 'Process'"),
    ("goosejobs-worker", "pool=My Pool", "at '/pool': 'My Pool' does not match"),
    ("goosejobs-worker", "namespaces={a,*}", "namespaces: * is all of them: remove the others"),
    ("goosejobs-worker", "mode=Process,namespaces={other}", "serves its own namespace (own) only"),
    ("goosejobs-worker", "mode=Process,template.job.image=x", "template: it is about the pods of runs"),
    ("goosejobs-worker", "process.secrets={x}", "process: it is for mode Process"),
    ("goosejobs-worker", "terminationGracePeriodSeconds=24", "at least 30 are needed"),
    (
        "goosejobs-worker",
        "mode=Process,process.drainSeconds=600,terminationGracePeriodSeconds=600",
        "at least 625 are needed",
    ),
    ("goosejobs-worker", "template.job.imagee=x", "at '/template/job': additional properties 'imagee'"),
    ("goosejobs-worker", "template.startTimeoutSeconds=0", "at '/template/startTimeoutSeconds': minimum"),
    (
        "goosejobs-worker",
        "provider.env.A=b,template.env[0].name=A",
        "template.env: A is in provider.env, too: remove one of them",
    ),
    ("goosejobs-worker", "podDisruptionBudget.maxUnavailable=0", "maxUnavailable': minimum: got 0, want 1"),
]


@pytest.mark.parametrize(("chart", "values", "says"), WRONG, ids=[values for _, values, _ in WRONG])
def test_wrong_values_get_a_sentence_that_names_them(chart: str, values: str, says: str) -> None:
    answer = helm(
        "template",
        "r",
        str(CHARTS / chart),
        "-n",
        "own",
        "--kube-version=1.35.4",
        "--set",
        values,
        check=False,
    )
    assert answer.returncode != 0
    assert says in answer.stderr


# What the accounts may do, held to tests/data/rbac as deploy/ is.


@pytest.mark.parametrize(("values", "served"), [([], ["*"]), (["--set", "namespaces={a,b}"], ["a", "b"])])
def test_the_operator_may_do_what_it_needs_and_nothing_else(values: list[str], served: list[str]) -> None:
    objects = template("goosejobs", "--set", "fullnameOverride=goosejobs-operator", *values)
    account = "goosejobs-operator"
    assert granted(objects, account, "own") == expected("operator", served=served, own="own")


def test_an_operator_that_is_told_its_clusters_name_gets_nothing_outside_of_its_namespaces() -> None:
    objects = rendered(next(case for case in OPERATORS if case.values.stem == "cloud-values"))
    assert {one["kind"] for one in objects}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})


@pytest.mark.parametrize(
    ("values", "served"),
    [("namespaces=null", ["own"]), ("namespaces={a,b}", ["a", "b"]), ("namespaces={*}", ["*"])],
)
def test_a_worker_of_jobs_may_do_what_it_needs_where_its_pool_serves(values: str, served: list[str]) -> None:
    objects = template("goosejobs-worker", "--set", values)
    assert granted(objects, "r-goosejobs-worker", "own") == expected("worker-job", served=served)


def test_a_worker_of_processes_may_read_the_secrets_that_are_named() -> None:
    objects = rendered(next(case for case in WORKERS if case.values.stem == "process-values"))
    wanted = expected(
        "worker-process", served=["own"], secrets=["mail-account"], configmaps=["mail-settings"]
    )
    assert granted(objects, "r-goosejobs-worker", "own") == wanted


@each(OPERATORS + WORKERS)
def test_without_rbac_nothing_is_granted(case: Case) -> None:
    kinds = {one["kind"] for one in rendered(case, "--set", "rbac.create=false")}
    assert not {kind for kind in kinds if "Role" in kind}


# The CRD's chart.


def test_the_crds_chart_holds_the_crd_and_nothing_else() -> None:
    [made] = template("goosejobs-crds")
    ours = yaml.safe_load((ROOT / "crds/goosejobs.yaml").read_text())
    metadata = made["metadata"]
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert ours["metadata"]["labels"].items() <= metadata["labels"].items()
    assert {**made, "metadata": {"name": metadata["name"]}} == {
        **ours,
        "metadata": {"name": ours["metadata"]["name"]},
    }


def test_the_crd_is_taken_over_upgraded_and_kept_with_all_objects(own_platform: Rig, tmp_path: Path) -> None:
    rig = own_platform  # where it was applied by kubectl

    def here(*arguments: str) -> str:
        return helm(*arguments, kubeconfig=rig.kubeconfig).stdout

    def columns() -> list[str]:
        found = rig.kubectl("get", "crd", "goosejobs.goosejobs.dev", "-o", "json").stdout
        version = json.loads(found)["spec"]["versions"][0]
        return [column["name"] for column in version["additionalPrinterColumns"]]

    chart = str(CHARTS / "goosejobs-crds")
    apply(rig.kubectl, "default", goosejob("kept", schedule="@daily"))
    uid = rig.kubectl("get", "gj", "kept", "-o", "jsonpath={.metadata.uid}").stdout
    refused = helm("install", "goosejobs-crds", chart, kubeconfig=rig.kubeconfig, check=False)
    assert "cannot be imported into the current release" in refused.stderr
    here("install", "goosejobs-crds", chart, "--take-ownership")

    newer = tmp_path / "goosejobs-crds"
    for file in [path for path in Path(chart).rglob("*") if path.is_file()]:
        copy = newer / file.relative_to(chart)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text().replace("name: TimeZone, type", "name: Zone, type"))
    here("upgrade", "goosejobs-crds", str(newer))
    assert "Zone" in columns()
    here("rollback", "goosejobs-crds", "1")
    assert "Zone" not in columns()

    said = here("uninstall", "goosejobs-crds")
    assert "[CustomResourceDefinition] goosejobs.goosejobs.dev" in said
    assert rig.kubectl("get", "gj", "kept", "-o", "jsonpath={.metadata.uid}").stdout == uid
    here("install", "goosejobs-crds", chart)
    assert rig.kubectl("get", "gj", "kept", "-o", "jsonpath={.metadata.uid}").stdout == uid
