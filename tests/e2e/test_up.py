"""`goosejobs up --node`: a GooseJob runs in a pod, and the commands know the parts of the node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from goosejobs_local import processes, state
from goosejobs_local.platform import STATE
from goosejobs_local.resolve import Resolver
from support import rig as rigs
from support.objects import Eventually, goosejob
from support.pods import PATIENCE

NODE = {"node", "containerd", "kubelet", "kube-proxy", "coredns", "kube-scheduler"}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The data directory of a platform that was brought up with a node."""
    if reason := rigs.no_own_node():
        pytest.skip(reason)
    with rigs.fresh_home() as home:
        answer = goosejobs(home, "up", "--node")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "│ node " in answer.stdout
        yield home


def goosejobs(home: Path, *arguments: str) -> CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("GOOSE_")}
    env = {**bare, "GOOSEJOBS_HOME": str(home)}
    argv = [sys.executable, "-m", "goosejobs_local", *arguments]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def kubectl(home: Path, *arguments: str, text: str = "") -> str:
    program = Resolver().resolve(["kubectl"])["kubectl"].path
    argv = [str(program), f"--kubeconfig={home / 'kubeconfig'}", *arguments]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout


def test_a_goosejob_runs_in_a_pod(home: Path) -> None:
    job = goosejob("in-a-pod", "stub: answer hello from a pod")
    kubectl(home, "apply", "-f", "-", text=json.dumps(job))
    kubectl(home, "wait", "goosejob/in-a-pod", "--for=jsonpath={.status.completionTime}", PATIENCE)
    status = json.loads(kubectl(home, "get", "goosejob", "in-a-pod", "-o", "json"))["status"]
    assert (status["lastRun"]["outcome"], status["lastRun"]["result"]) == ("Succeeded", "hello from a pod")
    log = kubectl(home, "logs", f"job/{status['lastRun']['jobName']}")
    assert json.loads(log.splitlines()[-1])["type"] == "complete"


async def all_well(home: Path, eventually: Eventually) -> str:
    """What `status` prints once every part has answered in time."""

    def status() -> str:
        answer = goosejobs(home, "status")
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    printed: str = await eventually(status)
    return printed


async def test_status_and_logs_know_the_parts_of_the_node(home: Path, eventually: Eventually) -> None:
    printed = await all_well(home, eventually)
    rows = {line.split()[0]: line.split()[1] for line in printed.splitlines()[1:] if line}
    assert set(rows) > NODE
    assert set(rows.values()) == {"well"}
    assert "Started kubelet" in goosejobs(home, "logs", "kubelet", "-n", "10000").stdout


def test_a_plain_up_keeps_the_node_and_starts_nothing(home: Path) -> None:
    before = state.load(home / STATE).parts
    answer = goosejobs(home, "up")
    assert answer.stdout.startswith("╭─ goosejobs is up")
    assert state.load(home / STATE).parts == before


async def test_a_part_of_the_node_that_is_dead_is_named_and_started_again_by_up(
    home: Path, eventually: Eventually
) -> None:
    kubelet = state.load(home / STATE).parts["kubelet"].child
    os.kill(kubelet.pid, 9)
    assert processes.wait_until(lambda: not kubelet.alive, 90)
    answer = goosejobs(home, "status")
    assert answer.returncode == 1
    assert "kubelet: its process has ended" in answer.stdout
    assert goosejobs(home, "up").returncode == 0
    await all_well(home, eventually)
