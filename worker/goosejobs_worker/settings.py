"""A worker's settings, from GOOSEJOBS_* environment variables."""

import os
import shutil
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from goosejobs.model.execution import Mode
from goosejobs.settings import CommaList, Settings, pod_namespace

_NOBODY = 65534
_MAX_RUNS = {Mode.JOB: 200, Mode.PROCESS: 10}
"""A Job costs its worker little more than a watcher."""


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/goosejobs")  # not below /root, which goose's own user may not enter
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "goosejobs"


def _default_uid() -> int | None:
    return _NOBODY if os.geteuid() == 0 else None


def own_namespace() -> list[str]:
    """The namespace of the pod we run in, which is what a pool serves unless it is told otherwise."""
    return [pod_namespace()]


class WorkerSettings(Settings):
    """What a worker can be told."""

    pool: str = Field(
        default="default",
        max_length=40,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="The pool this worker belongs to; GooseJobs name it in spec.execution.pool.",
    )
    mode: Mode = Field(
        default=Mode.JOB,
        description="What gooses run as: Job, each in a pod; or Process, as processes of this worker. "
        "A process has the worker's own identity: turn it on for people you would give that to.",
    )
    namespaces: CommaList = Field(
        default_factory=own_namespace,
        description="Namespaces to serve, separated by commas; * for all; default the worker's own.",
    )
    max_concurrent_runs: int = Field(
        default_factory=lambda seen: _MAX_RUNS[seen.get("mode", Mode.PROCESS)],
        ge=1,
        le=1000,
        description="How many gooses may run at the same time on this worker, or in pods that it follows; "
        "default 10 processes or 200 Jobs.",
    )
    pool_template: Path | None = Field(
        default=None,
        description="Mode Job: a YAML file with what all pods of the pool have in common, and what GooseJobs "
        "may choose. Read at the start.",
    )
    job_heartbeat_seconds: float = Field(
        default=30,
        ge=5,
        le=600,
        description="Mode Job: after how long without a sign of life of a worker another one takes its runs "
        "over. A cancelled run is noticed within a quarter of it. 120 on Temporal Cloud, where each sign is "
        "billed.",
    )
    drain_seconds: float = Field(
        default=30, ge=0, description="How long running gooses may finish when the worker is told to stop."
    )
    kill_grace_seconds: float = Field(
        default=5, ge=0, le=60, description="From SIGTERM to SIGKILL when a run is ended."
    )
    goose: str = Field(
        default="goose", min_length=1, description="The goose program: a path, or a name on PATH."
    )
    pass_env: CommaList = Field(
        default_factory=list,
        description="Further variables of the worker that goose gets, separated by commas, with wildcards: "
        "GITHUB_TOKEN,MYTOOL_*.",
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Where goose keeps its sessions and each attempt has its temporary folder.",
    )
    recipe_dir: Path | None = Field(
        default=None,
        description="The pool's recipe folder: spec.recipe.path and `file` parameters stay inside.",
    )
    run_as_uid: int | None = Field(
        default_factory=_default_uid,
        ge=0,
        description="The user goose runs as when the worker is root; 0 lets it be root too.",
    )
    run_as_gid: int | None = Field(
        default=None,
        ge=0,
        description="The group goose runs as when the worker is root; default as the user.",
    )

    @field_validator("data_dir", "recipe_dir")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None:
            return None
        resolved = value.expanduser().resolve()
        if info.field_name == "recipe_dir" and not resolved.is_dir():
            raise ValueError(f"{resolved} is not a folder")
        return resolved

    @field_validator("run_as_uid")
    @classmethod
    def _possible(cls, value: int | None) -> int | None:
        if os.geteuid() != 0 and value not in {None, os.geteuid()}:
            raise ValueError(f"only a worker that is root can run goose as user {value}")
        return value

    def serves(self, namespace: str) -> bool:
        """Whether GooseJobs of this namespace are ours."""
        return "*" in self.namespaces or namespace in self.namespaces

    @property
    def goose_user(self) -> tuple[int, int] | None:
        """(uid, gid) that goose runs as; None: the worker's own."""
        if self.run_as_uid is None or self.run_as_uid == os.geteuid():
            return None
        return self.run_as_uid, self.run_as_uid if self.run_as_gid is None else self.run_as_gid

    def find_goose(self) -> str | None:
        """The absolute path of the goose program; None when there is none."""
        return shutil.which(self.goose)
