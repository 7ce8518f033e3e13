"""What the operator can be told beyond what both sides share, as environment variables GOOSEJOBS_*."""

from pydantic import Field

from goosejobs.settings import Settings, pod_namespace


class OperatorSettings(Settings):
    """The operator's settings."""

    resync_seconds: float = Field(
        default=600, ge=1, description="How often everything is looked at again, to repair drift."
    )
    workers: int = Field(default=16, ge=1, le=256, description="GooseJobs that are reconciled at one time.")
    lease_name: str = Field(
        default="goosejobs-operator",
        min_length=1,
        max_length=253,
        description="The Lease that the active replica holds. Operators for different namespaces need "
        "different ones.",
    )
    lease_namespace: str = Field(default_factory=pod_namespace, min_length=1, max_length=63)
    lease_seconds: int = Field(
        default=15, ge=3, le=600, description="How long after the active replica's death another takes over."
    )
    deletion_timeout_seconds: float = Field(
        default=300,
        ge=0,
        description="How long a GooseJob's deletion waits for Temporal, and for its runs to end. After it, "
        "the object goes; what is left in Temporal is swept by a later resync.",
    )
    cluster: str = Field(
        default="",
        max_length=253,
        description="Tells clusters that share a Temporal namespace apart, so that none sweeps another's "
        "schedules. Empty: the uid of the namespace kube-system.",
    )
