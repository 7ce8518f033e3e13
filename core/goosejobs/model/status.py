"""`GooseJob.status`: what ran, when, how it ended and why, what comes next.

Each field has one writer (see docs/architecture.md). Lists and texts are bounded here as in the CRD, because
one that is longer makes the API server refuse the whole status.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from goosejobs.model.reasons import Outcome
from goosejobs.model.run import Tokens, Trigger

MAX_MESSAGE: Final = 1024
MAX_RESULT: Final = 4096
MAX_RECENT_RESULT: Final = 256
MAX_ACTIVE: Final = 32
MAX_RECENT: Final = 50
MAX_TOKEN: Final = 64
MAX_QUEUED: Final = 1000
MAX_ATTEMPTS: Final = 10
MAX_ATTEMPT_MESSAGE: Final = 256


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

    type: str = Field(min_length=1, max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(min_length=1, max_length=1024)
    message: str = Field(default="", max_length=32768)
    last_transition_time: datetime
    observed_generation: int = Field(default=0, ge=0)


class AttemptRecord(StatusPart):
    """An attempt of a run that has ended."""

    attempt: int = Field(ge=1)
    start_time: datetime
    """When it was handed to the pool's workers."""
    finish_time: datetime
    outcome: Outcome
    reason: str = Field(max_length=64)
    message: str = Field(default="", max_length=MAX_ATTEMPT_MESSAGE)
    job_name: str | None = Field(default=None, max_length=63)


class ActiveRun(StatusPart):
    """A run that has started and is not recorded yet."""

    id: str = Field(max_length=64)
    workflow_id: str = Field(max_length=512)
    trigger: Trigger
    scheduled_time: datetime | None = None
    start_time: datetime
    attempt: int = Field(default=1, ge=0)
    worker: str | None = Field(default=None, max_length=253)
    job_name: str | None = Field(default=None, max_length=63)
    attempts: list[AttemptRecord] | None = Field(default=None, max_length=MAX_ATTEMPTS)
    """Those that have ended; None before the first has."""


class RunRecord(StatusPart):
    """A run that has ended."""

    id: str = Field(max_length=64)
    trigger: Trigger
    scheduled_time: datetime | None = None
    start_time: datetime
    finish_time: datetime
    attempt: int = Field(ge=0)
    outcome: Outcome
    reason: str = Field(max_length=64)
    """A `reasons.Reason`; plain text here, so that a newer release's reason can be read."""
    message: str = Field(default="", max_length=MAX_MESSAGE)
    result: str = Field(default="", max_length=MAX_RESULT)
    tokens: Tokens | None = None
    session: str | None = Field(default=None, max_length=253)
    job_name: str | None = Field(default=None, max_length=63)


class LastRun(RunRecord):
    """The newest run that has ended: its attempts are kept, too."""

    attempts: list[AttemptRecord] | None = Field(default=None, max_length=MAX_ATTEMPTS)


class Counts(StatusPart):
    """Since the object was created. The worker counts what ran; the operator what did not run."""

    succeeded: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    killed: int = Field(default=0, ge=0)
    consecutive_failures: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    missed: int = Field(default=0, ge=0)
    queued: int = Field(default=0, ge=0)
    """Not a sum: how many wait now. Temporal keeps at most `MAX_QUEUED`."""


class Answer(StrEnum):
    """What became of a request."""

    NOTED = "Noted"
    """It is new, and about to be acted on."""
    STARTED = "Started"
    QUEUED = "Queued"
    """It is acted on after the runs before it."""
    SKIPPED = "Skipped"
    """A run was active, and the concurrency policy allows no second one."""
    CANCELLED = "Cancelled"
    """The runs were asked to end."""
    RESUMED = "Resumed"
    REFUSED = "Refused"
    NOT_NEW = "NotNew"
    """It was there when the object was first seen."""


class HandledRun(StatusPart):
    """The newest `run-requested` and what became of it."""

    token: str = Field(max_length=MAX_TOKEN)
    answer: Answer
    workflow_id: str | None = Field(default=None, max_length=512)
    message: str = Field(default="", max_length=MAX_MESSAGE)


class HandledKill(StatusPart):
    """The newest `kill-requested` and what became of it."""

    token: str = Field(max_length=MAX_TOKEN)
    answer: Answer
    workflow_ids: list[Annotated[str, Field(max_length=512)]] = Field(
        default_factory=list, max_length=MAX_ACTIVE
    )
    message: str = Field(default="", max_length=MAX_MESSAGE)


class HandledResume(StatusPart):
    """The newest `resume-requested` and what became of it."""

    token: str = Field(max_length=MAX_TOKEN)
    answer: Answer
    failed: int = Field(default=0, ge=0)
    """`counts.failed` when it was last resumed: earlier failures do not pause it again."""
    message: str = Field(default="", max_length=MAX_MESSAGE)


class HandledRequests(StatusPart):
    """The requests that were made by annotation, as far as they were acted on."""

    run: HandledRun | None = None
    kill: HandledKill | None = None
    resume: HandledResume | None = None


class GooseJobStatus(StatusPart):
    """The whole status."""

    observed_generation: int = -1
    phase: Phase = Phase.PENDING
    display_schedule: str | None = Field(default=None, max_length=512)
    schedule_id: str | None = Field(default=None, max_length=512)
    recipe_digest: str | None = Field(default=None, max_length=128)
    next_schedule_time: str | None = Field(default=None, max_length=64)
    """RFC 3339 text, not a date: kubectl prints a date in the future as `<invalid>`."""
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None
    last_failure_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    active: list[ActiveRun] = Field(default_factory=list, max_length=MAX_ACTIVE)
    last_run: LastRun | None = None
    recent_runs: list[RunRecord] = Field(default_factory=list, max_length=MAX_RECENT)
    counts: Counts = Field(default_factory=Counts)
    handled_requests: HandledRequests | None = None

    @property
    def records(self) -> list[RunRecord]:
        """All runs on record; the newest may be there twice, for no history limit lets go of it."""
        return [*self.recent_runs, *([self.last_run] if self.last_run else [])]

    def condition(self, type_: str) -> Condition | None:
        """The condition of a type; None when it does not stand there."""
        return next((each for each in self.conditions if each.type == type_), None)
