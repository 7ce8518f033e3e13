"""A cluster that somebody else runs, instead of our own node; Temporal, model and our sides run here.

The environment names it: GOOSEJOBS_E2E_KUBECONFIG is its administrator's kubeconfig; GOOSEJOBS_E2E_ADDRESS
is an address of this machine that its pods reach, and GOOSEJOBS_E2E_LOAD a command that gives it an image
(the path of a docker-archive is added at the end).
"""

import dataclasses
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local import converge, platform
from goosejobs_local.parts import Part
from goosejobs_local.platform import Platform
from goosejobs_local.processes import Child
from goosejobs_local.progress import Report, silent
from goosejobs_local.resolve import Resolved

BINARIES = ("kubectl", "temporal")
_KUBECONFIG, _ADDRESS, _LOAD = (f"GOOSEJOBS_E2E_{name}" for name in ("KUBECONFIG", "ADDRESS", "LOAD"))


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        kubeconfig: Its administrator's.
        address: This machine's, as the cluster's pods reach it.
        load: A command that gives it an image, without the archive's path.
    """

    kubeconfig: Path
    address: str
    load: tuple[str, ...]


def named(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster that the environment names, if it names one.

    Raises:
        ValueError: Not all is said about it.
    """
    values = {name: environ.get(name, "") for name in (_KUBECONFIG, _ADDRESS, _LOAD)}
    if not values[_KUBECONFIG]:
        return None
    if missing := [name for name, value in values.items() if not value]:
        raise ValueError(f"{_KUBECONFIG} is set, so set {' and '.join(missing)}, too: see {__file__}")
    load = tuple(shlex.split(values[_LOAD]))
    return Cluster(Path(values[_KUBECONFIG]).absolute(), values[_ADDRESS], load)


class Beside(Platform):
    """What runs here for such a cluster: Temporal, and the CRDs in the cluster."""

    def __init__(self, home: Path, binaries: Mapping[str, Resolved], cluster: Cluster) -> None:
        self.cluster = cluster
        super().__init__(home, binaries)

    @property
    def address(self) -> str:
        return self.cluster.address

    @property
    def kubeconfig(self) -> Path:
        return self.cluster.kubeconfig

    def up(self, more: Iterable[Part] = (), report: Report = silent) -> list[Child]:
        platform.prepare_home(self.home)
        self.save()
        return converge.converge([*self.servers(), *more], self._ground, report)

    def servers(self) -> list[Part]:
        # It has a certificate authority of its own, which our probes do not know: kubectl asks instead.
        crds = dataclasses.replace(self._crds(), probes=(), after=())
        wait = self.kubectl("wait", "crd/goosejobs.goosejobs.dev")
        # First the name: to wait for a condition fails on a CRD that has none yet.
        named = Part(
            name="crds-named",
            argv=(*wait, "--for=jsonpath={.status.acceptedNames.kind}=GooseJob"),
            once=True,
            after=("crds",),
            stamp=crds.stamp,
        )
        argv = (*wait, "--for=condition=Established")
        served = Part(name="crds-served", argv=argv, once=True, after=("crds-named",), stamp=crds.stamp)
        return [*self.temporal.parts(), crds, named, served]

    def import_image(self, archive: Path) -> None:
        subprocess.run([*self.cluster.load, str(archive)], check=True, capture_output=True)
