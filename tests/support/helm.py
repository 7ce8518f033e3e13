"""The real Helm, and what it makes of our charts."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from goosejobs_local.resolve import Resolver
from support.manifests import ROOT, Object, documents

CHARTS = ROOT / "charts"
NAMES = ("goosejobs-crds", "goosejobs", "goosejobs-worker")
KUBERNETES = "1.35.4"
"""What `helm template` takes the cluster to be."""


@dataclass(frozen=True)
class Case:
    """A chart with one of its ci/*-values.yaml."""

    chart: str
    values: Path

    def __str__(self) -> str:
        return f"{self.chart}-{self.values.stem.removesuffix('-values')}"


CASES = tuple(
    Case(name, values) for name in NAMES for values in sorted((CHARTS / name / "ci").glob("*.yaml"))
)
OPERATORS = tuple(case for case in CASES if case.chart == "goosejobs")
WORKERS = tuple(case for case in CASES if case.chart == "goosejobs-worker")


@cache
def binary() -> Path:
    """Helm, as the catalog has it."""
    return Resolver().resolve(["helm"])["helm"].path


def helm(
    *arguments: str, kubeconfig: Path = Path(os.devnull), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run it, with nothing of this user's own configuration.

    Args:
        arguments: Its arguments.
        kubeconfig: Of the cluster; without one it reaches none.
        check: Whether a failure raises CalledProcessError.
    """
    with tempfile.TemporaryDirectory(prefix="goosejobs-helm-") as home:
        folders = {f"HELM_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")}
        env = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(kubeconfig), **folders}
        result = subprocess.run(
            [str(binary()), *arguments], env=env, capture_output=True, text=True, check=False
        )
    if check and result.returncode:
        error = subprocess.CalledProcessError(result.returncode, result.args, result.stdout, result.stderr)
        error.add_note(result.stderr)
        raise error
    return result


def template(
    chart: str, *options: str, values: Path | None = None, release: str = "r", namespace: str = "own"
) -> list[Object]:
    """What a chart comes to, hooks included."""
    files: Sequence[str] = [] if values is None else ["-f", str(values)]
    arguments = [release, str(CHARTS / chart), "--namespace", namespace, "--kube-version", KUBERNETES]
    return documents(helm("template", *arguments, *files, *options).stdout)


def rendered(case: Case, *options: str, namespace: str = "own") -> list[Object]:
    """What a chart comes to with one of its files of values."""
    return template(case.chart, *options, values=case.values, namespace=namespace)
