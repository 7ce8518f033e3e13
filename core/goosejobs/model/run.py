"""A run on its way through Temporal: what it was asked to do, each attempt's end, and the outcome."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from goosejobs.model.execution import EnvFrom, EnvVar, JobTemplate, Mode
from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.spec import ConcurrencyPolicy, Model, Parameter, Retry


class Message(BaseModel):
    """What travels between operator, workflow and activities.

    Unknown fields are ignored, so that a worker of one release can read what a newer one sent.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class GooseJobRef(Message):
    """One GooseJob, never another one that later has its name."""

    namespace: str
    name: str
    uid: str


class Trigger(StrEnum):
    """What started a run."""

    SCHEDULE = "Schedule"
    MANUAL = "Manual"
    """Somebody asked for it at a time at which the schedule is not due."""
    ONCE = "Once"


class RecipeSnapshot(Message):
    """The recipe by value: what was applied is what runs."""

    text: str
    """YAML (or JSON, which is YAML) exactly as its source had it; parameters not rendered."""
    digest: str
    """`sha256:<hex>` of the text's UTF-8 bytes."""
    source: str
    """Where it came from, as a field path for messages: `spec.recipe.text`, `spec.recipe.path`, ..."""
    base_dir: str | None = None
    """For `spec.recipe.path`: the recipe's folder, relative to the pool's recipe folder. Relative
    sub-recipe paths are resolved against it; None when the recipe did not come from a file."""
    schedule: str | None = None
    """With `spec.scheduleFrom: Recipe`, the cron expression of the recipe's own section."""


class RecipeFile(Message):
    """What a pool's worker found at `spec.recipe.path`: the result of a `GooseJobReadRecipe` workflow."""

    text: str
    base_dir: str
    """As `RecipeSnapshot.base_dir`."""


class RunRequest(Message):
    """The argument of a `GooseJobRun` workflow; also the argument kept in the schedule's action."""

    goosejob: GooseJobRef
    generation: int
    recipe: RecipeSnapshot
    parameters: list[Parameter] = Field(default_factory=list)
    model: Model = Field(default_factory=Model)
    pool: str = "default"
    mode: Mode | None = None
    """None: as the pool runs. A pool of the other mode refuses the run."""
    env: list[EnvVar] = Field(default_factory=list)
    env_from: list[EnvFrom] = Field(default_factory=list)
    job: JobTemplate | None = None
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    active_deadline_seconds: int = 7200
    run_deadline_seconds: int | None = None
    retry: Retry = Field(default_factory=Retry)
    max_runs: int = 0
    """`spec.maxRuns` when the schedule got its limit; a run does not read it."""
    odd_intervals: list[int] | None = None
    """Seconds of each `@every` that is not in whole minutes; None in what an earlier release sent."""

    def trigger_at(self, scheduled_time: datetime | None) -> Trigger:
        """What started the run of this time.

        A schedule is due at whole minutes and at the multiples of its `@every`, counted from 1970. A run that
        somebody asks for gets another second: the two never share a run id, and the time tells which it is.

        Args:
            scheduled_time: As `names.run_id` takes it.
        """
        if scheduled_time is None:
            return Trigger.ONCE
        seconds = int(scheduled_time.timestamp())
        if self.odd_intervals is None or any(seconds % each == 0 for each in (60, *self.odd_intervals)):
            return Trigger.SCHEDULE
        return Trigger.MANUAL


class Tokens(Message):
    """Tokens the model provider counted."""

    input: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)
    total: int = Field(default=0, ge=0)


class RunInfo(Message):
    """Who a run is; fixed when its workflow starts."""

    goosejob: GooseJobRef
    id: str
    workflow_id: str
    trigger: Trigger
    scheduled_time: datetime | None = None
    start_time: datetime
    first_run_id: str = ""
    """Temporal's own id of the workflow as it started: a reset gives it another one. Empty in what an earlier
    release sent."""
    generation: int = 0
    """Of the spec that it runs; 0 where that is not known any more."""


class AttemptRequest(Message):
    """One attempt: one goose process or one Kubernetes Job, never a second one under the same number."""

    run: RunInfo
    request: RunRequest
    attempt: int


class AttemptResult(Message):
    """How one attempt ended."""

    attempt: int
    outcome: Outcome
    reason: Reason
    message: str = ""
    """One or a few sentences for people; bounded, no secrets."""
    result: str = ""
    """The agent's final text, or its structured output as JSON; bounded."""
    tokens: Tokens | None = None
    session: str | None = None
    """goose's session name, to find it with `goose session list` on the worker; None in a pod."""
    job_name: str | None = None
    """The Kubernetes Job that was created, in the GooseJob's namespace; None for a process."""
    left: str = ""
    """A sentence about what may still be alive of it; empty when nothing is."""


class EndedAttempt(Message):
    """What is told of an attempt that has ended; the times are the workflow's."""

    attempt: int
    start_time: datetime
    """When it was handed to the pool's workers."""
    finish_time: datetime
    outcome: Outcome
    reason: Reason
    message: str = ""
    job_name: str | None = None


class RunOutcome(Message):
    """How the run as a whole ended: the workflow's result. Small, for Temporal keeps the last one."""

    outcome: Outcome
    reason: Reason
    message: str = ""
    attempt: int = 0
    """How many attempts were made; 0 when none could start."""
    start_time: datetime
    finish_time: datetime


class RecordRequest(Message):
    """What the recording activity folds into the GooseJob's status."""

    run: RunInfo
    outcome: RunOutcome
    result: str = ""
    tokens: Tokens | None = None
    session: str | None = None
    job_name: str | None = None
    attempts: list[EndedAttempt] = Field(default_factory=list)
    """Those that have ended, oldest first; the newest of many."""
    entered: bool = False
    """It stood in `status.active`: it is counted when it leaves that, and not again."""
