"""Temporal that wants an API key, as Temporal Cloud does; it may use a namespace and administer nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

from goosejobs.model import names
from support import tokens
from support.objects import Eventually, apply, condition, get, goosejob, last_run
from support.rig import Rig
from support.temporal_server import NAMESPACE as TEMPORAL_NAMESPACE
from support.temporal_server import TemporalServer, Tls, sqlite
from support.tokens import Tokens

NAMESPACE = "default"


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module")
def signer() -> Iterator[Tokens]:
    with tokens.signer() as signer:
        yield signer


@pytest.fixture(scope="module")
async def temporal(rig: Rig, signer: Tokens) -> TemporalServer:
    tls = Tls.make(rig.home / "temporal-pki", mutual=False)
    server = TemporalServer(rig.home, sqlite(rig.home / "production.db"), tls, signer)
    await server.start()
    return server


def unready(rig: Rig, name: str) -> str:
    said = condition(get(rig.kubectl, NAMESPACE, name), "Ready")
    assert said is not None
    assert said["status"] == "False"
    return str(said["message"])


async def register(temporal: TemporalServer) -> None:
    """As whoever administers the namespace does."""
    client = await temporal.connect()
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=TEMPORAL_NAMESPACE, search_attributes={names.UID_ATTRIBUTE: keyword}
        )
    )


async def test_a_key_that_administers_nothing_is_enough_once_the_search_attribute_is_there(
    rig: Rig, eventually: Eventually, pool: str, temporal: TemporalServer, signer: Tokens
) -> None:
    key = signer.sign(f"{TEMPORAL_NAMESPACE}:write")
    env: Any = {**temporal.environment, "TEMPORAL_API_KEY": key}
    with rig.start_operator(**env) as operator, rig.start_worker(pool=pool, **env) as worker:
        apply(rig.kubectl, NAMESPACE, goosejob("often", schedule="@every 2s", execution={"pool": pool}))
        by_hand = (
            f"search-attribute create --namespace {TEMPORAL_NAMESPACE} --name GooseJobUid --type Keyword"
        )
        await eventually(lambda: by_hand in unready(rig, "often"))
        await register(temporal)
        # Temporal itself takes its time to know a new search attribute everywhere.
        run = await eventually(lambda: last_run(get(rig.kubectl, NAMESPACE, "often")), timeout=240)
        assert run["outcome"] == "Succeeded"
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "often")
        for handle in (operator, worker):
            assert key not in handle.log
            assert "Traceback" not in handle.log


@pytest.mark.parametrize("permission", ["other:write", None])
async def test_a_key_that_is_no_good_is_said_by_both_sides(
    rig: Rig,
    eventually: Eventually,
    pool: str,
    temporal: TemporalServer,
    signer: Tokens,
    permission: str | None,
) -> None:
    key = signer.sign(permission) if permission else "no-token-at-all"
    env: Any = {**temporal.environment, "TEMPORAL_API_KEY": key}
    name = f"unserved-{pool}"
    with (
        rig.start_operator(wait=False, **env) as operator,
        rig.start_worker(pool=pool, wait=False, **env) as worker,
    ):
        apply(rig.kubectl, NAMESPACE, goosejob(name, schedule="0 8 * * *", execution={"pool": pool}))
        await eventually(lambda: not worker.alive)
        # Not by its place: what the SDK's core has to say comes by a thread of its own.
        (sentence,) = [line for line in worker.log.splitlines() if line.startswith("goosejobs-worker: ")]
        assert "Request unauthorized" in sentence
        await eventually(lambda: "Request unauthorized" in unready(rig, name))
        assert operator.alive
        for handle in (operator, worker):
            assert key not in handle.log
            assert "Traceback" not in handle.log
    forced = '{"metadata":{"finalizers":null}}'
    rig.kubectl("patch", "-n", NAMESPACE, "gj", name, "--type=merge", "-p", forced)
    rig.kubectl("delete", "-n", NAMESPACE, "gj", name)
