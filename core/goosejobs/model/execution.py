"""`spec.execution`: where and how a run is executed.

Named and meant as in Kubernetes' own types, of which only what is listed here can be said: nothing else of a
pod is in a job author's hand. The contract is crds/goosejobs.yaml; tests hold the two together.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from goosejobs.model.part import Part

_NAME = Field(min_length=1, max_length=253)
_KEY = Field(min_length=1, max_length=253)
ENV_NAME = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
RESERVED_ENV = (
    "HOME", "TMPDIR", "GOOSE_PATH_ROOT", "GOOSE_JOB_ID", "GOOSE_MAX_TURNS", "GOOSE_MODE",
    "GOOSE_DISABLE_KEYRING", "GOOSE_TELEMETRY_ENABLED", "GOOSE_DISABLE_SESSION_NAMING",
)  # fmt: skip
"""What a run cannot do without as goosejobs sets it; nobody else may."""
RESERVED_VOLUME = "goosejobs-"
"""The names of our own volumes begin with this."""
RECIPE_DIR = "/run/goosejob"
WORK_DIR = "/tmp"  # noqa: S108 -- an emptyDir of the pod, not this machine's
"""Where our own volumes are mounted in a pod."""

Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    WithJsonSchema({"type": "int-or-string"}),
]
"""A Kubernetes quantity: `500m`, `1Gi`, or a number."""
Label = Annotated[str, Field(max_length=63)]
LongText = Annotated[str, Field(max_length=4096)]


class Mode(StrEnum):
    """As what goose runs."""

    JOB = "Job"
    PROCESS = "Process"


class LocalReference(Part):
    """An object of the GooseJob's own namespace."""

    name: str = _NAME


class KeyReference(Part):
    """A key of a Secret or ConfigMap in the GooseJob's own namespace."""

    name: str = _NAME
    key: str = _KEY
    optional: bool = False


class EnvSource(Part):
    """Where a variable's value comes from: exactly one of the two."""

    secret_key_ref: KeyReference | None = None
    config_map_key_ref: KeyReference | None = None


class EnvVar(Part):
    """An environment variable of goose: with a value, or with the place it comes from."""

    name: str = Field(min_length=1, max_length=256, pattern=ENV_NAME)
    value: str | None = Field(default=None, max_length=32768)
    value_from: EnvSource | None = None


class SourceReference(Part):
    """A Secret or ConfigMap in the GooseJob's own namespace, all of whose keys become variables."""

    name: str = _NAME
    optional: bool = False


class EnvFrom(Part):
    """All keys of a Secret or ConfigMap: exactly one of the two."""

    prefix: str = Field(default="", max_length=256)
    secret_ref: SourceReference | None = None
    config_map_ref: SourceReference | None = None


class Resources(Part):
    """What a container asks for and may use at most."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=16)
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=16)


class Toleration(Part):
    """A taint of a node that is put up with."""

    key: str | None = Field(default=None, max_length=317)
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = Field(default=None, max_length=63)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, ge=0)


class KeyToPath(Part):
    """A key of a Secret or ConfigMap as a file of a volume."""

    key: str = _KEY
    path: str = Field(min_length=1, max_length=1024)


class ConfigMapVolume(Part):
    """A ConfigMap's keys as files."""

    name: str = _NAME
    items: list[KeyToPath] | None = Field(default=None, max_length=64)
    optional: bool = False


class SecretVolume(Part):
    """A Secret's keys as files."""

    secret_name: str = _NAME
    items: list[KeyToPath] | None = Field(default=None, max_length=64)
    optional: bool = False


class EmptyDirVolume(Part):
    """An empty folder that goes with the pod."""

    medium: Literal["", "Memory"] | None = None
    size_limit: Quantity | None = None


class PersistentVolumeClaimVolume(Part):
    """A claim of the GooseJob's own namespace."""

    claim_name: str = _NAME
    read_only: bool = False


class Volume(Part):
    """A volume of the pod: exactly one kind."""

    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    persistent_volume_claim: PersistentVolumeClaimVolume | None = None


class VolumeMount(Part):
    """Where a volume is mounted in goose's container."""

    name: str = Field(min_length=1, max_length=63)
    mount_path: str = Field(min_length=1, max_length=1024)
    sub_path: str | None = Field(default=None, min_length=1, max_length=1024)
    read_only: bool = False


class JobTemplate(Part):
    """What of the Kubernetes Job and its pod can be chosen. Unset fields come from the pool."""

    image: str | None = Field(default=None, min_length=1, max_length=1024)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: list[LocalReference] = Field(default_factory=list, max_length=16)
    resources: Resources | None = None
    service_account_name: str | None = Field(default=None, min_length=1, max_length=253)
    automount_service_account_token: bool = False
    node_selector: dict[str, Label] = Field(default_factory=dict, max_length=32)
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32)
    volumes: list[Volume] = Field(default_factory=list, max_length=32)
    volume_mounts: list[VolumeMount] = Field(default_factory=list, max_length=32)
    labels: dict[str, Label] = Field(default_factory=dict, max_length=32)
    annotations: dict[str, LongText] = Field(default_factory=dict, max_length=32)


class Execution(Part):
    """How a run is executed."""

    mode: Mode | None = None
    pool: str = Field(
        default="default", min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
    )
    env: list[EnvVar] = Field(default_factory=list, max_length=64)
    env_from: list[EnvFrom] = Field(default_factory=list, max_length=16)
    job: JobTemplate | None = None
