"""What is so, as far as it matters for one GooseJob: the first step of a reconcile. Reads, never writes."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.schedule.v1 import Schedule

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status, runs_so_far
from goosejobs.model import names
from goosejobs.model.run import GooseJobRef, RecipeSnapshot, RunRequest, Trigger
from goosejobs.model.spec import GooseJobSpec
from goosejobs.model.status import ActiveRun, Answer, GooseJobStatus
from goosejobs_operator import desired, failures
from goosejobs_operator.annotations import new_kill
from goosejobs_operator.backend import Backend, Offers
from goosejobs_operator.caller import TemporalUnavailable
from goosejobs_operator.desired import Refused
from goosejobs_operator.known import has_finalizer
from goosejobs_operator.recipes import Recipes, WaitingForWorker
from goosejobs_operator.schedule import (
    NOTE_HELD,
    PAUSED_IN_TEMPORAL,
    Described,
    LeftOut,
    WantedSchedule,
    is_spent,
    paused,
    paused_by_failures,
)
from goosejobs_operator.temporal import RunState, Temporal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneRun:
    """A run whose workflow has ended, or is not known any more, and that nobody recorded.

    Attributes:
        run: As announced in `status.active`, or as it would have been.
        state: Its workflow; None when Temporal does not know it any more.
        announced: Whether it stands in `status.active`.
    """

    run: ActiveRun
    state: RunState | None
    announced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at a GooseJob and at what Temporal has of it.

    Attributes:
        obj: The object as it was read.
        now: When.
        spec: Its spec; None when it makes no sense, or does not matter because the object is being deleted.
        refused: Why the spec cannot be acted on.
        waiting: Why the recipe cannot be read yet; empty when it can.
        request: The argument of its runs; None when it is refused, or when no run will start any more.
        wanted: When its runs start; None for `runOnce`.
        over: Nothing will be due any more.
        schedule: The schedule that exists.
        target: The whole schedule as it should be, given the one that exists.
        once: The workflow of the one run, with `runOnce`.
        gone: Runs to be recorded in the place of a worker that cannot.
        open_runs: Ids of its workflows that have not ended; looked for when it is deleted, or one is to end.
        asked_run: The workflow of a run that somebody asked for, whose answer is still due.
        triggered: Temporal was asked for that run, just before this look.
        offers: What its pool's workers take; nothing when it has none; None when that is not known.
        unreachable: Temporal does not answer, and the deletion has waited long enough for it.
        patience: How long a deletion waits.
    """

    obj: Object
    now: datetime
    spec: GooseJobSpec | None = None
    refused: Refused | None = None
    waiting: str = ""
    request: RunRequest | None = None
    wanted: WantedSchedule | None = None
    over: bool = False
    schedule: Described | None = None
    target: Schedule | None = None
    once: RunState | None = None
    gone: tuple[GoneRun, ...] = ()
    open_runs: tuple[str, ...] = ()
    asked_run: RunState | None = None
    triggered: bool = False
    offers: Offers | None = None
    unreachable: bool = False
    patience: timedelta = field(default=timedelta(0))

    @property
    def ref(self) -> GooseJobRef:
        """Which GooseJob."""
        return ref_of(self.obj)

    @property
    def generation(self) -> int:
        """The generation of its spec."""
        return int(self.obj["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted it."""
        return "deletionTimestamp" in self.obj["metadata"]

    @property
    def has_finalizer(self) -> bool:
        """Whether it waits for us before it goes."""
        return has_finalizer(self.obj)

    @property
    def was_served(self) -> bool:
        """Whether there may be something of it in Temporal. Somebody may have removed our finalizer."""
        return self.has_finalizer or bool((self.obj.get("status") or {}).get("scheduleId"))

    @property
    def runs_once(self) -> bool:
        """Whether it has a run instead of a schedule; `spec.runOnce` may not change."""
        return (self.obj.get("spec") or {}).get("runOnce") is True

    @property
    def workers(self) -> bool | None:
        """Whether its pool has workers; None when that is not known."""
        return None if self.offers is None else bool(self.offers)

    @property
    def overdue(self) -> bool:
        """Whether its deletion has waited as long as it may."""
        since = datetime.fromisoformat(self.obj["metadata"]["deletionTimestamp"])
        return self.now - since >= self.patience

    @property
    def completed(self) -> bool:
        """Whether its one run has been."""
        return has_run(read_status(self.obj))


def ref_of(obj: Object) -> GooseJobRef:
    """Which GooseJob an object is."""
    meta = obj["metadata"]
    return GooseJobRef(namespace=meta["namespace"], name=meta["name"], uid=meta["uid"])


def _is_own(ref: GooseJobRef, run: ActiveRun) -> bool:
    """Whether its workflow is a run of this GooseJob: whoever may edit a status may not end others' runs."""
    return names.is_of(run.workflow_id, ref.namespace, ref.name, ref.uid)


def has_run(status: GooseJobStatus) -> bool:
    """Whether the one run of a `runOnce` GooseJob is on record: then it never starts again."""
    return status.completion_time is not None or any(run.trigger is Trigger.ONCE for run in status.records)


def _paused(seen: Observation) -> Schedule | None:
    """The schedule as it is, but paused where the spec says so: that works whatever else is wrong."""
    suspend, failing = (seen.obj.get("spec") or {}).get("suspend") is True, _failing(seen)
    if seen.schedule is None or not (suspend or failing):
        return None
    return paused(seen.schedule.schedule, failing=failing)


def _failing(seen: Observation) -> bool:
    if failures.unpaused_outside(seen.obj, seen.schedule):
        return False
    lost = seen.schedule is None and failures.was_paused(seen.obj)
    return failures.pauses(seen.obj, is_paused=paused_by_failures(seen.schedule) or lost)


def _held(seen: Observation) -> str:
    """Somebody's pause outlives its schedule: it is lifted by people only."""
    suspended = read_status(seen.obj).condition("Suspended")
    held = seen.schedule is None and suspended is not None and suspended.reason == PAUSED_IN_TEMPORAL
    return NOTE_HELD if held else ""


class Observer:
    """Looks at one GooseJob at a time.

    Args:
        temporal: To look at its schedule and runs.
        recipes: To read its recipe.
        backend: Knows which pools have workers.
        patience: How long a deletion waits for Temporal and for runs to end.
    """

    def __init__(self, temporal: Temporal, recipes: Recipes, backend: Backend, patience: timedelta) -> None:
        self._temporal = temporal
        self._recipes = recipes
        self._backend = backend
        self._patience = patience

    async def observe(self, obj: Object) -> Observation:
        """Look at a GooseJob.

        Raises:
            ClientError: Kubernetes or Temporal did not answer.
        """
        seen = Observation(obj=obj, now=datetime.now(UTC), patience=self._patience)
        if seen.deleting:
            return await self._leaving(seen)
        self._backend.check()
        if seen.was_served and not seen.runs_once:
            described = await self._temporal.describe(seen.ref)
            # An answer may have been long in coming, and tells of what was due by now.
            seen = replace(seen, schedule=described, now=datetime.now(UTC))
        seen = replace(seen, gone=await self._gone(seen), asked_run=await self._asked_run(seen))
        if new_kill(obj):
            seen = replace(seen, open_runs=await self._open_runs(seen, seen.schedule))
        try:
            spec = desired.read(obj)
            offers = await self._backend.offers(spec.execution.pool)
            seen = replace(seen, spec=spec, offers=offers)
            return await (self._once(seen, spec) if spec.run_once else self._scheduled(seen, spec))
        except Refused as refused:
            return replace(seen, refused=refused, target=_paused(seen))
        except WaitingForWorker as waiting:
            return replace(seen, waiting=str(waiting))

    async def _scheduled(self, seen: Observation, spec: GooseJobSpec) -> Observation:
        times = desired.times(spec, seen.now) if spec.schedule_from is None else None
        desired.ensure_served(spec.execution, seen.ref.namespace, seen.offers)
        recipe = await self._recipe(seen, spec)
        if times is None:
            spec = spec.scheduled(recipe.schedule)
            times = desired.times(spec, seen.now, f"{recipe.source}: schedule.cron")
            seen = replace(seen, spec=spec)
        request = desired.request(seen.ref, seen.generation, spec, recipe, times)
        status = read_status(seen.obj)
        wanted = WantedSchedule(
            times=times,
            request=request,
            suspend=spec.suspend,
            failing=_failing(seen),
            held=_held(seen),
            started=max(seen.schedule.started if seen.schedule else 0, runs_so_far(status)),
            counted=LeftOut(skipped=status.counts.skipped, missed=status.counts.missed),
            catch_up=timedelta(seconds=spec.starting_deadline_seconds),
        )
        target = await self._temporal.wanted(wanted, seen.schedule, seen.now)
        over = (spec.max_runs > 0 and is_spent(target)) or desired.is_over(spec, seen.now)
        return replace(seen, request=request, wanted=wanted, over=over, target=target)

    async def _once(self, seen: Observation, spec: GooseJobSpec) -> Observation:
        ref = seen.ref
        workflow_id = names.once_workflow_id(ref.namespace, ref.name, ref.uid)
        if seen.completed:
            return await self._asked(seen, workflow_id)
        state = await self._run_state(workflow_id) if seen.was_served else None
        if state is None:
            desired.ensure_served(spec.execution, ref.namespace, seen.offers)
            recipe = await self._recipe(seen, spec)
            return replace(seen, request=desired.request(ref, seen.generation, spec, recipe))
        seen = await self._asked(replace(seen, once=state), workflow_id)
        run = ActiveRun(
            id=names.ONCE_RUN_ID, workflow_id=workflow_id, trigger=Trigger.ONCE, start_time=state.start_time
        )
        if state.open or seen.gone or await self._will_be_told(run):
            return seen
        return replace(seen, gone=(GoneRun(run=run, state=state, announced=False),))

    async def _asked(self, seen: Observation, workflow_id: str) -> Observation:
        """With what the one run was asked to do, where whoever started it could not tell the status."""
        if read_status(seen.obj).recipe_digest is not None or not seen.was_served:
            return seen
        return replace(seen, request=await self._temporal.request_of(workflow_id))

    async def _recipe(self, seen: Observation, spec: GooseJobSpec) -> RecipeSnapshot:
        applied = seen.schedule.request if seen.schedule else None
        known = applied.recipe if applied and applied.generation == seen.generation else None
        return await self._recipes.snapshot(seen.ref, spec, known, seen.workers)

    async def _asked_run(self, seen: Observation) -> RunState | None:
        handled = read_status(seen.obj).handled_requests
        run = handled.run if handled else None
        if run is None or run.answer is not Answer.NOTED or not run.workflow_id:
            return None
        ref = seen.ref
        ours = names.is_of(run.workflow_id, ref.namespace, ref.name, ref.uid)
        return await self._temporal.run_state(run.workflow_id) if ours else None

    async def _gone(self, seen: Observation) -> tuple[GoneRun, ...]:
        """The runs in `status.active` whose workflow cannot record them any more."""
        gone = []
        for run in read_status(seen.obj).active:
            if not _is_own(seen.ref, run):
                gone.append(GoneRun(run=run, state=None))
                continue
            state = await self._run_state(run.workflow_id)
            if not (state and state.open) and not await self._will_be_told(run):
                gone.append(GoneRun(run=run, state=state))
        return tuple(gone)

    async def _run_state(self, workflow_id: str) -> RunState | None:
        """A run's workflow, with how it ended if it came to its own end."""
        state = await self._temporal.run_state(workflow_id)
        if state is None or state.open or state.terminated:
            return state
        return replace(state, outcome=await self._temporal.outcome(workflow_id))

    async def _will_be_told(self, run: ActiveRun) -> bool:
        """Whether a worker still tries to record it, since the API server was away when it ended."""
        return await self._is_open(names.record_workflow_id(run.workflow_id))

    async def _leaving(self, seen: Observation) -> Observation:
        try:
            self._backend.check()
            schedule = await self._temporal.describe(seen.ref)
            open_runs = await self._open_runs(seen, schedule)
            pool = str(((seen.obj.get("spec") or {}).get("execution") or {}).get("pool", "default"))
            # Where there seems to be no worker, runs are terminated.
            offers = await (self._backend.offers_now(pool) if open_runs else self._backend.offers(pool))
        except TemporalUnavailable:
            if not seen.overdue:
                raise
            return replace(seen, unreachable=True)
        return replace(seen, schedule=schedule, open_runs=open_runs, offers=offers)

    async def _open_runs(self, seen: Observation, schedule: Described | None) -> tuple[str, ...]:
        ids = {found.id async for found in self._temporal.open_runs(seen.ref.uid)}
        suspects = self._suspects(seen, schedule) - ids
        return tuple(sorted(ids | {id_ for id_ in suspects if await self._is_open(id_)}))

    def _suspects(self, seen: Observation, schedule: Described | None) -> set[str]:
        """Runs that Temporal's index may not show yet."""
        ref = seen.ref
        known = {run.workflow_id for run in read_status(seen.obj).active if _is_own(ref, run)}
        known.add(names.once_workflow_id(ref.namespace, ref.name, ref.uid))
        return known | set(schedule.workflow_ids if schedule else ())

    async def _is_open(self, workflow_id: str) -> bool:
        state = await self._temporal.run_state(workflow_id)
        return state is not None and state.open
