"""The Kubernetes Job of an attempt."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.model import names
from goosejobs.model.execution import RESERVED_ENV
from goosejobs.model.reasons import Reason
from goosejobs.model.run import AttemptRequest
from goosejobs_worker.executors.kubernetes.manifest import MAX_ANNOTATIONS, Refused, job_manifest
from goosejobs_worker.executors.kubernetes.template import DEFAULT_IMAGE, PoolTemplate
from support.attempts import attempt

Object = dict[str, Any]
RECIPE = '{"title":"t"}\n'
SECRET = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key", "optional": False}}}


def manifest(request: AttemptRequest, template: Object | None = None, recipe: str = RECIPE) -> Object:
    return job_manifest(request, recipe, PoolTemplate.model_validate(template or {}), "nightly")


def pod(request: AttemptRequest, template: Object | None = None) -> Object:
    found: Object = manifest(request, template)["spec"]["template"]["spec"]
    return found


def container(request: AttemptRequest, template: Object | None = None) -> Object:
    [found] = pod(request, template)["containers"]
    return dict(found)


def variables(request: AttemptRequest, template: Object | None = None) -> dict[str, Any]:
    env = container(request, template)["env"]
    assert len({variable["name"] for variable in env}) == len(env)
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in env}


def refusal(request: AttemptRequest, template: Object | None = None, recipe: str = RECIPE) -> Refused:
    with pytest.raises(Refused) as caught:
        manifest(request, template, recipe)
    assert "\n" not in caught.value.message
    return caught.value


# --- whose Job it is, and how it ends


def test_the_job_belongs_to_its_goosejob_and_can_be_found_by_run_and_attempt() -> None:
    meta = manifest(attempt(number=2))["metadata"]
    assert meta["name"] == names.job_name("weekly-report", attempt().run.goosejob.uid, "20261121-114000", 2)
    assert meta["namespace"] == "team-a"
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "goosejobs.dev/v1alpha1",
            "kind": "GooseJob",
            "name": "weekly-report",
            "uid": attempt().run.goosejob.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert meta["labels"] == {
        "app.kubernetes.io/name": "goose",
        "app.kubernetes.io/instance": "weekly-report",
        "app.kubernetes.io/component": "run",
        "app.kubernetes.io/part-of": "goosejobs",
        "app.kubernetes.io/managed-by": "goosejobs-worker",
        "goosejobs.dev/goosejob": "weekly-report",
        "goosejobs.dev/uid": attempt().run.goosejob.uid,
        "goosejobs.dev/run": "20261121-114000",
        "goosejobs.dev/attempt": "2",
        "goosejobs.dev/pool": "nightly",
    }
    assert meta["annotations"] == {"goosejobs.dev/workflow-id": attempt().run.workflow_id}


def test_the_pod_has_the_jobs_labels_and_carries_the_recipe() -> None:
    job = manifest(attempt())
    assert job["spec"]["template"]["metadata"] == {
        "labels": job["metadata"]["labels"],
        "annotations": {**job["metadata"]["annotations"], "goosejobs.dev/rendered-recipe": RECIPE},
    }


def test_one_pod_is_tried_once_within_the_deadline_and_kept_until_the_run_is_recorded() -> None:
    spec = manifest(attempt(deadline=90))["spec"]
    del spec["template"]
    assert spec == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": 90,
    }
    assert pod(attempt())["restartPolicy"] == "Never"


@pytest.mark.parametrize("number", [0, 100, 10**9])
def test_an_attempt_without_a_name_for_its_job_is_refused(number: int) -> None:
    assert refusal(attempt(number=number)).reason is Reason.POD_FAILED


def test_the_longest_names_fit() -> None:
    assert len(manifest(attempt(name="g" * 52, number=99))["metadata"]["name"]) <= 63


def test_the_same_attempt_always_makes_the_same_job() -> None:
    assert manifest(attempt(env=[SECRET])) == manifest(attempt(env=[SECRET]))


# --- the pod


def test_nothing_of_the_cluster_is_handed_to_the_agent_unasked() -> None:
    spec = pod(attempt())
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(attempt())["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


def test_numbers_that_the_pool_leaves_open_are_left_to_the_cluster() -> None:
    security = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    assert pod(attempt(), {"security": security})["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_goose_reads_the_recipe_as_a_plain_file_outside_its_working_directory() -> None:
    mounts = {mount["mountPath"]: mount for mount in container(attempt())["volumeMounts"]}
    assert mounts["/run/goosejob/recipe.yaml"] == {
        "name": "goosejobs-recipe",
        "mountPath": "/run/goosejob/recipe.yaml",
        "subPath": "recipe.yaml",
        "readOnly": True,
    }
    volumes = {volume["name"]: volume for volume in pod(attempt())["volumes"]}
    assert volumes["goosejobs-recipe"]["downwardAPI"]["items"] == [
        {
            "path": "recipe.yaml",
            "fieldRef": {"fieldPath": "metadata.annotations['goosejobs.dev/rendered-recipe']"},
        }
    ]
    assert container(attempt())["workingDir"] == "/run/goosejob/work"
    assert "emptyDir" in volumes[mounts["/run/goosejob/work"]["name"]]
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]


def test_without_a_word_of_anybody_gooses_own_image_is_taken() -> None:
    assert container(attempt())["image"] == DEFAULT_IMAGE
    assert "imagePullPolicy" not in container(attempt())
    assert "serviceAccountName" not in pod(attempt())


# --- the command line


def test_the_command_line_holds_what_goose_needs_and_nothing_else() -> None:
    request = attempt(env=[SECRET], model={"provider": "openai", "name": "gpt-5", "maxTurns": 9})
    assert container(request)["command"] == [
        "goose",
        "run",
        "--recipe=/run/goosejob/recipe.yaml",
        "--no-session",
        "--quiet",
        "--output-format=stream-json",
        "--max-turns=9",
        "--provider=openai",
        "--model=gpt-5",
    ]
    assert "args" not in container(request)


def expanded(text: str, environment: dict[str, str]) -> str:
    """What kubelet makes of a text (k8s.io/kubernetes/third_party/forked/golang/expansion)."""
    result, position = "", 0
    while position < len(text):
        if text[position] != "$" or position + 1 == len(text):
            result += text[position]
            position += 1
        elif text[position + 1] == "$":
            result += "$"
            position += 2
        elif text[position + 1] == "(" and (end := text.find(")", position)) > 0:
            name = text[position + 2 : end]
            result += environment.get(name, f"$({name})")
            position = end + 1
        else:
            result += text[position : position + 2]
            position += 2
    return result


@pytest.mark.parametrize(
    "model", ["$(KEY)", "$$(KEY)", "$$$(KEY)", "a$", "$", "$(", "$(KEY", "$$", "x$(KEY)$(KEY)y", "--debug"]
)
def test_no_secret_of_the_environment_can_be_named_into_the_command_line(model: str) -> None:
    request = attempt(env=[SECRET], model={"name": model})
    assert expanded(container(request)["command"][-1], {"KEY": "s3cret"}) == f"--model={model}"
    assert expanded(variables(request)["GOOSE_MODEL"], {"KEY": "s3cret"}) == model


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="$(){}KEY-= \n", min_size=1, max_size=30))
def test_no_model_and_no_provider_becomes_a_flag_or_a_secret(text: str) -> None:
    command = container(attempt(model={"name": text, "provider": text}))["command"]
    assert [expanded(argument, {"KEY": "s3cret"}) for argument in command[-2:]] == [
        f"--provider={text}",
        f"--model={text}",
    ]
    assert len(command) == 9


# --- the environment


def test_our_variables_cannot_be_changed_by_anybody() -> None:
    forged = attempt(env=[{"name": "PATH", "value": "/opt/bin"}])
    ours = variables(forged)
    assert set(RESERVED_ENV) <= set(ours)
    assert ours["HOME"] == ours["TMPDIR"] == "/tmp"
    assert ours["GOOSE_MODE"] == "auto"
    assert ours["GOOSE_JOB_ID"] == "team-a/weekly-report"
    assert ours["PATH"] == "/opt/bin"
    for name in RESERVED_ENV:
        told = refusal(attempt(env=[{"name": name, "value": "x"}])).message
        assert told.startswith(f"spec.execution.env[0].name: goosejobs itself sets {name} for each run")


def test_the_images_own_path_is_left_alone() -> None:
    assert "PATH" not in variables(attempt())


def test_an_objects_variable_goes_before_the_pools_and_specs_model_before_both() -> None:
    pools = {
        "env": [
            {"name": "A", "value": "pool"},
            {"name": "B", "value": "pool"},
            {"name": "GOOSE_MODEL", "value": "m"},
        ]
    }
    request = attempt(env=[{"name": "B", "valueFrom": SECRET["valueFrom"]}, {"name": "C", "value": ""}])
    found = variables(request, pools)
    assert (found["A"], found["B"], found["C"]) == ("pool", SECRET["valueFrom"], "")
    assert found["GOOSE_MODEL"] == "m"
    chosen = attempt(
        model={"name": "gpt-5", "provider": "openai"}, env=[{"name": "GOOSE_PROVIDER", "value": "p"}]
    )
    assert variables(chosen, pools)["GOOSE_MODEL"] == "gpt-5"
    assert variables(chosen, pools)["GOOSE_PROVIDER"] == "openai"


def test_sources_of_variables_are_the_pools_then_the_objects_so_that_the_objects_win() -> None:
    request = attempt(env_from=[{"configMapRef": {"name": "settings", "optional": True}, "prefix": "X_"}])
    assert container(request, {"envFrom": [{"secretRef": {"name": "provider"}}]})["envFrom"] == [
        {"prefix": "", "secretRef": {"name": "provider", "optional": False}},
        {"prefix": "X_", "configMapRef": {"name": "settings", "optional": True}},
    ]


def test_a_variable_may_refer_to_ours_and_the_pools_as_in_any_pod() -> None:
    request = attempt(env=[{"name": "CACHE", "value": "$(HOME)/$(TEAM)"}])
    order = list(variables(request, {"env": [{"name": "TEAM", "value": "a"}]}))
    assert order.index("HOME") < order.index("TEAM") < order.index("CACHE")
    assert variables(request)["CACHE"] == "$(HOME)/$(TEAM)"


# --- merging


def test_scalars_of_the_object_go_before_the_pools() -> None:
    pools = {"job": {"image": "pool:1", "imagePullPolicy": "Never"}}
    assert container(attempt(), pools)["image"] == "pool:1"
    merged = container(attempt(job={"image": "own:2"}), pools)
    assert (merged["image"], merged["imagePullPolicy"]) == ("own:2", "Never")


def test_resources_are_merged_for_each_resource() -> None:
    pools = {"job": {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}}}
    request = attempt(job={"resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": 1}}})
    assert container(request, pools)["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"},
    }


def test_volumes_mounts_and_pull_secrets_are_merged_by_their_names() -> None:
    pools = {
        "job": {
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}, {"name": "cache", "emptyDir": {}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/ca"}, {"name": "cache", "mountPath": "/cache"}],
            "imagePullSecrets": [{"name": "pool"}],
        }
    }
    request = attempt(
        job={
            "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "mine"}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache", "readOnly": True}],
            "imagePullSecrets": [{"name": "pool"}, {"name": "own"}],
        }
    )
    spec = pod(request, pools)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "mine", "readOnly": False}
    assert volumes["ca"]["configMap"] == {"name": "ca", "optional": False}
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/cache"]["readOnly"] is True
    assert mounts["/ca"]["name"] == "ca"
    assert spec["imagePullSecrets"] == [{"name": "pool"}, {"name": "own"}]


def test_tolerations_add_up() -> None:
    pools = {"job": {"tolerations": [{"key": "agents", "operator": "Exists"}]}}
    request = attempt(job={"tolerations": [{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]})
    assert [toleration["key"] for toleration in pod(request, pools)["tolerations"]] == ["agents", "gpu"]


@pytest.mark.parametrize("field", ["nodeSelector", "labels", "annotations"])
def test_what_the_pool_pins_cannot_be_moved_and_the_author_is_told(field: str) -> None:
    pools = {"job": {field: {"team": "agents"}}}
    assert manifest(attempt(job={field: {"team": "agents", "more": "x"}}), pools)
    refused = refusal(attempt(job={field: {"team": "mine"}}), pools)
    assert refused.reason is Reason.POOL_REFUSED
    assert refused.message == (
        f"spec.execution.job.{field}: the pool sets team to agents; remove it here, or choose another pool"
    )


def test_labels_and_annotations_of_both_stand_on_the_job_and_the_pod() -> None:
    pools = {
        "job": {
            "labels": {"cost": "42"},
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        }
    }
    job = manifest(attempt(job={"labels": {"own": "x"}, "annotations": {"note": "y"}}), pools)
    for meta in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert (meta["labels"]["cost"], meta["labels"]["own"]) == ("42", "x")
        assert meta["annotations"]["note"] == "y"
        assert meta["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


@pytest.mark.parametrize(
    "key", ["goosejobs.dev/uid", "app.kubernetes.io/name", "batch.kubernetes.io/x", "evil.goosejobs.dev/x"]
)
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_keys_that_are_ours_or_kubernetes_are_refused_even_in_a_forged_request(field: str, key: str) -> None:
    assert refusal(attempt(job={field: {key: "x"}})).message.startswith(f"spec.execution.job.{field}: {key}")


# --- accounts


def test_only_the_pools_own_account_and_the_allowed_ones_may_be_chosen() -> None:
    pools = {"job": {"serviceAccountName": "runner"}, "allowedServiceAccounts": ["reporter"]}
    assert pod(attempt(), pools)["serviceAccountName"] == "runner"
    for name in ("runner", "reporter"):
        assert pod(attempt(job={"serviceAccountName": name}), pools)["serviceAccountName"] == name
    refused = refusal(attempt(job={"serviceAccountName": "admin"}), pools)
    assert refused.reason is Reason.POOL_REFUSED
    assert refused.message.startswith(
        "spec.execution.job.serviceAccountName: this pool does not allow admin; "
        "choose one of reporter, runner, or ask"
    )


def test_a_pool_without_an_account_of_its_own_uses_the_namespaces_default_one() -> None:
    assert pod(attempt(job={"serviceAccountName": "default"}))["serviceAccountName"] == "default"
    assert refusal(attempt(job={"serviceAccountName": "admin"})).reason is Reason.POOL_REFUSED
    pools = {"job": {"serviceAccountName": "runner"}}
    assert refusal(attempt(job={"serviceAccountName": "default"}), pools).reason is Reason.POOL_REFUSED


def test_a_token_is_mounted_only_where_somebody_asks_for_it() -> None:
    asked = {"automountServiceAccountToken": True}
    assert pod(attempt(job=asked))["automountServiceAccountToken"] is True
    assert pod(attempt(), {"job": asked})["automountServiceAccountToken"] is True


# --- limits


def recipe_that_fills(annotations: dict[str, str]) -> str:
    """A recipe that, with these annotations, is as large as a pod's annotations may be."""
    others = {
        **annotations,
        names.WORKFLOW_ANNOTATION: attempt().run.workflow_id,
        names.RECIPE_ANNOTATION: "",
    }
    left = MAX_ANNOTATIONS - sum(len(key.encode()) + len(value.encode()) for key, value in others.items())
    return "é" * (left // 2) + "x" * (left % 2)


def test_a_recipe_that_just_fits_its_annotation_is_taken_and_a_byte_more_is_refused() -> None:
    annotations = {"note": "ü" * 1000, "empty": ""}
    recipe = recipe_that_fills(annotations)
    request = attempt(job={"annotations": annotations})
    found = manifest(request, recipe=recipe)["spec"]["template"]["metadata"]["annotations"]
    assert sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) == MAX_ANNOTATIONS
    refused = refusal(request, recipe=f"{recipe}x")
    assert refused.reason is Reason.INVALID_RECIPE
    assert refused.message.startswith(
        f"the recipe, once filled in, has {len(recipe.encode()) + 1} bytes and is"
    )
    assert "spec.execution.job.annotations" in refused.message


def test_the_largest_recipe_there_is_fits_where_nobody_adds_annotations() -> None:
    assert manifest(attempt(), recipe="x" * names.MAX_RECIPE_BYTES)


def test_a_job_that_could_not_be_stored_is_refused() -> None:
    env = [{"name": f"V{index}", "value": "x" * 32768} for index in range(40)]
    refused = refusal(attempt(env=env))
    assert refused.reason is Reason.POD_FAILED
    assert "spec.execution.env" in refused.message


def test_a_template_that_breaks_pod_security_is_refused_with_the_field() -> None:
    annotation = {"container.apparmor.security.beta.kubernetes.io/goose": "unconfined"}
    refused = refusal(attempt(), {"job": {"annotations": annotation}})
    assert refused.reason is Reason.POOL_REFUSED
    assert refused.message.startswith(
        'the pod would break the Pod Security Standard "restricted": metadata.annot'
    )
    assert "container.apparmor.security.beta.kubernetes.io/goose" in refused.message
