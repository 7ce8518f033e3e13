"""What ends with a node, and what is left of it: nothing."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from goosejobs_local import network, platform, processes, sandbox, state
from goosejobs_local.node import PAUSE_IMAGE
from goosejobs_local.resolve import Resolver
from support import rig as rigs
from support.pods import apply, pod, wait, wait_for_account
from support.rig import Rig

WELL_KNOWN = (
    Path("/var/lib/cni"),
    Path("/var/lib/kubelet"),
    Path("/opt/containerd"),
    Path("/run/containerd"),
)
"""What the same programs leave on a machine where they are at home."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory."""
    if reason := rigs.no_own_node():
        pytest.skip(reason)
    with rigs.fresh_home() as home:
        yield home


@pytest.fixture
def never_ready(tmp_path: Path) -> Path:
    """A kubectl that waits for a node without an end: who uses it stays on its way up."""
    kubectl = Resolver().resolve(["kubectl"])["kubectl"].path
    path = tmp_path / "kubectl"
    path.write_text(
        f"""#!/bin/sh\ncase " $* " in *" wait node/"*) exec sleep 600 ;; esac\nexec {kubectl} "$@"\n"""
    )
    path.chmod(0o755)
    return path


def begin(home: Path) -> Rig:
    """A node, and a pod on it."""
    rig = Rig(home, rigs.node_options())
    rig.up()
    wait_for_account(rig.kubectl, "default")
    manifest = pod("waits", PAUSE_IMAGE, "/pause", "-P")
    manifest["spec"]["restartPolicy"] = "Always"
    apply(rig.kubectl, "default", manifest)
    wait(rig.kubectl, "default", "waits", "condition=Ready")
    return rig


def left(home: Path, inside: list[psutil.Process], well_known: set[Path]) -> dict[str, object]:
    """All that there still is of a platform with a node.

    Args:
        home: Its data directory.
        inside: The processes that the node's pods consisted of.
        well_known: Those of WELL_KNOWN that were there before.
    """
    tools = rigs.node_options().tools
    env = {**os.environ, **tools.environment(os.environ)}
    tables = subprocess.run(["nft", "list", "tables"], env=env, capture_output=True, text=True, check=True)
    device = network.device_of(home)
    found = {
        "processes": [*processes.marked(str(home)), *(one for one in inside if one.is_running())],
        "files": sorted(path.name for path in home.iterdir() if path.name != "lock"),
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if str(home) in line],
        "device": (Path("/sys/class/net") / device).exists() or device in sandbox.routes(tools),
        "cgroups": [path for path in sandbox.cgroups(home) if path.exists()],
        "rules": network.tag(home) in tables.stdout,
        "directories": {path for path in WELL_KNOWN if path.exists()} - well_known,
    }
    return {name: value for name, value in found.items() if value}


def of_pods(rig: Rig) -> list[psutil.Process]:
    """What containerd has started: a shim for each pod, its containers below it."""
    init = sandbox.inner(rig.platform.child(sandbox.INIT))
    found = psutil.Process(init).children(recursive=True)
    names = set[str]()
    for one in found:
        with contextlib.suppress(psutil.NoSuchProcess):  # what the node's parts start comes and goes
            names |= {one.name().rstrip(), *(Path(word).name for word in one.cmdline()[:1])}
    assert {"pause", "containerd-shim-runc-v2"} <= names
    return found


@pytest.mark.parametrize("first_killed", [False, True], ids=["running", "killed"])
def test_down_leaves_nothing_of_a_node(home: Path, first_killed: bool) -> None:
    before = {path for path in WELL_KNOWN if path.exists()}
    rig = begin(home)
    inside = of_pods(rig)
    if first_killed:
        for child in rig.platform.children():
            os.kill(child.pid, signal.SIGKILL)
    with platform.lock(home):
        platform.down(home)
    assert left(home, inside, before) == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told-to-end"])
@pytest.mark.parametrize("part", ["node", "containerd", "kube-scheduler"])
def test_an_up_that_ends_on_its_way_leaves_nothing_after_down(
    home: Path, part: str, number: signal.Signals, never_ready: Path
) -> None:
    before = {path for path in WELL_KNOWN if path.exists()}
    env = {**os.environ, "GOOSEJOBS_HOME": str(home), "GOOSEJOBS_BIN_KUBECTL": str(never_ready)}
    argv = [sys.executable, "-m", "goosejobs_local", "up", "--node"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as up:
        assert processes.wait_until(lambda: part in state.load(home / platform.STATE).parts, 300)
        up.send_signal(number)
    assert up.returncode in {-9, 130}
    if number == signal.SIGKILL:
        with platform.lock(home):
            platform.down(home)
    assert left(home, [], before) == {}


def test_a_node_whose_every_process_was_killed_comes_up_again_with_its_pods(home: Path) -> None:
    rig = begin(home)
    first = rig.platform.child(sandbox.INIT)
    killed = rig.platform.children()
    for child in killed:
        os.kill(child.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not any(child.alive for child in killed), 90)
    again = Rig(home, rigs.node_options())
    again.up()
    assert again.platform.child(sandbox.INIT) != first
    wait(again.kubectl, "default", "waits", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    wait(again.kubectl, "default", "waits", "condition=Ready")


def test_a_second_up_starts_nothing(home: Path) -> None:
    begin(home)
    first = {name: part.child for name, part in state.load(home / platform.STATE).parts.items()}
    Rig(home, rigs.node_options()).up()
    assert {name: part.child for name, part in state.load(home / platform.STATE).parts.items()} == first
