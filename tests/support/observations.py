"""GooseJobs as the operator sees them, for tests of its pure parts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.schedule.v1 import Schedule, ScheduleState

from goosejobs import cron
from goosejobs.model.run import GooseJobRef, RecipeSnapshot, RunRequest
from goosejobs.model.spec import GooseJobSpec
from goosejobs_operator.observe import Observation
from goosejobs_operator.schedule import Described, WantedSchedule, build

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
REF = GooseJobRef(namespace="team-a", name="report", uid="11111111-2222-3333-4444-555555555555")
RECIPE = RecipeSnapshot(text="prompt: hi", digest="sha256:aa", source="spec.recipe.text")


def goosejob(*, deleted: str | None = None, finalizer: bool = True, **more: Any) -> dict[str, Any]:
    """The object; `spec` and `status` update the usual ones."""
    meta = {
        "namespace": REF.namespace,
        "name": REF.name,
        "uid": REF.uid,
        "generation": more.get("generation", 3),
        "resourceVersion": "7",
    }
    if finalizer:
        meta["finalizers"] = ["goosejobs.dev/cleanup"]
    if deleted:
        meta["deletionTimestamp"] = deleted
    spec = {"schedule": "0 8 * * *", "recipe": {"text": "prompt: hi"}, **more.get("spec", {})}
    if spec.get("runOnce"):
        del spec["schedule"]
    return {"metadata": meta, "spec": spec, "status": {"observedGeneration": -1, **more.get("status", {})}}


def request(generation: int = 3, **more: Any) -> RunRequest:
    """The argument of a run."""
    return RunRequest(goosejob=REF, generation=generation, recipe=RECIPE, **more)


def wanted(expression: str = "0 8 * * *", *, suspend: bool = False, **more: Any) -> WantedSchedule:
    """What the spec asks for."""
    return WantedSchedule(
        times=cron.parse([expression]).schedule_spec(),
        request=request(**more),
        suspend=suspend,
        catch_up=timedelta(seconds=300),
    )


def schedule(want: WantedSchedule, state: ScheduleState | None = None) -> Schedule:
    """The schedule as we would send it."""
    argument = [Payload(data=want.request.model_dump_json().encode())]
    return build(want, argument, SearchAttributes(), Memo(), state)


def described(want: WantedSchedule, state: ScheduleState | None = None, **more: Any) -> Described:
    """The schedule as Temporal has it."""
    return Described(schedule=schedule(want, state), token=b"token", request=want.request, **more)


def seen(obj: dict[str, Any] | None = None, *, workers: bool | None = None, **more: Any) -> Observation:
    """One look at the object, whose pool has workers (that do not say what they take), none, or who knows."""
    obj = obj or goosejob()
    more["offers"] = None if workers is None else frozenset({None} if workers else ())
    if "spec" not in more and "deletionTimestamp" not in obj["metadata"]:
        more["spec"] = GooseJobSpec.model_validate(obj["spec"])
    return Observation(obj=obj, now=NOW, patience=timedelta(seconds=300), **more)


def served(**more: Any) -> Observation:
    """A GooseJob whose schedule is as its spec asks."""
    want = wanted()
    have = described(want)
    return seen(request=want.request, wanted=want, schedule=have, target=have.schedule, workers=True, **more)
