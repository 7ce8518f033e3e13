"""Fixtures that run the real parts. All are lazy: a test that asks for none of them starts nothing.

Kubernetes, Temporal, the stub model and the shared operator and worker run once for a whole session, for all
workers of pytest-xdist. The session's first process chooses their data directory and clears it away.
"""

import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from temporalio.client import Client

from support import elsewhere, schedules, waiting
from support import rig as rigs
from support.ledger import Ledger, new_ledger
from support.rig import Handle, Rig

_HOME = "GOOSEJOBS_TEST_HOME"
Start = Callable[..., Handle]


def pytest_configure(config: pytest.Config) -> None:
    """Choose the data directory; it is made by the first fixture that needs it."""
    if not hasattr(config, "workerinput"):
        os.environ[_HOME] = str(rigs.home_of(os.getpid()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Clear the data directory away; pytest-xdist's workers have ended by now."""
    if not hasattr(config, "workerinput"):
        own = Path(os.environ.pop(_HOME))
        for home in (own, rigs.beside(own)):
            if home.exists():
                rigs.remove(home)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests of a module that has a platform of its own to one worker, so that it is started once."""
    for item in items:
        if {"own_platform", "own_node", "node"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """Add the ends of the running parts' logs to the report of a test that failed."""
    report = yield
    if report.failed:
        report.sections += [(title, text) for title, text in rigs.logs() if text]
    return report


@pytest.fixture(scope="session")
def platform() -> Rig:
    """Kubernetes with our CRDs, audit log on, and Temporal; to kill its servers, use `own_platform`."""
    rigs.remove_abandoned()
    rig = Rig(Path(os.environ[_HOME]))
    rig.up()
    return rig


@pytest.fixture(scope="module")
def own_platform() -> Iterator[Rig]:
    """A platform for one test module alone, whose servers it may kill, freeze and restart."""
    with rigs.fresh() as rig:
        yield rig


@pytest.fixture(scope="session")
def node() -> Rig:
    """A platform with a real node, on which pods run; to kill its parts, use `own_node`. Needs root.

    Or another cluster that the environment names: see `support.elsewhere`.
    """
    cluster = elsewhere.named()
    if cluster is None and (reason := rigs.no_node()):
        pytest.skip(reason)
    rigs.remove_abandoned()
    home = rigs.beside(Path(os.environ[_HOME]))
    rig = Rig(home, cluster=cluster) if cluster else Rig(home, rigs.node_options())
    rig.up()
    return rig


@pytest.fixture(scope="module")
def own_node(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A platform with a node for one test module alone.

    What differs from our own `NodeOptions` comes by indirect parameters:
    `@pytest.mark.parametrize("own_node", [{"flags": {"kube-controller-manager": {...}}}], indirect=True)`.
    """
    if reason := rigs.no_own_node():
        pytest.skip(reason)
    with rigs.fresh(rigs.node_options(**getattr(request, "param", {}))) as rig:
        yield rig


@pytest.fixture(scope="session")
def temporal_address(platform: Rig) -> str:
    """host:port of Temporal; namespace `default`."""
    return platform.temporal_address


@pytest.fixture
async def client(temporal_address: str) -> Client:
    """A client of Temporal, to look at it past the operator."""
    return await schedules.connect(temporal_address)


@pytest.fixture(scope="session")
def kubeconfig(platform: Rig) -> Path:
    """The administrator's kubeconfig."""
    return platform.kubeconfig


@pytest.fixture(scope="session")
def goose_binary() -> Path:
    """Real goose, at a path that goose's own user may enter. Starts nothing."""
    return rigs.goose(Path(os.environ[_HOME]))


@pytest.fixture(scope="session")
def kubectl(platform: Rig) -> Callable[..., CompletedProcess[str]]:
    """`kubectl(*arguments, input=None, check=True)`; see `Rig.kubectl`."""
    return platform.kubectl


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    """`await eventually(predicate, timeout=90)`; see `support.waiting`."""
    return waiting.eventually


@pytest.fixture
def pool() -> str:
    """A pool whose only workers are those the test starts."""
    return f"p-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """What the runs of a test write down themselves."""
    with new_ledger() as ledger:
        yield ledger


@pytest.fixture
def namespace(platform: Rig) -> Iterator[str]:
    """A new namespace; told to go afterwards, without waiting until it has gone."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    platform.kubectl("create", "namespace", name)
    yield name
    platform.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def operator(platform: Rig) -> Handle:
    """An operator that serves all namespaces, shared by all tests: do not kill it."""
    return platform.operator()


@pytest.fixture(scope="session")
def worker(platform: Rig) -> Handle:
    """A worker of the pool `default`, shared by all tests: do not kill it."""
    return platform.worker()


@pytest.fixture
def start_operator(platform: Rig) -> Iterator[Start]:
    """`start_operator(wait=True, **env)`: an operator of the test's own, ended after it."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(platform.start_operator(**options))


@pytest.fixture
def start_worker(platform: Rig) -> Iterator[Start]:
    """`start_worker(pool="default", wait=True, **env)`: a worker of the test's own, ended after it."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(platform.start_worker(**options))
