"""What becomes of a run while its worker cannot reach Temporal."""

from collections.abc import Callable
from typing import Any

import pytest

from support.ledger import new_ledger
from support.objects import apply, get, last_run
from support.rig import Rig

Eventually = Callable[..., Any]

LEASE = 10.0
DEAD_WITHIN = 5.0


@pytest.mark.invariant("I8")
async def test_cut_off_from_temporal_a_worker_ends_goose_by_its_lease_and_tries_again_later(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    rig.operator()
    worker = rig.worker()
    with new_ledger() as ledger:
        apply(rig.kubectl, "default", ledger.goosejob("cut-off", "default", patience=1))
        await eventually(ledger.hanging)
        rig.server("temporal").freeze()  # it takes connections and answers none, as a lost network would
        await eventually(lambda: not ledger.alive(), timeout=LEASE + DEAD_WITHIN)
        assert worker.alive
        rig.server("temporal").thaw()
        run = await eventually(lambda: last_run(get(rig.kubectl, "default", "cut-off")))
        assert run["outcome"] == "Succeeded"
        assert run["attempt"] == 2
        assert ledger.entries("overlap") == []
