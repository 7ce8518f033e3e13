"""The Kubernetes Job of one attempt, from what a GooseJob asks for and what its pool says. Pure.

How both are merged:

- A scalar of the GooseJob goes before the pool's (image, imagePullPolicy, serviceAccountName).
- Lists are merged by the name of their entries (mountPath for volumeMounts); of two with one name the
  GooseJob's is taken. envFrom and tolerations have no names: the GooseJob's come after the pool's.
- resources are merged for each resource's request and limit.
- nodeSelector, labels and annotations: what the pool sets stays; a GooseJob that wants another value there is
  refused, for it would run elsewhere than its author thinks.
- The service account must be the pool's own or an allowed one. Its token is mounted where either asks for it.
- Last comes what is ours, and cannot be changed: the variables of RESERVED_ENV, spec.model, the recipe, the
  places where goose may write, our labels, and what Pod Security "restricted" asks for.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from goosejobs.model import names
from goosejobs.model.execution import RECIPE_DIR, RESERVED_VOLUME, WORK_DIR, JobTemplate, Resources
from goosejobs.model.part import Part
from goosejobs.model.reasons import Reason
from goosejobs.model.run import AttemptRequest
from goosejobs_worker.executors.kubernetes import rules
from goosejobs_worker.executors.kubernetes.pod_security import violations
from goosejobs_worker.executors.kubernetes.template import DEFAULT_IMAGE, PodSecurity, PoolTemplate
from goosejobs_worker.goose.command import goose_command, goose_environment

CONTAINER: Final = "goose"
"""The name of the pod's one container."""
RECIPE_PATH: Final = f"{RECIPE_DIR}/recipe.yaml"
WORKING_DIR: Final = f"{RECIPE_DIR}/work"
"""Empty at the start, and the recipe is not in it: goose offers the recipes it finds there to the model."""
MAX_ATTEMPT: Final = 99
"""A Job's name has room for two digits."""
MAX_ANNOTATIONS: Final = 256 * 1024
"""Bytes of all keys and values of one object's annotations together: the API server refuses more."""
MAX_MANIFEST: Final = 1024 * 1024
"""Bytes of JSON: etcd takes 1.5 MiB, and the Job's own bookkeeping must fit in, too."""
GRACE_SECONDS: Final = 5
"""goose is process 1 of its container, where SIGTERM does nothing to it; waiting longer gains nothing."""

Object = dict[str, Any]


class Refused(Exception):
    """No Job may be made of this attempt.

    Attributes:
        reason: Why, as the attempt's result says it.
        message: One sentence, with the field's path and what to do.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def job_manifest(attempt: AttemptRequest, recipe: str, template: PoolTemplate, pool: str) -> Object:
    """The batch/v1 Job of an attempt, always the same for the same arguments.

    Args:
        attempt: What to run.
        recipe: The rendered recipe that goose reads.
        template: What the pool's owner says.
        pool: The pool's name.

    Raises:
        Refused: The pool does not allow it, the recipe is too large, or no pod can be made of it.
    """
    request = attempt.request
    if not 1 <= attempt.attempt <= MAX_ATTEMPT:
        raise Refused(
            Reason.POD_FAILED,
            f"attempt {attempt.attempt} has no name for its Job; at most {MAX_ATTEMPT} have",
        )
    if broken := rules.broken(request.env, request.env_from, request.job):
        raise Refused(Reason.POD_FAILED, broken[0])
    chosen = request.job or JobTemplate()
    labels = {**_joined("labels", template.job.labels, chosen.labels), **_labels(attempt, pool)}
    annotations = {
        **_joined("annotations", template.job.annotations, chosen.annotations),
        names.WORKFLOW_ANNOTATION: attempt.run.workflow_id,
    }
    pod_metadata = {
        "labels": labels,
        "annotations": _with_recipe(annotations, recipe),
    }
    pod_spec = _pod_spec(attempt, template, chosen)
    _check_security(pod_spec, pod_metadata)
    goosejob = attempt.run.goosejob
    manifest: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.job_name(goosejob.name, goosejob.uid, attempt.run.id, attempt.attempt),
            "namespace": goosejob.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    "name": goosejob.name,
                    "uid": goosejob.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": request.active_deadline_seconds,
            "template": {"metadata": pod_metadata, "spec": pod_spec},
        },
    }
    _check_size(manifest)
    return manifest


def _labels(attempt: AttemptRequest, pool: str) -> dict[str, str]:
    goosejob = attempt.run.goosejob
    return {
        "app.kubernetes.io/name": "goose",
        "app.kubernetes.io/instance": goosejob.name,
        "app.kubernetes.io/component": "run",
        "app.kubernetes.io/part-of": "goosejobs",
        "app.kubernetes.io/managed-by": names.WORKER_MANAGER,
        names.GOOSEJOB_LABEL: goosejob.name,
        names.UID_LABEL: goosejob.uid,
        names.RUN_LABEL: attempt.run.id,
        names.ATTEMPT_LABEL: str(attempt.attempt),
        names.POOL_LABEL: pool,
    }


def _with_recipe(annotations: Mapping[str, str], recipe: str) -> dict[str, str]:
    carried = {**annotations, names.RECIPE_ANNOTATION: recipe}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in carried.items())
    if size > MAX_ANNOTATIONS:
        raise Refused(
            Reason.INVALID_RECIPE,
            f"the recipe, once filled in, has {len(recipe.encode())} bytes and is too large for the "
            f"annotation in which it travels to its pod: the pod's annotations have {size} bytes together "
            f"and may have {MAX_ANNOTATIONS}; shorten the recipe, its parameters or "
            "spec.execution.job.annotations",
        )
    return carried


def _pod_spec(attempt: AttemptRequest, template: PoolTemplate, chosen: JobTemplate) -> Object:
    own = template.job
    token = own.automount_service_account_token or chosen.automount_service_account_token
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "serviceAccountName": _service_account(template, chosen),
        "imagePullSecrets": _by("name", own.image_pull_secrets, chosen.image_pull_secrets),
        "nodeSelector": _joined("nodeSelector", own.node_selector, chosen.node_selector),
        "tolerations": _all(own.tolerations, chosen.tolerations),
        "securityContext": _pod_security_context(template.security),
        "containers": [_container(attempt, template, chosen)],
        "volumes": [*_by("name", own.volumes, chosen.volumes), *_our_volumes()],
    }
    return {field: value for field, value in spec.items() if value not in (None, [], {})}


def _container(attempt: AttemptRequest, template: PoolTemplate, chosen: JobTemplate) -> Object:
    own, request = template.job, attempt.request
    ours = _our_variables(attempt)
    container: Object = {
        "name": CONTAINER,
        "image": chosen.image or own.image or DEFAULT_IMAGE,
        "imagePullPolicy": chosen.image_pull_policy or own.image_pull_policy,
        "command": [
            _literal(argument)
            for argument in goose_command(
                "goose",
                RECIPE_PATH,
                None,
                max_turns=request.model.max_turns,
                provider=request.model.provider,
                model=request.model.name,
            )
        ],
        "workingDir": WORKING_DIR,
        # Ours first, so that others may refer to them: kubelet expands what stands before.
        "env": [*_variables(ours), *_others(_by("name", template.env, request.env), ours)],
        "envFrom": _all(template.env_from, request.env_from),
        "resources": _resources(own.resources, chosen.resources),
        "volumeMounts": [*_by("mountPath", own.volume_mounts, chosen.volume_mounts), *_our_mounts()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
    }
    return {field: value for field, value in container.items() if value not in (None, [], {})}


def _our_variables(attempt: AttemptRequest) -> dict[str, str]:
    goosejob, model = attempt.run.goosejob, attempt.request.model
    environment = goose_environment(
        {},
        home=WORK_DIR,
        path_root=f"{WORK_DIR}/goose",
        temporary=WORK_DIR,
        job_id=f"{goosejob.namespace}/{goosejob.name}",
        max_turns=model.max_turns,
        provider=model.provider,
        model=model.name,
    )
    del environment["PATH"]  # the image's own is the right one
    return environment


def _variables(values: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "value": _literal(value)} for name, value in values.items()]


def _others(variables: Iterable[Object], ours: Mapping[str, str]) -> list[Object]:
    return [variable for variable in variables if variable["name"] not in ours]


def _literal(text: str) -> str:
    """The text as kubelet leaves it: `$(NAME)` would become the variable's value, in goose's command line."""
    return text.replace("$", "$$")


def _our_volumes() -> list[Object]:
    recipe = {"fieldPath": f"metadata.annotations['{names.RECIPE_ANNOTATION}']"}
    return [
        {
            "name": f"{RESERVED_VOLUME}recipe",
            "downwardAPI": {"items": [{"path": "recipe.yaml", "fieldRef": recipe}]},
        },
        {"name": f"{RESERVED_VOLUME}tmp", "emptyDir": {}},
        {"name": f"{RESERVED_VOLUME}work", "emptyDir": {}},
    ]


def _our_mounts() -> list[Object]:
    # By subPath, because goose follows no symlinks, and a downwardAPI volume's files are some.
    recipe = {"mountPath": RECIPE_PATH, "subPath": "recipe.yaml", "readOnly": True}
    return [
        {"name": f"{RESERVED_VOLUME}recipe", **recipe},
        {"name": f"{RESERVED_VOLUME}tmp", "mountPath": WORK_DIR},
        {"name": f"{RESERVED_VOLUME}work", "mountPath": WORKING_DIR},
    ]


def _pod_security_context(security: PodSecurity) -> Object:
    context = {
        "runAsNonRoot": True,
        "runAsUser": security.run_as_user,
        "runAsGroup": security.run_as_group,
        "fsGroup": security.fs_group,
        "fsGroupChangePolicy": None if security.fs_group is None else "OnRootMismatch",
        "seccompProfile": _dump(security.seccomp_profile),
    }
    return {field: value for field, value in context.items() if value is not None}


def _service_account(template: PoolTemplate, chosen: JobTemplate) -> str | None:
    own, asked = template.job.service_account_name, chosen.service_account_name
    if asked is None or asked == (own or "default") or asked in template.allowed_service_accounts:
        return asked or own
    allowed = sorted({own or "default", *template.allowed_service_accounts})
    raise Refused(
        Reason.POOL_REFUSED,
        f"spec.execution.job.serviceAccountName: this pool does not allow {asked}; choose one of "
        f"{', '.join(allowed)}, or ask the pool's owner to add it to allowedServiceAccounts",
    )


def _joined(field: str, pools: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    for key, value in chosen.items():
        if pools.get(key, value) != value:
            raise Refused(
                Reason.POOL_REFUSED,
                f"spec.execution.job.{field}: the pool sets {key} to {pools[key]}; "
                "remove it here, or choose another pool",
            )
    return {**pools, **chosen}


def _resources(pools: Resources | None, chosen: Resources | None) -> Object:
    pools, chosen = pools or Resources(), chosen or Resources()
    merged = {
        "requests": {**pools.requests, **chosen.requests},
        "limits": {**pools.limits, **chosen.limits},
    }
    return {kind: quantities for kind, quantities in merged.items() if quantities}


def _by(key: str, pools: Iterable[Part], chosen: Iterable[Part]) -> list[Object]:
    """Entries by their name, the later one's value in the earlier one's place."""
    merged = {entry[key]: entry for entry in _all(pools, chosen)}
    return list(merged.values())


def _all(pools: Iterable[Part], chosen: Iterable[Part]) -> list[Object]:
    return [_dump(part) for part in (*pools, *chosen)]


def _dump(part: Part) -> Object:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _check_security(pod_spec: Object, pod_metadata: Object) -> None:
    if broken := violations(pod_spec, pod_metadata):
        raise Refused(
            Reason.POOL_REFUSED,
            f'the pod would break the Pod Security Standard "restricted": {"; ".join(broken)}',
        )


def _check_size(manifest: Object) -> None:
    size = len(json.dumps(manifest, ensure_ascii=False).encode())
    if size > MAX_MANIFEST:
        raise Refused(
            Reason.POD_FAILED,
            f"the Kubernetes Job would have {size} bytes, and at most {MAX_MANIFEST} can be stored: shorten "
            "spec.execution.env and spec.execution.job.annotations, or put the values into a ConfigMap",
        )
