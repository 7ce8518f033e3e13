"""In this folder the platform is the one with a node: operators, workers, kubectl, namespaces are there."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support import pods
from support.rig import Handle, Rig

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="session")
def platform(node: Rig) -> Rig:
    """The session's platform with a node: `model_address`, `import_image(archive)`, ..."""
    return node


@pytest.fixture(scope="session")
def kubeconfig(node: Rig) -> Path:
    """The administrator's kubeconfig."""
    return node.kubeconfig


@pytest.fixture(scope="session")
def temporal_address(node: Rig) -> str:
    """host:port of Temporal, from here and from pods; namespace `default`."""
    return node.temporal_address


@pytest.fixture(scope="session")
def kubectl(node: Rig) -> Callable[..., CompletedProcess[str]]:
    """`kubectl(*arguments, input=None, check=True)`; see `Rig.kubectl`."""
    return node.kubectl


@pytest.fixture(scope="session")
def operator(node: Rig) -> Handle:
    """An operator that serves all namespaces, shared by all tests: do not kill it."""
    return node.operator()


@pytest.fixture(scope="session")
def worker(node: Rig) -> Handle:
    """A worker of the pool `default`, shared by all tests: do not kill it."""
    return node.worker()


@pytest.fixture(scope="session")
def goose_image(node: Rig) -> str:
    """The name of an image with real goose in it; the node has it."""
    return node.goose_image()


@pytest.fixture
def namespace(namespace: str, node: Rig) -> str:
    """A new namespace that takes pods, but refuses those which are not restricted."""
    node.kubectl("label", "namespace", namespace, RESTRICTED)
    pods.wait_for_account(node.kubectl, namespace)
    return namespace
