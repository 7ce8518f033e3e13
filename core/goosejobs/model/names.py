"""Names that more than one side must spell the same way."""

import hashlib
from datetime import UTC, datetime

GROUP = "goosejobs.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "GooseJob"
PLURAL = "goosejobs"

FINALIZER = f"{GROUP}/cleanup"
RECIPE_LABEL = f"{GROUP}/recipe"
"""A ConfigMap with this label (any value) is watched: a change of it reaches its GooseJobs at once."""

# Requests: annotations that people write on a GooseJob. A new value acts once, and is echoed in the status.
RUN_REQUESTED = f"{GROUP}/run-requested"
KILL_REQUESTED = f"{GROUP}/kill-requested"
RESUME_REQUESTED = f"{GROUP}/resume-requested"

# On every Kubernetes Job of ours and on its pods:
GOOSEJOB_LABEL = f"{GROUP}/goosejob"
UID_LABEL = f"{GROUP}/uid"
RUN_LABEL = f"{GROUP}/run"
ATTEMPT_LABEL = f"{GROUP}/attempt"
POOL_LABEL = f"{GROUP}/pool"
WORKFLOW_ANNOTATION = f"{GROUP}/workflow-id"
RECIPE_ANNOTATION = f"{GROUP}/rendered-recipe"
"""On the pod: the recipe that goose reads, through a downwardAPI volume."""

WORKFLOW_TYPE = "GooseJobRun"
RECORD_WORKFLOW_TYPE = "GooseJobRecord"
READ_RECIPE_WORKFLOW_TYPE = "GooseJobReadRecipe"

UID_ATTRIBUTE = "GooseJobUid"
"""Search attribute (Keyword) on every schedule and workflow of a GooseJob: its metadata.uid."""

OPERATOR_MANAGER = "goosejobs-operator"
WORKER_MANAGER = "goosejobs-worker"

ONCE_RUN_ID = "once"
_RUN_ID = "%Y%m%d-%H%M%S"

MAX_RECIPE_BYTES = 200 * 1024
"""The largest recipe text, in bytes of UTF-8, before and after rendering (design.md)."""


def schedule_id(namespace: str, name: str, uid: str) -> str:
    """The Temporal schedule of a GooseJob. It holds the uid: a recreated object inherits nothing (I16)."""
    return f"goosejob/{namespace}/{name}/{uid}"


def once_workflow_id(namespace: str, name: str, uid: str) -> str:
    """The workflow of a `runOnce` GooseJob."""
    return f"{schedule_id(namespace, name, uid)}/{ONCE_RUN_ID}"


def is_of(id_: str, namespace: str, name: str, uid: str) -> bool:
    """Whether a schedule's or a workflow's id is one that only this GooseJob's have."""
    stem = schedule_id(namespace, name, uid)  # Temporal adds `-` and the due time to it for each run
    return id_ == stem or id_.startswith((f"{stem}-", f"{stem}/"))


def record_workflow_id(run_workflow_id: str) -> str:
    """The workflow that tells a run's end when the run itself could not wait for the API server."""
    return f"{run_workflow_id}/record"


def read_recipe_workflow_id(namespace: str, name: str, uid: str) -> str:
    """The short workflow in which a pool's worker reads `recipe.path` for the operator."""
    return f"goosejob-recipe/{namespace}/{name}/{uid}"


def run_id(scheduled_time: datetime | None) -> str:
    """A run's id, unique in its GooseJob and usable in a Kubernetes name.

    Args:
        scheduled_time: The time the schedule asked for (aware); None for a `runOnce` run.

    Returns:
        `once`, or the time in UTC as `20261121-114000`.
    """
    if scheduled_time is None:
        return ONCE_RUN_ID
    return scheduled_time.astimezone(UTC).strftime(_RUN_ID)


def run_workflow_id(schedule: str, run: str) -> str | None:
    """The workflow of a run: what `run_id` and `once_workflow_id` lead to; None when nothing has such an id.

    Args:
        schedule: As `schedule_id`.
        run: The run's id.
    """
    if run == ONCE_RUN_ID:
        return f"{schedule}/{ONCE_RUN_ID}"
    try:
        moment = datetime.strptime(run, _RUN_ID).replace(tzinfo=UTC)
    except ValueError:
        return None
    return f"{schedule}-{moment:%Y-%m-%dT%H:%M:%SZ}"


def task_queue(pool: str) -> str:
    """The Temporal task queue that a pool's workers poll."""
    return f"goosejobs-{pool}"


def job_name(goosejob: str, uid: str, run: str, attempt: int) -> str:
    """The Kubernetes Job of an attempt: the same each time it is asked for, and no other attempt's.

    At most 63 characters, as a Job's name may have, because a GooseJob's has at most 52.

    Args:
        goosejob: The GooseJob's name.
        uid: Its metadata.uid: a recreated GooseJob's Jobs have other names.
        run: The run's id.
        attempt: Number of the attempt, from 1, at most 99.
    """
    digest = hashlib.sha256(f"{uid}/{run}".encode()).hexdigest()[:7]
    return f"{goosejob}-{digest}-{attempt}"
