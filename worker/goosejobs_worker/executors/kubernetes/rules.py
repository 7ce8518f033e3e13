"""The CRD's rules about `spec.execution`, for what did not pass the API server. Pure.

That is a pool's template, and a request that somebody put into Temporal by hand.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from goosejobs.model.execution import (
    RECIPE_DIR,
    RESERVED_ENV,
    RESERVED_VOLUME,
    WORK_DIR,
    EnvFrom,
    EnvVar,
    JobTemplate,
    Volume,
    VolumeMount,
)
from goosejobs.model.names import GROUP

_PLACE: Final = re.compile(r"(/[^/:]+)+/?")
_TAKEN_PLACE: Final = re.compile(
    rf"/(run|proc|sys|dev|etc)/?|{WORK_DIR}/?|({RECIPE_DIR}|/proc/).*", re.DOTALL
)
_TAKEN_LABELS: Final = frozenset({"job-name", "controller-uid"})


def broken(
    env: Sequence[EnvVar],
    env_from: Sequence[EnvFrom],
    job: JobTemplate | None,
    *,
    of_pool: bool = False,
) -> list[str]:
    """What the rules object to, each as a sentence that begins with the field's path.

    Args:
        env: Variables.
        env_from: Sources of variables.
        job: What is said about the pod.
        of_pool: It is a pool's template: paths begin there, and its owner may set keys of `kubernetes.io/`.
    """
    prefix = "" if of_pool else "spec.execution."
    job = job or JobTemplate()
    found = [
        *_variables(env),
        *_sources(env_from),
        *_volumes(job.volumes),
        *_mounts(job.volume_mounts, {volume.name for volume in job.volumes}),
        *_keys("labels", job.labels, of_pool=of_pool),
        *_keys("annotations", job.annotations, of_pool=of_pool),
    ]
    return [f"{prefix}{problem}" for problem in found]


def _variables(env: Sequence[EnvVar]) -> Iterator[str]:
    for index, variable in enumerate(env):
        path = f"env[{index}]"
        if variable.name in RESERVED_ENV:
            yield f"{path}.name: goosejobs itself sets {variable.name} for each run: remove it"
        if variable.value is not None and variable.value_from is not None:
            yield f"{path}: give a variable a value or valueFrom, not both"
        source = variable.value_from
        if source and (source.secret_key_ref is None) == (source.config_map_key_ref is None):
            yield f"{path}.valueFrom: give exactly one of secretKeyRef and configMapKeyRef"


def _sources(env_from: Sequence[EnvFrom]) -> Iterator[str]:
    for index, source in enumerate(env_from):
        if (source.secret_ref is None) == (source.config_map_ref is None):
            yield f"envFrom[{index}]: give exactly one of secretRef and configMapRef"


def _volumes(volumes: Sequence[Volume]) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        path = f"job.volumes[{index}]"
        kinds = (volume.config_map, volume.secret, volume.empty_dir, volume.persistent_volume_claim)
        if sum(kind is not None for kind in kinds) != 1:
            yield f"{path}: give it exactly one of configMap, secret, emptyDir and persistentVolumeClaim"
        if volume.name.startswith(RESERVED_VOLUME):
            yield f"{path}.name: names that begin with {RESERVED_VOLUME} are taken: choose another one"


def _mounts(mounts: Sequence[VolumeMount], volumes: set[str]) -> Iterator[str]:
    for index, mount in enumerate(mounts):
        path = f"job.volumeMounts[{index}]"
        place = mount.mount_path
        if mount.name not in volumes:
            yield f"{path}.name: there is no volume {mount.name} in job.volumes"
        if not _PLACE.fullmatch(place) or not {".", ".."}.isdisjoint(place.split("/")):
            yield f"{path}: give an absolute mountPath such as /data, without ':', '//', '.' and '..'"
        elif _TAKEN_PLACE.fullmatch(place):
            yield (
                f"{path}: goosejobs or the system itself uses this place: choose another mountPath, "
                "such as /data"
            )
        if mount.sub_path is not None and (
            mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/")
        ):
            yield f"{path}: give a subPath relative to the volume, without '..'"


def _keys(field: str, keys: Iterable[str], *, of_pool: bool) -> Iterator[str]:
    taken = (f"{GROUP}/", "app.kubernetes.io/") if of_pool else (f"{GROUP}/", "kubernetes.io/")
    for key in keys:
        if key in _TAKEN_LABELS or any(part in key for part in taken):
            yield (
                f"job.{field}: {key[:100]}: keys with {' and '.join(taken)}, job-name and controller-uid "
                "are taken: choose another one"
            )
