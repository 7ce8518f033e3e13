"""Why a run ended as it did, and why a GooseJob cannot be served: stable words for people and machines."""

from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    KILLED = "Killed"
    """A person, a deletion or `concurrencyPolicy: Replace` ended it."""
    UNKNOWN = "Unknown"
    """goose is gone and did not say how it ended; never retried by itself."""


class Reason(StrEnum):
    """Why a run, or one attempt of it, ended."""

    COMPLETED = "Completed"

    # what the model provider did
    PROVIDER_ERROR = "ProviderError"
    """The provider answered with a server error (5xx)."""
    PROVIDER_AUTH = "ProviderAuth"
    """The provider refused the credentials (401, 403)."""
    RATE_LIMITED = "RateLimited"
    """The provider answered 429."""
    NETWORK_ERROR = "NetworkError"
    """The provider could not be reached, or dropped the connection."""
    PROVIDER_UNKNOWN = "ProviderNotConfigured"
    """No provider or model is configured, or goose does not know it."""

    # what the recipe or the agent did
    INVALID_RECIPE = "InvalidRecipe"
    TURN_LIMIT = "TurnLimitReached"
    OUTPUT_MISSING = "StructuredOutputMissing"
    """The recipe has a `response.json_schema` and the model never gave that output."""
    RECIPE_RETRIES = "RecipeRetriesExhausted"
    """The recipe's own `retry.checks` did not pass within `retry.max_retries`."""
    GOOSE_FAILED = "GooseFailed"
    """goose ended with an error that has no reason of its own; the message tells it."""
    GOOSE_CRASHED = "GooseCrashed"
    """goose was ended by a signal that nobody of us sent (for example: out of memory)."""
    NO_OUTCOME = "NoOutcome"
    """goose exited 0 but its output has no readable end; the outcome is Unknown."""

    # what Kubernetes did
    IMAGE_PULL_FAILED = "ImagePullFailed"
    OOM_KILLED = "OOMKilled"
    """goose and its tools used more memory than their limit."""
    EVICTED = "Evicted"
    """The node or the scheduler took the pod's place away (pressure, preemption, drain)."""
    NODE_LOST = "NodeLost"
    """The node is not heard of any more; the pod may still be running there, so it is not tried again."""
    UNSCHEDULABLE = "Unschedulable"
    """No node took the pod within the pool's start timeout."""
    POD_FAILED = "PodFailed"
    """The pod failed for a reason that has no word of its own; the message tells Kubernetes' one."""
    JOB_LOST = "JobLost"
    """Somebody deleted the Kubernetes Job while it ran."""
    CONFIG_NOT_FOUND = "ConfigNotFound"
    """A Secret or ConfigMap that spec.execution names is not there, lacks the key, or may not be read."""

    # what the platform did
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """`activeDeadlineSeconds` or `runDeadlineSeconds` passed."""
    START_FAILED = "StartFailed"
    """goose could not be started (missing binary, no disk, no permission)."""
    WORKER_SHUTDOWN = "WorkerShutdown"
    WORKER_LOST = "WorkerLost"
    """The worker died or lost contact; its processes were ended by their supervisor."""
    POOL_REFUSED = "PoolRefused"
    """The worker's pool does not serve this GooseJob (its namespace or its mode)."""
    CANCELLED = "Cancelled"
    TERMINATED = "Terminated"
    """The run's workflow was terminated from outside; the operator closed the record."""
    WORKFLOW_LOST = "WorkflowLost"
    """Temporal does not know the run's workflow any more; the operator closed the record."""


INFRASTRUCTURE = frozenset({Reason.WORKER_SHUTDOWN, Reason.WORKER_LOST})
"""Not the recipe's failure: tried again without counting against `retry.maxAttempts`."""

RETRYABLE = INFRASTRUCTURE | {
    Reason.PROVIDER_ERROR,
    Reason.RATE_LIMITED,
    Reason.NETWORK_ERROR,
    Reason.GOOSE_CRASHED,
    Reason.START_FAILED,
    Reason.IMAGE_PULL_FAILED,
    Reason.EVICTED,
}
"""A later attempt may end otherwise. Everything else would fail the same way again."""


class StalledReason(StrEnum):
    """Why a GooseJob's spec cannot be acted on until somebody changes it or what it refers to."""

    INVALID_SPEC = "InvalidSpec"
    INVALID_SCHEDULE = "InvalidSchedule"
    NEVER_FIRES = "ScheduleNeverFires"
    INVALID_TIME_ZONE = "InvalidTimeZone"
    RECIPE_NOT_FOUND = "RecipeNotFound"
    INVALID_RECIPE = "InvalidRecipe"
    INVALID_PARAMETERS = "InvalidParameters"
    RECIPE_TOO_LARGE = "RecipeTooLarge"
    POOL_REFUSED = "PoolRefused"
    """All workers of the pool say that they do not serve this GooseJob (its namespace or its mode)."""


class ReadyReason(StrEnum):
    """The other reasons of the conditions that the operator writes."""

    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    PAUSED_AFTER_FAILURES = "PausedAfterFailures"
    STARTED = "Started"
    COMPLETED = "Completed"
    TEMPORAL_UNAVAILABLE = "TemporalUnavailable"
    WAITING_FOR_WORKER = "WaitingForWorker"
    DELETING = "Deleting"
    PROGRESSING = "Progressing"
