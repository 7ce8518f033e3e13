"""One reconcile of one GooseJob: observe, plan, execute, derive its status. The same for every cause."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from goosejobs import events
from goosejobs.clients.errors import ClientError, Conflict, NotFound, Unavailable
from goosejobs.clients.events import Recorder
from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_spec
from goosejobs.model import names
from goosejobs.model.reasons import ReadyReason, StalledReason
from goosejobs_operator import metrics, requests, status
from goosejobs_operator.backend import Backend
from goosejobs_operator.caller import TemporalUnavailable
from goosejobs_operator.execute import Executor
from goosejobs_operator.known import Known, has_finalizer, mark_of
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.observe import Observation, Observer, ref_of
from goosejobs_operator.plan import LookAgain, RemoveFinalizer, Step, TriggerRun, plan
from goosejobs_operator.queue import Key
from goosejobs_operator.schedule import is_behind

log = logging.getLogger(__name__)

MISSING_SECONDS = 15.0
"""How often a recipe is looked for that is not there yet."""

OVERDUE_SECONDS = 15.0
"""How often a deletion that waits for Temporal is looked at, to see whether it has waited long enough."""


class Reconciler:
    """Reconciles the GooseJob of a key; the queue calls it."""

    def __init__(
        self,
        kube: OperatorKube,
        observer: Observer,
        executor: Executor,
        backend: Backend,
        known: Known,
        active: Callable[[], bool],
        recorder: Recorder,
    ) -> None:
        self._kube = kube
        self._observer = observer
        self._executor = executor
        self._backend = backend
        self._known = known
        self._active = active
        self._recorder = recorder

    async def __call__(self, key: Key, tries: int) -> float | None:
        """Reconcile.

        Args:
            key: Whose.
            tries: How many tries have failed since one succeeded.

        Returns:
            Seconds after which to look again, or None.

        Raises:
            ClientError: It is to be tried again.
        """
        self._ensure_active()
        obj = await self._read(key)
        if obj is None:
            self._known.forget(key)
            return None
        left = self._known.until_look(key, obj, datetime.now(UTC))
        if self._known.is_settled(key, mark_of(obj)) and (left is None or left > 0):
            return left
        self._refer(key, obj)
        try:
            return await self._reconcile(key, obj)
        except Conflict:
            raise
        except Exception as error:
            if isinstance(error, TemporalUnavailable) and self._backend.down:
                return await self._wait_for_temporal(obj)
            if tries >= 1:
                await self._tell(obj, _reason(error), _sentence(error))
            raise

    async def _read(self, key: Key) -> Object | None:
        """The object; None when it is gone, or goes without waiting for us."""
        try:
            obj = await self._kube.get_goosejob(*key)
        except NotFound:
            return None
        leaving = "deletionTimestamp" in obj["metadata"] and not has_finalizer(obj)
        return None if leaving else obj

    async def _wait_for_temporal(self, obj: Object) -> float | None:
        """When Temporal is back, everything is looked at again; but a deletion does not wait for ever."""
        await self._tell(obj, ReadyReason.TEMPORAL_UNAVAILABLE, self._backend.down)
        return OVERDUE_SECONDS if "deletionTimestamp" in obj["metadata"] else None

    async def _tell(self, obj: Object, reason: ReadyReason, why: str) -> None:
        await self._write(obj, status.derive_failing(obj, reason, why, datetime.now(UTC)))

    async def is_as_wanted(self, obj: Object) -> bool:
        """Whether a reconcile would have nothing to do. Only looks: the object may be an old read.

        Raises:
            ClientError: It could not be looked at.
        """
        seen = await self._observer.observe(obj)
        return not plan(seen) and status.derive(seen) is None

    def _ensure_active(self) -> None:
        if not self._active():
            raise Unavailable("this replica is not the active one")

    async def _reconcile(self, key: Key, obj: Object) -> float | None:
        seen = await self._observer.observe(obj)
        steps = plan(seen)
        self._ensure_active()
        obj = await self._executor.execute(steps, seen)
        if any(isinstance(step, TriggerRun) for step in steps):
            seen = replace(await self._observer.observe(obj), triggered=True)
        if any(isinstance(step, RemoveFinalizer) for step in steps):
            self._known.forget(key)
            return None
        return await self._conclude(key, obj, seen, steps)

    async def _conclude(self, key: Key, obj: Object, seen: Observation, steps: list[Step]) -> float | None:
        again = next((step.seconds for step in steps if isinstance(step, LookAgain)), None)
        if again == 0:
            return again
        wanted = status.derive(seen)
        written = await self._write(obj, wanted)
        if again is not None:
            return again
        if not seen.deleting and requests.is_pending(written):
            return requests.SOON_SECONDS
        if seen.waiting or (seen.refused and seen.refused.reason is StalledReason.RECIPE_NOT_FOUND):
            return MISSING_SECONDS
        schedule = seen.schedule
        self._known.settle(
            key,
            written,
            seen.now,
            runs=schedule is not None and bool(schedule.running),
            behind=schedule is not None and is_behind(schedule, seen.now),
        )
        return self._known.until_look(key, written, datetime.now(UTC))

    async def _write(self, obj: Object, wanted: dict[str, object] | None) -> Object:
        if wanted is None:
            return obj
        metrics.STATUS_WRITES.inc()
        written = await self._kube.apply_status(obj, wanted, names.OPERATOR_MANAGER)
        self._recorder.tell(ref_of(obj), *events.changed(obj, wanted))
        return written

    def _refer(self, key: Key, obj: Object) -> None:
        spec = read_spec(obj)
        if spec is None:
            self._known.see(key)
            return
        source = spec.recipe.config_map_key_ref
        self._known.refer(key, spec.execution.pool, source.name if source else None)


def _reason(error: Exception) -> ReadyReason:
    if isinstance(error, TemporalUnavailable):
        return ReadyReason.TEMPORAL_UNAVAILABLE
    return ReadyReason.PROGRESSING


def _sentence(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error)
    return f"The operator met an unexpected {type(error).__name__} and tries again; its log tells more."
