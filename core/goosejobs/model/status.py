"""`GooseJob.status`: what ran, when, how it ended and why, what comes next.

Each field has one writer (see docs/architecture.md). Lists and texts are bounded here as in the CRD, because
one that is longer makes the API server refuse the whole status.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import Tokens, Trigger

MAX_MESSAGE: Final = 1024
MAX_RESULT: Final = 4096
MAX_RECENT_RESULT: Final = 256
MAX_ACTIVE: Final = 32
MAX_RECENT: Final = 50


class StatusPart(BaseModel):
    """A part of the status: camelCase outside; fields of other releases are kept out of our way."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Phase(StrEnum):
    """One word for display; no code branches on it."""

    PENDING = "Pending"
    ACTIVE = "Active"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    INVALID = "Invalid"
    TERMINATING = "Terminating"


class Condition(StatusPart):
    """A metav1.Condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int = 0


class ActiveRun(StatusPart):
    """A run that has started and is not recorded yet."""

    id: str = Field(max_length=64)
    workflow_id: str = Field(max_length=512)
    trigger: Trigger
    scheduled_time: datetime | None = None
    start_time: datetime
    attempt: int = 1
    worker: str | None = Field(default=None, max_length=253)


class RunRecord(StatusPart):
    """A run that has ended."""

    id: str = Field(max_length=64)
    trigger: Trigger
    scheduled_time: datetime | None = None
    start_time: datetime
    finish_time: datetime
    attempt: int
    outcome: Outcome
    reason: Reason
    message: str = Field(default="", max_length=MAX_MESSAGE)
    result: str = Field(default="", max_length=MAX_RESULT)
    tokens: Tokens | None = None
    session: str | None = Field(default=None, max_length=253)


class Counts(StatusPart):
    """Since the object was created. The worker counts what ran; the operator what did not run."""

    succeeded: int = 0
    failed: int = 0
    killed: int = 0
    consecutive_failures: int = 0
    skipped: int = 0
    missed: int = 0


class GooseJobStatus(StatusPart):
    """The whole status."""

    observed_generation: int = -1
    phase: Phase | None = None
    display_schedule: str | None = Field(default=None, max_length=512)
    schedule_id: str | None = Field(default=None, max_length=512)
    recipe_digest: str | None = Field(default=None, max_length=128)
    next_schedule_time: str | None = Field(default=None, max_length=64)
    """RFC 3339 text, not a date: kubectl prints a date in the future as `<invalid>`."""
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None
    last_failure_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: list[Condition] = Field(default_factory=list)
    active: list[ActiveRun] = Field(default_factory=list, max_length=MAX_ACTIVE)
    last_run: RunRecord | None = None
    recent_runs: list[RunRecord] = Field(default_factory=list, max_length=MAX_RECENT)
    counts: Counts = Field(default_factory=Counts)
