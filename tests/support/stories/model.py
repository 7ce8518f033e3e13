"""A story: GooseJobs, what people do to them, and who dies meanwhile; as data, so that it can be told again.

Nothing in it happens at a time of day. An edit comes when its GooseJob has got somewhere, a kill with the
n-th thing that somebody writes.
"""

from enum import StrEnum
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Who(StrEnum):
    """Who can be hurt."""

    OPERATOR = "operator"
    WORKER = "worker"
    API_SERVER = "kube-apiserver"
    TEMPORAL = "temporal"


class How(StrEnum):
    """What happens to them."""

    KILL = "kill"
    """SIGKILL. Somebody starts it again at once, as Kubernetes does."""
    STOP = "stop"
    """SIGTERM; likewise."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT later."""


class Of(StrEnum):
    """Whose steps are counted."""

    OPERATOR = "operator"
    WORKER = "worker"
    AGENT = "agent"


class At(StrEnum):
    """When it happens to the one who writes."""

    REQUEST = "request"
    """Before the API server gets it."""
    ANSWER = "answer"
    """When the API server has done it, before the writer hears of it."""


class End(StrEnum):
    """How a GooseJob's story ends."""

    COMPLETED = "completed"
    """All runs of `maxRuns`."""
    ONCE = "once"
    """The run of `runOnce`."""
    PAUSED = "paused"
    """After failures."""
    ASKED = "asked"
    """Every run that was asked for is on record; the schedule itself is due in years."""
    GONE = "gone"
    """Deleted."""


class Point(_Part):
    """When an edit is made: once all of this is so."""

    seen: bool = True
    """The operator has looked at the spec as it is."""
    started: int = 0
    """So many runs are known: they are active, or have ended."""
    ended: int = 0
    """So many runs have ended."""
    agents: int = 0
    """So many of its runs, in the life that it has now, have got as far as their agent."""
    answered: str = ""
    """The newest request of this kind (run, kill, resume) has its answer."""
    paused: bool = False
    """It is paused after failures."""
    stalled: bool = False
    """Its spec is refused."""


class Edit(_Part):
    """One thing that somebody does: exactly one of the last four."""

    when: Point = Point()
    set: dict[str, Any] = Field(default_factory=dict)
    """Fields of the spec, applied; None takes one away."""
    annotate: dict[str, str] = Field(default_factory=dict)
    recreate: bool = False
    """Delete it, wait until it is gone, apply it anew."""
    delete: bool = False


class Job(_Part):
    """A GooseJob.

    Attributes:
        name: Its name.
        prompt: Of its recipe, beneath a line that no other GooseJob's recipe has.
        seconds: How long the agent works, where the prompt starts one.
        spec: All of its spec but the recipe, its parameters and its pool.
        edits: In order.
        end: How it ends.
        fixed: Whether the outcome of each run is the same whenever it starts.
    """

    name: str
    prompt: str
    seconds: int = 0
    spec: dict[str, Any]
    edits: tuple[Edit, ...] = ()
    end: End
    fixed: bool = True

    @property
    def final(self) -> dict[str, Any]:
        """Its spec after the last edit."""
        spec = self.spec
        for edit in self.edits:
            spec = changed(spec, edit.set)
        return spec

    @property
    def asked_runs(self) -> int:
        """How often a run is asked for."""
        return sum("goosejobs.dev/run-requested" in edit.annotate for edit in self.edits)

    @property
    def resumed(self) -> int:
        """How often it is resumed."""
        return sum("goosejobs.dev/resume-requested" in edit.annotate for edit in self.edits)


class Kill(_Part):
    """Somebody is hurt with the n-th step of somebody.

    Attributes:
        who: Who is hurt, all at once.
        how: What happens; servers are always killed, and started again at once.
        of: Whose steps are counted; all lives of that side together.
        number: Which step, from 1. Of operator and worker it is a write to the API server, other than of
            Events and the Lease; of agents a line that one writes.
        at: When, if it is a write.
        seconds: How long it is frozen.
        relieved: Another one starts while it is frozen.
    """

    who: tuple[Who, ...]
    how: How = How.KILL
    of: Of
    number: int = Field(ge=1)
    at: At = At.ANSWER
    seconds: float = 0
    relieved: bool = False


class Story(_Part):
    """All of it."""

    seed: int
    jobs: tuple[Job, ...]
    kills: tuple[Kill, ...]

    def as_yaml(self) -> str:
        """As text, to be told again."""
        return yaml.safe_dump(
            self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
        )

    @classmethod
    def of_yaml(cls, text: str) -> Self:
        """Read it back."""
        return cls.model_validate(yaml.safe_load(text))

    def only(self, kills: list[int]) -> Self:
        """The same story with these of its kills."""
        return self.model_copy(update={"kills": tuple(self.kills[number] for number in kills)})


def changed(spec: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """A spec with some fields replaced."""
    return {name: value for name, value in {**spec, **fields}.items() if value is not None}
