"""`make test-kind`: the end-to-end tests on a cluster of kind, for machines with Docker and without root.

It makes a cluster of its own, runs the tests that need no node of ours, and deletes the cluster. Arguments
are passed on to pytest. It was written where there is no Docker, so nobody has run it yet; that the tests run
on another cluster than our own node has been tried.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NAME = "goosejobs-e2e"
_GATEWAYS = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"


def main(arguments: Sequence[str]) -> int:
    """Run them; returns pytest's exit code."""
    if missing := [program for program in ("docker", "kind") if not shutil.which(program)]:
        print(f"make test-kind needs {' and '.join(missing)} on PATH", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        make = [
            "kind",
            "create",
            "cluster",
            "--name",
            NAME,
            "--kubeconfig",
            str(kubeconfig),
            "--wait",
            "120s",
        ]
        try:
            subprocess.run(make, check=True)
            argv = [sys.executable, "-m", "pytest", "-n", "0", str(Path(__file__).parent / "e2e"), *arguments]
            return subprocess.run(argv, env=environment(kubeconfig), check=False).returncode
        finally:
            subprocess.run(["kind", "delete", "cluster", "--name", NAME], check=False)


def environment(kubeconfig: Path) -> dict[str, str]:
    """Ours, and what the tests must know about the cluster: see `support.elsewhere`."""
    look = ["docker", "network", "inspect", "kind", "--format", _GATEWAYS]
    gateways = subprocess.run(look, check=True, capture_output=True, text=True).stdout.split()
    return {
        **os.environ,
        "GOOSEJOBS_E2E_KUBECONFIG": str(kubeconfig),
        # This machine's end of the network that Docker made for kind.
        "GOOSEJOBS_E2E_ADDRESS": next(one for one in gateways if "." in one),
        "GOOSEJOBS_E2E_LOAD": shlex.join(["kind", "load", "image-archive", "--name", NAME]),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
