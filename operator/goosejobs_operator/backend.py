"""What the operator knows of Temporal as a whole: whether it answers, and what the pools' workers take.

One loop for all GooseJobs. When Temporal goes or comes back, or what a pool's workers take changes, the
GooseJobs concerned are looked at again, so that nobody has to ask for each of them.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from goosejobs.clients.errors import ClientError
from goosejobs.model.pool import Offer
from goosejobs_operator import metrics
from goosejobs_operator.caller import TemporalUnavailable
from goosejobs_operator.pools import Pools

log = logging.getLogger(__name__)

PROBE_SECONDS = 5.0
GIVE_UP_SECONDS = 15.0
"""How long Temporal may be silent before the GooseJobs say so: a shorter blip is not worth their writes."""

Offers = frozenset[Offer | None]
"""What a pool's workers take, all that differ; None among them is a worker that does not say."""

OnChange = Callable[[str | None], None]
"""Told which pool changed; None: all of Temporal did."""


class Backend:
    """See the module.

    Attributes:
        down: Why Temporal cannot be used, a sentence; empty while it can.
    """

    def __init__(self, pools: Pools, on_change: OnChange) -> None:
        self._server = pools
        self._on_change = on_change
        self._silent_since: float | None = None
        self._prepared = False
        self._namespace = ""
        self._pools: dict[str, Offers | None] = {}
        self.down = ""

    def check(self) -> None:
        """Ask nothing of a Temporal that is known to be away.

        Raises:
            TemporalUnavailable: It is.
        """
        if self.down:
            raise TemporalUnavailable(self.down)

    async def offers(self, pool: str) -> Offers | None:
        """What a pool's workers take: nothing when it has none; None when that cannot be told now."""
        if pool not in self._pools:
            self._pools[pool] = await self._ask(pool)
        return self._pools[pool]

    async def offers_now(self, pool: str) -> Offers | None:
        """The same asked anew, for what cannot be undone: a worker may have come since the last round.

        What is known stays: the next round finds the change, and tells all GooseJobs of the pool.
        """
        return await self._ask(pool)

    def keep_pools(self, used: set[str]) -> None:
        """Forget the pools that no GooseJob names any more."""
        self._pools = {pool: state for pool, state in self._pools.items() if pool in used}

    async def run(self) -> None:
        """Watch Temporal until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PROBE_SECONDS)

    async def look(self) -> None:
        """One round."""
        before = self._namespace
        try:
            await self._meet(await self._server.probe())
        except ClientError as error:
            self._failed(error)
        else:
            self._answered(another=bool(before) and self._namespace != before)
            await self._look_at_pools()

    async def _meet(self, namespace: str) -> None:
        """A namespace that is met for the first time, or that was made anew, has to be set up for us."""
        if namespace != self._namespace:
            self._prepared = False
        if not self._prepared:
            await self._server.prepare()
            self._prepared, self._namespace = True, namespace

    def _failed(self, error: ClientError) -> None:
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        metrics.TEMPORAL_UP.set(0)
        started = self._prepared
        if not self.down and (not started or now - self._silent_since >= GIVE_UP_SECONDS):
            log.warning("waiting for Temporal: %s", error)
            self.down = str(error)
            self._on_change(None)

    def _answered(self, *, another: bool) -> None:
        self._silent_since = None
        metrics.TEMPORAL_UP.set(1)
        if another:
            log.warning("Temporal has lost what it had, or is another one: everything is looked at again")
        elif self.down:
            log.info("Temporal answers again")
        if self.down or another:
            self.down = ""
            self._on_change(None)

    async def _look_at_pools(self) -> None:
        for pool, before in list(self._pools.items()):
            now = await self._ask(pool)
            if now is not None and now != before and pool in self._pools:
                self._pools[pool] = now
                log.info("pool %s: %s", pool, _in_words(now))
                self._on_change(pool)

    async def _ask(self, pool: str) -> Offers | None:
        try:
            return await self._server.offers(pool)
        except ClientError as error:
            log.debug("pool %s: %s", pool, error)
            return None


def _in_words(offers: Offers) -> str:
    if not offers:
        return "it has no workers"
    said = [f"mode {each.mode}, namespaces {', '.join(sorted(each.namespaces))}" for each in offers if each]
    return "it has workers" + (f" ({'; '.join(sorted(said))})" if said else "")
