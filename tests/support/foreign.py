"""Other projects' CustomResourceDefinitions, from the Go modules in which they publish them."""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from os import environ
from pathlib import Path

from goosejobs_local import catalog, gobuild, processes
from goosejobs_local.commands import Commands
from goosejobs_local.progress import silent
from goosejobs_local.resolve import cache_directory
from support.objects import Kubectl


@dataclass(frozen=True)
class Module:
    """A Go module of a fixed version.

    Attributes:
        name: With its version, as Go writes it.
        sum: Its checksum, as in a go.sum.
        files: What of it is wanted.
    """

    name: str
    sum: str
    files: tuple[str, ...]


# Not the newest: those need a Go that is newer than the one that builds the platform.
ARGO = (
    Module(
        "github.com/argoproj/argo-cd/v3@v3.3.19",
        "h1:jVmtyRAQo1zBMxIIx+MtI99q1FA53IMtF+yRc78XvoY=",
        ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"),
    ),
)
FLUX = (
    Module(
        "github.com/fluxcd/source-controller@v1.7.0",
        "h1:/fBgS4CSmT5Jj/fjQDF92y+pC3gst1GJjgNSzY8Ff9I=",
        (
            "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
            "config/crd/bases/source.toolkit.fluxcd.io_helmrepositories.yaml",
        ),
    ),
    Module(
        "github.com/fluxcd/kustomize-controller@v1.7.3",
        "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
        ("config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
    ),
    Module(
        "github.com/fluxcd/helm-controller@v1.4.0",
        "h1:rkm8rmB6Na7eNc4pJOnvtXEaJ19iKluRtayHKjBxcUM=",
        ("config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",),
    ),
)
CERT_MANAGER = (
    Module(
        "github.com/cert-manager/cert-manager@v1.19.1",
        "h1:Txh8L/nLWTDcb7ZnXuXbTe15BxQnLbLirXmbNk0fGgY=",
        ("deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_clusterissuers.yaml"),
    ),
)


def install(kubectl: Kubectl, modules: tuple[Module, ...]) -> None:
    """Let the API server have them, and wait until kubectl finds their kinds: a moment after Established.

    `kubectl wait` is not asked: it fails on a CRD that has no conditions yet.
    """
    for file in crds(modules):
        kubectl("apply", "--server-side", "-f", str(file))
        name = kubectl("get", "-f", str(file), "-o", "jsonpath={.metadata.name}").stdout
        found = processes.wait_until(lambda: kubectl("get", name, check=False).returncode == 0, 180)  # noqa: B023
        assert found, f"the API server does not tell of {name}"


@cache
def crds(modules: tuple[Module, ...]) -> list[Path]:
    """The CRDs' files, in Go's module cache."""
    commands = Commands()
    go = gobuild.find_go(cache_directory(), [catalog.load()["kubectl"]], commands, silent)
    argv = [str(go), "mod", "download", "-json", *(module.name for module in modules)]
    with tempfile.TemporaryDirectory() as nowhere:  # outside of any module
        printed = commands.output(argv, env=gobuild.environment(environ), cwd=Path(nowhere))
    found = {f"{one['Path']}@{one['Version']}": one for one in _documents(printed[printed.index("{") :])}
    for module in modules:
        assert found[module.name]["Sum"] == module.sum, f"{module.name} is not what it was"
    return [Path(found[module.name]["Dir"], file) for module in modules for file in module.files]


def _documents(text: str) -> list[dict[str, str]]:
    """Go prints one JSON object after the other."""
    decoder, documents = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:]
    return documents
