"""What a pool's owner says about all pods of the pool: defaults and limits, from a YAML file."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from goosejobs.model.execution import EnvFrom, EnvVar, JobTemplate
from goosejobs.model.part import Part
from goosejobs_worker.executors.kubernetes import rules

DEFAULT_IMAGE: Final = "ghcr.io/aaif-goose/goose:v1.52.0"
"""goose's own image, at the version that goosejobs is tested with."""
MAX_TEMPLATE_BYTES: Final = 256 * 1024


class InvalidTemplate(Exception):
    """The pool's template cannot be used; str() is one sentence with the file and the field's path."""


class SeccompProfile(Part):
    """The system calls that goose and its tools may make: one of the two kinds that "restricted" allows."""

    type: Literal["RuntimeDefault", "Localhost"] = "RuntimeDefault"
    localhost_profile: str | None = Field(default=None, min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _profile_of_type(self) -> Self:
        if (self.type == "Localhost") != (self.localhost_profile is not None):
            raise ValueError("localhostProfile goes with type Localhost, and only with it")
        return self


class PodSecurity(Part):
    """As whom goose runs, as far as the Pod Security Standard "restricted" leaves a choice.

    null leaves a number to the image or to the cluster: OpenShift gives each namespace numbers of its own.
    """

    run_as_user: int | None = Field(default=1000, ge=1, le=2**31 - 1)
    run_as_group: int | None = Field(default=1000, ge=0, le=2**31 - 1)
    fs_group: int | None = Field(default=1000, ge=0, le=2**31 - 1)
    seccomp_profile: SeccompProfile = Field(default_factory=SeccompProfile)


class PoolTemplate(Part):
    """The defaults of a pool's pods, and what GooseJobs may choose; `manifest` says how both are merged."""

    env: list[EnvVar] = Field(default_factory=list, max_length=64)
    env_from: list[EnvFrom] = Field(default_factory=list, max_length=16)
    """For example the Secret with the model provider's key."""
    job: JobTemplate = Field(default_factory=JobTemplate)
    allowed_service_accounts: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default_factory=list, max_length=64
    )
    """The names that `spec.execution.job.serviceAccountName` may have, beside the pool's own."""
    start_timeout_seconds: int = Field(default=600, ge=1, le=86400)
    """Within how many seconds goose must have started in a pod."""
    ttl_seconds_after_finished: int = Field(default=7 * 24 * 3600, ge=0, le=2**31 - 1)
    """How long a Kubernetes Job is kept after its run has been recorded, in seconds."""
    security: PodSecurity = Field(default_factory=PodSecurity)

    @model_validator(mode="after")
    def _kept_rules(self) -> Self:
        if broken := rules.broken(self.env, self.env_from, self.job, of_pool=True):
            raise ValueError(broken[0])
        return self

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read a pool's template.

        Args:
            path: A YAML file; None for a pool that has nothing to say.

        Raises:
            InvalidTemplate: It cannot be read, is too large, or is wrong.
        """
        if path is None:
            return cls()
        try:
            return cls.model_validate(_read(path) or {})
        except ValidationError as error:
            raise InvalidTemplate(f"{path}: {_sentence(error)}") from error


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEMPLATE_BYTES + 1)
    except OSError as error:
        raise InvalidTemplate(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_TEMPLATE_BYTES:
        raise InvalidTemplate(f"{path}: is larger than {MAX_TEMPLATE_BYTES // 1024} KiB")
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise InvalidTemplate(f"{path}: is not YAML{where}") from error


def _sentence(error: ValidationError) -> str:
    problems = error.errors(include_input=False, include_url=False)
    first = problems[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    what = _words(first["type"], first["msg"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}: {what}{more}" if path else f"{what}{more}"


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field; see the names in the documentation of pools"
    if kind == "string_type":
        return "should be text: put it in quotes"
    if kind == "model_type":
        return "Input should be a mapping"
    return message.removeprefix("Value error, ")
