"""How long Kubernetes Jobs are kept: until their run is recorded, and then as its record is.

That a Job has a `ttlSecondsAfterFinished` says that its run is recorded: it is only set then.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Set
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import Final, NoReturn, Self

from goosejobs.clients.errors import ClientError, Unavailable
from goosejobs.clients.kube import Object
from goosejobs.model import names
from goosejobs.model.run import RunInfo
from goosejobs_worker.executors.kubernetes.jobs import Jobs, age, is_finished, label
from goosejobs_worker.executors.kubernetes.reflector import Key, key_of
from goosejobs_worker.executors.kubernetes.watch import Watch

logger = logging.getLogger(__name__)

_SWEEP_SECONDS: Final = 60.0
_MAX_QUESTIONS: Final = 100
"""Workflows that one sweep asks Temporal about."""
_MAX_ID: Final = 1000
"""Characters of a workflow's id: Temporal takes no longer one."""


class Fate(Enum):
    """What is to become of a Job."""

    KEEP_FOR = "KeepFor"
    """Kubernetes is to delete it when its time has come."""
    DELETE = "Delete"


def after_record(jobs: Iterable[Object], run_id: str, kept: Set[str]) -> list[tuple[Object, Fate]]:
    """What to do with a GooseJob's Jobs when one of its runs has been recorded.

    Args:
        jobs: All that it has.
        run_id: The run.
        kept: The runs that the status keeps.
    """
    found = []
    for job in jobs:
        run, recorded = label(job, names.RUN_LABEL), "ttlSecondsAfterFinished" in job["spec"]
        if not recorded and run != run_id:
            continue
        if run not in kept:
            found.append((job, Fate.DELETE))
        elif not recorded:
            found.append((job, Fate.KEEP_FOR))
    return found


def doubtful(jobs: Iterable[Object], followed: Set[Key], now: datetime, young: float) -> list[Object]:
    """The Jobs of which nobody may take care any more: their workflow has to tell.

    Those that name none are not ours: whoever may create Jobs may label them like ours.

    Args:
        jobs: All there are.
        followed: Those that this worker takes care of.
        now: The present, aware.
        young: Seconds in which nobody doubts a Job.
    """
    return [
        job
        for job in jobs
        if key_of(job) not in followed
        and "deletionTimestamp" not in job["metadata"]
        and "ttlSecondsAfterFinished" not in job["spec"]
        and 0 < len(_workflow_of(job)) <= _MAX_ID
        and age(job, now) > young
    ]


def _workflow_of(job: Object) -> str:
    return str(job["metadata"].get("annotations", {}).get(names.WORKFLOW_ANNOTATION, ""))


class Retention:
    """Takes care of the Jobs of a pool that no attempt takes care of.

    Args:
        jobs: Where Jobs are.
        watch: The pool's.
        ttl_seconds: For how long a Job is kept whose run is recorded.
        is_open: Whether a workflow has not ended, by its id.
        young: Seconds in which a Job is left to the worker that made it, or will find it again.
    """

    def __init__(
        self,
        jobs: Jobs,
        watch: Watch,
        ttl_seconds: int,
        is_open: Callable[[str], Awaitable[bool]],
        *,
        young: float = 60.0,
    ) -> None:
        self._jobs = jobs
        self._watch = watch
        self._ttl = ttl_seconds
        self._is_open = is_open
        self._young = young
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[NoReturn] | None = None

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._sweep_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = {*self._tasks, *([self._sweeping] if self._sweeping else [])}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def recorded(self, run: RunInfo, kept: frozenset[str]) -> None:
        """A run's record stands; nobody waits for what follows from that for its Jobs.

        Args:
            run: The run.
            kept: The ids of the runs that the status keeps.
        """
        task = asyncio.create_task(self._tidy(run, kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def sweep(self) -> None:
        """Look once for Jobs that nobody takes care of."""
        found = doubtful(self._watch.jobs(), self._watch.followed, datetime.now(UTC), self._young)
        # Any of them: those that other workers follow, or that somebody forged, must not hide the rest.
        for job in random.sample(found, min(len(found), _MAX_QUESTIONS)):
            try:
                if not await self._is_open(_workflow_of(job)):
                    await self._settle(job, Fate.KEEP_FOR if is_finished(job) else Fate.DELETE)
                    logger.warning("took care of Job %s/%s, whose run is over", *key_of(job))
            except Unavailable as error:
                logger.info("a sweep was cut short: %s", error)
                return
            except ClientError as error:
                logger.info("left Job %s/%s alone: %s", *key_of(job), error)

    async def _sweep_on(self) -> NoReturn:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self.sweep()
            except Exception:
                logger.exception("a sweep failed; the next one tries again")

    async def _tidy(self, run: RunInfo, kept: frozenset[str]) -> None:
        ref = run.goosejob
        for job, fate in after_record(self._watch.jobs_of(ref.namespace, ref.uid), run.id, kept):
            try:
                await self._settle(job, fate)
            except ClientError as error:
                logger.info("left for the next sweep: %s", error)

    async def _settle(self, job: Object, fate: Fate) -> None:
        if fate is Fate.KEEP_FOR:
            await self._jobs.keep_for(job, self._ttl)
        else:
            await self._jobs.delete(job, foreground=not is_finished(job))
