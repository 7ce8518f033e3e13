"""What a GooseJob's spec asks for, or why it cannot be done. Pure."""

from collections.abc import Collection
from datetime import datetime, timedelta

from pydantic import ValidationError
from temporalio.client import ScheduleSpec

from goosejobs import cron
from goosejobs.clients.kube import Object
from goosejobs.model.execution import Execution, Mode
from goosejobs.model.pool import Offer
from goosejobs.model.reasons import StalledReason
from goosejobs.model.run import GooseJobRef, RecipeSnapshot, RunRequest
from goosejobs.model.spec import GooseJobSpec
from goosejobs.recipe import MAX_DEPTH


class Refused(Exception):
    """The spec cannot be acted on until somebody changes it, or what it refers to.

    Attributes:
        reason: In one word.
        message: Which field, what is wrong with it, what to do.
    """

    def __init__(self, reason: StalledReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def refusal(reason: StalledReason, path: str, message: str) -> Refused:
    """A refusal because of one field."""
    return Refused(reason, f"{path}: {message}")


def read(obj: Object) -> GooseJobSpec:
    """The spec.

    What the CRD refuses at apply can still be met: the object may be older than the rule.

    Raises:
        Refused: It makes no sense.
    """
    try:
        spec = GooseJobSpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        message = "; ".join(f"{_path(problem['loc'])}: {problem['msg']}" for problem in found)
        raise Refused(StalledReason.INVALID_SPEC, message) from error
    when = (spec.schedule, spec.schedules, spec.schedule_from, spec.run_once or None)
    if sum(each is not None for each in when) != 1:
        message = (
            "give exactly one of spec.schedule, spec.schedules, spec.scheduleFrom and spec.runOnce: true"
        )
        raise refusal(StalledReason.INVALID_SPEC, "spec", message)
    recipe = spec.recipe
    sources = (recipe.inline, recipe.text, recipe.config_map_key_ref, recipe.path)
    if sum(source is not None for source in sources) != 1:
        message = "give the recipe by exactly one of inline, text, configMapKeyRef and path"
        raise refusal(StalledReason.INVALID_SPEC, "spec.recipe", message)
    if recipe.inline is not None and _is_deep(obj["spec"]["recipe"]["inline"]):
        message = f"the recipe is nested deeper than {MAX_DEPTH} levels"
        raise refusal(StalledReason.INVALID_RECIPE, "spec.recipe.inline", message)
    return spec


def times(spec: GooseJobSpec, now: datetime, written: str = "spec.schedule") -> ScheduleSpec:
    """When its runs are due.

    Args:
        spec: With `scheduleFrom`, the expression has been filled in.
        now: The time.
        written: Where a single expression stands.

    Raises:
        Refused: An expression or the zone cannot be served.
    """
    try:
        wanted = cron.of_spec(spec, now).schedule_spec()
    except cron.InvalidTimeZone as error:
        raise refusal(StalledReason.INVALID_TIME_ZONE, "spec.timeZone", error.message) from error
    except cron.CronError as error:
        never = isinstance(error, cron.NeverFires)
        reason = StalledReason.NEVER_FIRES if never else StalledReason.INVALID_SCHEDULE
        path = written if spec.schedule is not None else f"spec.schedules[{error.index}]"
        raise refusal(reason, path, error.message) from error
    wanted.jitter = timedelta(seconds=spec.jitter_seconds) if spec.jitter_seconds else None
    return wanted


def is_over(spec: GooseJobSpec, now: datetime) -> bool:
    """Whether nothing will be due any more, because of `spec.endTime`; the rest of the spec is sound."""
    return spec.end_time is not None and not cron.upcoming(cron.of_spec(spec, now), now, 1)


def ensure_served(execution: Execution, namespace: str, offers: Collection[Offer | None] | None) -> None:
    """Say before its first run that a pool will not take a GooseJob.

    Workers check this themselves at each run; what they say of themselves here may be older than that.

    Args:
        execution: `spec.execution`.
        namespace: The GooseJob's.
        offers: What the pool's workers take; None when that is not known.

    Raises:
        Refused: There are workers, and each says that it does not take it.
    """
    if not offers or None in offers:
        return
    known = [offer for offer in offers if offer is not None]
    modes = {offer.mode for offer in known if offer.serves(namespace)}
    pool, wanted = execution.pool, execution.mode
    if not modes:
        served = ", ".join(sorted({each for offer in known for each in offer.namespaces}))
        message = (
            f"pool {pool} does not serve namespace {namespace}, only {served}: name another one, or have the "
            "pool's owner add the namespace to GOOSEJOBS_NAMESPACES of its workers"
        )
        raise refusal(StalledReason.POOL_REFUSED, "spec.execution.pool", message)
    if wanted is not None and wanted not in modes:
        message = (
            f"pool {pool} runs in mode {' and '.join(sorted(modes))}: leave this out, or name another pool"
        )
        raise refusal(StalledReason.POOL_REFUSED, "spec.execution.mode", message)
    if execution.job is not None and modes == {Mode.PROCESS}:
        message = (
            f"pool {pool} runs processes, which this says nothing about: remove it, or name another pool"
        )
        raise refusal(StalledReason.POOL_REFUSED, "spec.execution.job", message)


def request(
    ref: GooseJobRef,
    generation: int,
    spec: GooseJobSpec,
    recipe: RecipeSnapshot,
    times: ScheduleSpec | None = None,
) -> RunRequest:
    """What each of its runs is asked to do."""
    intervals = [int(each.every.total_seconds()) for each in times.intervals] if times else []
    return RunRequest(
        goosejob=ref,
        generation=generation,
        recipe=recipe,
        parameters=spec.parameters,
        model=spec.model,
        pool=spec.execution.pool,
        mode=spec.execution.mode,
        env=spec.execution.env,
        env_from=spec.execution.env_from,
        job=spec.execution.job,
        concurrency_policy=spec.concurrency_policy,
        active_deadline_seconds=spec.active_deadline_seconds,
        run_deadline_seconds=spec.run_deadline_seconds,
        retry=spec.retry,
        max_runs=spec.max_runs,
        odd_intervals=sorted({seconds for seconds in intervals if seconds % 60}),
    )


def _is_deep(recipe: object) -> bool:
    """Whether it is deeper than recipes may be; asked before it is written as text, which recurses."""
    level = [recipe]
    for _ in range(MAX_DEPTH + 1):
        groups = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = [child for group in groups for child in group]
    return bool(level)


def _path(loc: tuple[int | str, ...]) -> str:
    """A field path as people write it: `spec.parameters[0].name`."""
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
