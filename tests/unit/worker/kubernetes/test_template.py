"""A pool's template, read from its file."""

from pathlib import Path

import pytest

from goosejobs_worker.executors.kubernetes.template import (
    MAX_TEMPLATE_BYTES,
    InvalidTemplate,
    PodSecurity,
    PoolTemplate,
)


def load(tmp_path: Path, text: str) -> PoolTemplate:
    file = tmp_path / "pool.yaml"
    file.write_text(text)
    return PoolTemplate.load(file)


def objection(tmp_path: Path, text: str) -> str:
    with pytest.raises(InvalidTemplate) as caught:
        load(tmp_path, text)
    return str(caught.value).removeprefix(f"{tmp_path}/pool.yaml: ")


def test_a_pool_without_a_file_has_defaults_that_fit_any_cluster(tmp_path: Path) -> None:
    template = PoolTemplate.load(None)
    assert template == load(tmp_path, "")
    assert template.start_timeout_seconds == 600
    assert template.ttl_seconds_after_finished == 7 * 24 * 3600
    assert template.allowed_service_accounts == []
    assert template.security.run_as_user == 1000


def test_a_template_is_written_as_kubernetes_objects_are(tmp_path: Path) -> None:
    template = load(
        tmp_path,
        """
        env: [{name: OPENAI_HOST, value: "http://proxy:8080"}]
        envFrom: [{secretRef: {name: provider}}]
        job:
          image: registry.example/goose:1
          resources: {limits: {memory: 1Gi, cpu: 2}}
          nodeSelector: {pool: agents}
          annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "false"}
        allowedServiceAccounts: [reporter]
        startTimeoutSeconds: 60
        security: {runAsUser: null, runAsGroup: null, fsGroup: null}
        """,
    )
    assert template.env[0].value == "http://proxy:8080"
    assert template.env_from[0].secret_ref is not None
    assert template.job.resources is not None
    assert template.job.resources.limits == {"memory": "1Gi", "cpu": "2"}
    assert template.security == PodSecurity(run_as_user=None, run_as_group=None, fs_group=None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("job: {imagePullPolicy: Sometimes}", "job.imagePullPolicy: Input should be 'Always', "),
        ("jobs: {}", "jobs: there is no such field"),
        ("job: {hostNetwork: true}", "job.hostNetwork: there is no such field"),
        ("env: [{name: A, value: 1}]", "env[0].value: should be text: put it in quotes"),
        ("env: [{name: HOME, value: /root}]", "env[0].name: goosejobs itself sets HOME for each run"),
        ("env: [{name: A, value: a, valueFrom: {}}]", "env[0]: give a variable a value or valueFrom"),
        ("env: [{name: A, valueFrom: {}}]", "env[0].valueFrom: give exactly one of secretKeyRef and"),
        ("envFrom: [{prefix: A_}]", "envFrom[0]: give exactly one of secretRef and configMapRef"),
        ("job: {volumes: [{name: goosejobs-tmp, emptyDir: {}}]}", "job.volumes[0].name: names that begin"),
        ("job: {volumes: [{name: a}]}", "job.volumes[0]: give it exactly one of configMap, secret, "),
        ("job: {volumeMounts: [{name: a, mountPath: /a}]}", "job.volumeMounts[0].name: there is no volume a"),
        ("job: {labels: {app.kubernetes.io/name: x}}", "job.labels: app.kubernetes.io/name: keys with"),
        ("job: {annotations: {goosejobs.dev/run: x}}", "job.annotations: goosejobs.dev/run: keys with"),
        ("security: {runAsUser: 0}", "security.runAsUser: Input should be greater than or equal to 1"),
        ("security: {seccompProfile: {type: Unconfined}}", "security.seccompProfile.type: Input should be"),
        (
            "security: {seccompProfile: {type: Localhost}}",
            "security.seccompProfile: localhostProfile goes with type Localhost, and only with it",
        ),
        ("startTimeoutSeconds: 0\nttlSecondsAfterFinished: -1", "startTimeoutSeconds: Input should be"),
        ("- a", "Input should be a mapping"),
        ("a: [", "is not YAML in line 1"),
        ("a: !!python/object:os.system {}", "is not YAML in line 1"),
        ("[" * 2_000, "is not YAML"),
    ],
)
def test_a_wrong_template_is_told_in_one_sentence_with_file_and_field(
    tmp_path: Path, text: str, says: str
) -> None:
    told = objection(tmp_path, text)
    assert told.startswith(says)
    assert "\n" not in told


@pytest.mark.parametrize("place", ["/tmp/", "/run", "/run/goosejob", "/run/goosejob/work", "/proc", "/etc"])
def test_a_mount_over_one_of_our_places_is_refused(tmp_path: Path, place: str) -> None:
    text = f"job: {{volumes: [{{name: a, emptyDir: {{}}}}], volumeMounts: [{{name: a, mountPath: {place}}}]}}"
    assert objection(tmp_path, text).startswith("job.volumeMounts[0]: goosejobs or the system itself uses")


@pytest.mark.parametrize(
    ("field", "value"), [("mountPath", "data"), ("mountPath", "/a/../b"), ("subPath", "/a")]
)
def test_a_mount_that_leaves_its_place_is_refused(tmp_path: Path, field: str, value: str) -> None:
    mount = {"name": "a", "mountPath": "/data", field: value}
    text = f"job: {{volumes: [{{name: a, emptyDir: {{}}}}], volumeMounts: [{mount}]}}"
    assert objection(tmp_path, text).startswith("job.volumeMounts[0]: give")


def test_a_file_that_is_not_there_or_too_large_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplate, match=r"no\.yaml: cannot be read: No such file"):
        PoolTemplate.load(tmp_path / "no.yaml")
    assert objection(tmp_path, "#" * (MAX_TEMPLATE_BYTES + 1)) == "is larger than 256 KiB"


def test_aliases_that_multiply_are_not_unfolded(tmp_path: Path) -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert objection(tmp_path, "\n".join(["a0: &a0 [x]", *levels])).startswith("a0: there is no such field")


def test_a_secret_in_a_template_is_not_quoted(tmp_path: Path) -> None:
    assert "hunter22" not in objection(tmp_path, "env: [{name: A, value: hunter22, secret: hunter22}]")
    assert "hunter22" not in objection(tmp_path, "env: [hunter22: hunter22: ]")
