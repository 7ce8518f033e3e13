"""Where a GooseJob stands, for display: pure functions that whoever writes the status calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from goosejobs import cron
from goosejobs.model.spec import GooseJobSpec
from goosejobs.model.status import GooseJobStatus, Phase

GooseJobObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the status that one field manager owns, and applies whole each time.

    Attributes:
        fields: Top-level fields, as in JSON.
        counts: Fields of `counts`.
        conditions: Types of conditions.
    """

    fields: frozenset[str]
    counts: frozenset[str]
    conditions: frozenset[str]

    def of(self, status: GooseJobStatus) -> dict[str, Any]:
        """This part of a status, as JSON."""
        whole = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        part = {name: value for name, value in whole.items() if name in self.fields}
        part["counts"] = {name: value for name, value in whole["counts"].items() if name in self.counts}
        ours = [c for c in whole["conditions"] if c["type"] in self.conditions]
        part["conditions"] = sorted(ours, key=lambda c: str(c["type"]))
        return part

    def to_write(self, obj: GooseJobObject, status: GooseJobStatus) -> dict[str, Any] | None:
        """This part of a status; None when the object has it already, so that nothing is to be written."""
        wanted = self.of(status)
        return None if wanted == self.of(read_status(obj)) else wanted


def rfc3339(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_status(obj: GooseJobObject) -> GooseJobStatus:
    """The status, however it came about: a part that makes no sense (edited by hand) reads as absent."""
    raw = dict(obj.get("status") or {})
    while True:
        try:
            return GooseJobStatus.model_validate(raw)
        except ValidationError as error:
            for problem in error.errors():
                raw.pop(str(problem["loc"][0]), None)


def read_spec(obj: GooseJobObject) -> GooseJobSpec | None:
    """The spec; None when it is one that the operator has to refuse."""
    try:
        return GooseJobSpec.model_validate(obj.get("spec") or {})
    except ValidationError:
        return None


def is_true(status: GooseJobStatus, condition_type: str) -> bool:
    """Whether the status has this condition, and it is True."""
    found = status.condition(condition_type)
    return found is not None and found.status == "True"


def phase(obj: GooseJobObject, status: GooseJobStatus) -> Phase:
    """One word for `kubectl get`, the most pressing one that is true.

    Args:
        obj: The GooseJob, for its deletionTimestamp.
        status: The status about to be written.
    """
    candidates = (
        (Phase.TERMINATING, bool(obj["metadata"].get("deletionTimestamp"))),
        (Phase.INVALID, is_true(status, "Stalled")),
        (Phase.RUNNING, bool(status.active)),
        (Phase.COMPLETED, status.completion_time is not None or _is_completed(status)),
        (Phase.PAUSED, is_true(status, "Suspended")),
        (Phase.ACTIVE, is_true(status, "Ready")),
    )
    return next((name for name, holds in candidates if holds), Phase.PENDING)


def next_schedule_time(obj: GooseJobObject, status: GooseJobStatus, now: datetime) -> str:
    """When a run is due next, in RFC 3339; empty when none is, or when that cannot be told from the spec.

    Args:
        obj: The GooseJob.
        status: The status about to be written: while it says Suspended or Completed, nothing is due. With
            `spec.scheduleFrom` it holds the expression, too, for only the operator reads recipes.
        now: The time.
    """
    spec = read_spec(obj)
    spec = spec and spec.scheduled(status.display_schedule)
    if spec is None or spec.suspend or not spec.cron_expressions or obj["metadata"].get("deletionTimestamp"):
        return ""
    if is_true(status, "Suspended") or _is_completed(status):
        return ""
    if is_spent(spec, status):
        return ""
    try:
        times = cron.upcoming(cron.of_spec(spec, now), now, 1)
    except cron.CronError:
        return ""
    return rfc3339(times[0]) if times else ""


def runs_so_far(status: GooseJobStatus) -> int:
    """How many runs the status knows of: those that have ended, and those that are active."""
    counts = status.counts
    return counts.succeeded + counts.failed + counts.killed + len(status.active)


def is_spent(spec: GooseJobSpec, status: GooseJobStatus) -> bool:
    """Whether `spec.maxRuns` has been reached, as far as the status knows."""
    return 0 < spec.max_runs <= runs_so_far(status)


def _is_completed(status: GooseJobStatus) -> bool:
    ready = status.condition("Ready")
    return ready is not None and (ready.status, ready.reason) == ("True", "Completed")
