"""`GooseJob.spec`, as people write it. The contract is crds/goosejobs.yaml; tests hold the two together."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from goosejobs.model.execution import Execution
from goosejobs.model.part import Part

Seconds = Annotated[int, Field(description="A duration in seconds.")]


class ConcurrencyPolicy(StrEnum):
    """What happens when a run is due while an earlier one is still active."""

    FORBID = "Forbid"
    ALLOW = "Allow"
    REPLACE = "Replace"
    QUEUE = "Queue"


class ScheduleSource(StrEnum):
    """Where the schedule stands, if not in the spec."""

    RECIPE = "Recipe"
    """In the recipe's own section: `schedule: {cron: "0 8 * * 1", foreground: false}`."""


class ConfigMapKeyRef(Part):
    """A key of a ConfigMap in the GooseJob's own namespace."""

    name: str = Field(min_length=1, max_length=253)
    key: str = Field(min_length=1, max_length=253)


class InlineParameter(BaseModel):
    """A recipe's parameter, in goose's own field names; named are those whose type YAML could bend."""

    model_config = ConfigDict(extra="allow", frozen=True)

    key: str | None = Field(default=None, max_length=128)
    input_type: str | None = Field(default=None, max_length=64)
    requirement: str | None = Field(default=None, max_length=64)
    description: str | None = Field(default=None, max_length=16384)
    default: str | None = Field(default=None, max_length=65536)
    options: list[Annotated[str, Field(max_length=1024)]] | None = Field(default=None, max_length=256)


class InlineRecipe(BaseModel):
    """A recipe in place, in goose's own field names; what else goose knows is kept as it is.

    The named fields are typed because YAML would else turn `version: 1.0` into a number.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    version: str | None = Field(default=None, max_length=64)
    title: str | None = Field(default=None, max_length=1024)
    description: str | None = Field(default=None, max_length=16384)
    instructions: str | None = Field(default=None, max_length=204800)
    prompt: str | None = Field(default=None, max_length=204800)
    parameters: list[InlineParameter] | None = Field(default=None, max_length=64)


class Recipe(Part):
    """Where the recipe comes from: exactly one of the four."""

    inline: InlineRecipe | None = None
    text: str | None = Field(default=None, min_length=1, max_length=204800)
    config_map_key_ref: ConfigMapKeyRef | None = None
    path: str | None = Field(default=None, min_length=1, max_length=1024)

    @property
    def inline_text(self) -> str:
        """The inline recipe as JSON text, which is YAML; what was not written is not in it."""
        return "" if self.inline is None else self.inline.model_dump_json(exclude_unset=True)


class Parameter(Part):
    """A value for one of the recipe's parameters; always text, as on goose's command line."""

    name: str = Field(min_length=1, max_length=128)
    value: str = Field(max_length=65536)


class Model(Part):
    """Which model runs the recipe. Unset fields come from the recipe's settings, then from the pool."""

    provider: str | None = Field(default=None, min_length=1, max_length=64)
    name: str | None = Field(default=None, min_length=1, max_length=256)
    max_turns: int = Field(default=50, ge=1, le=1000)


class Retry(Part):
    """Attempts after a failure that another attempt may cure, with exponential backoff."""

    max_attempts: int = Field(default=3, ge=1, le=20)
    initial_interval_seconds: Seconds = Field(default=1, ge=1, le=3600)
    backoff_coefficient: int = Field(default=2, ge=1, le=10)
    max_interval_seconds: Seconds = Field(default=30, ge=1, le=86400)


class GooseJobSpec(Part):
    """When a recipe runs, what it is, and how."""

    schedule: str | None = Field(default=None, min_length=1, max_length=256)
    schedules: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        default=None, min_length=1, max_length=16
    )
    schedule_from: ScheduleSource | None = None
    run_once: bool | None = None
    time_zone: str | None = Field(default=None, min_length=1, max_length=64)
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    jitter_seconds: Seconds | None = Field(default=None, ge=0, le=86400)
    skip_dates: list[date] = Field(default_factory=list, max_length=366)
    suspend: bool = False
    starting_deadline_seconds: Seconds = Field(default=300, ge=10, le=31536000)
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    recipe: Recipe
    parameters: list[Parameter] = Field(default_factory=list, max_length=64)
    model: Model = Field(default_factory=Model)
    execution: Execution = Field(default_factory=Execution)
    active_deadline_seconds: Seconds = Field(default=7200, ge=1, le=604800)
    run_deadline_seconds: Seconds | None = Field(default=None, ge=1, le=604800)
    retry: Retry = Field(default_factory=Retry)
    max_runs: int = Field(default=0, ge=0, le=1000000)
    pause_after_failures: int = Field(default=0, ge=0, le=1000)
    successful_runs_history_limit: int = Field(default=3, ge=0, le=25)
    failed_runs_history_limit: int = Field(default=3, ge=0, le=25)

    @property
    def cron_expressions(self) -> list[str]:
        """The schedule's expressions; empty for `runOnce`, and until what `scheduleFrom` names is found."""
        return list(self.schedules or []) if self.schedule is None else [self.schedule]

    def scheduled(self, expression: str | None) -> "GooseJobSpec":
        """The same with the expression that was found where `scheduleFrom` says; else just the same.

        Args:
            expression: None or empty when it is not known.
        """
        if self.schedule_from is None or not expression:
            return self
        return self.model_copy(update={"schedule": expression})

    @property
    def zone(self) -> str:
        """The IANA zone the expressions are read in."""
        return self.time_zone or "UTC"
