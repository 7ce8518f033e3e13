"""`goosejobs up`, `status` and `down`, and what becomes of it all when things go wrong on the way."""

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess, Popen

import psutil
import pytest

from goosejobs_local import platform, processes, state
from goosejobs_local.platform import STATE
from goosejobs_local.resolve import Resolver
from goosejobs_local.state import State
from support import rig as rigs

# All use one data directory, one after the other.
pytestmark = pytest.mark.xdist_group("platform")
PARTS = {"etcd", "kube-apiserver", "kube-controller-manager", "temporal", "model", "operator", "worker"}
OPEN_TO_OTHERS = {"audit-policy.json", "bin", "lock", "recipes", "state.json", "worker"}
SETTLED_SECONDS = 15
"""Surely longer than what the keeper asks for, however both read their clocks."""
PATIENCE = 90.0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A data directory; the binaries are there."""
    with rigs.fresh_home() as home:
        yield home


@pytest.fixture
def running(home: Path) -> dict[str, int]:
    """Everything runs; the process ids."""
    answer = goosejobs(home, "up")
    assert answer.returncode == 0, answer.stderr
    return pids(home)


@pytest.fixture
def nothing(home: Path) -> Path:
    """Nothing runs; the data directory."""
    assert goosejobs(home, "down").returncode == 0
    return home


def environment(home: Path, **env: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("GOOSE_")}
    return {**bare, "GOOSEJOBS_HOME": str(home), **env}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "goosejobs_local", *arguments]


def goosejobs(home: Path, *arguments: str, **env: str) -> CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(home, **env), capture_output=True, text=True, check=False
    )


def begin_up(home: Path, **env: str) -> "Popen[str]":
    return Popen(
        command("up"),
        env=environment(home, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def written(home: Path) -> State:
    return state.load(home / STATE)


def pids(home: Path) -> dict[str, int]:
    return {name: part.pid for name, part in written(home).parts.items()}


def well(home: Path) -> str:
    """What `status` prints when all is well: it asks each part only once, which may just stand still."""
    answers: list[CompletedProcess[str]] = []

    def is_well() -> bool:
        answers.append(goosejobs(home, "status"))
        return answers[-1].returncode == 0

    assert processes.wait_until(is_well, PATIENCE), answers[-1].stdout
    return answers[-1].stdout


def never_well(folder: Path) -> dict[str, str]:
    """The environment with which `up` starts an API server that is never well, and nothing after it."""
    program = folder / "kube-apiserver"
    program.write_text("#!/bin/sh\ncase $* in *--secure-port*) exec sleep 600;; esac\nexit 1\n")
    program.chmod(0o755)
    return {"GOOSEJOBS_BIN_KUBE_APISERVER": str(program)}


def has_begun(home: Path) -> bool:
    """Whether an `up` with an API server that is never well has nothing left to start."""
    return {"etcd", "kube-apiserver", "temporal", "model"} <= set(pids(home))


def entries(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()}


def test_up_starts_everything_and_says_how_to_go_on(nothing: Path) -> None:
    answer = goosejobs(nothing, "up")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"export KUBECONFIG={nothing}/kubeconfig" in answer.stdout
    assert "kubectl apply -f " in answer.stdout
    assert "stub model" in answer.stdout
    assert "\x1b" not in answer.stdout
    assert set(pids(nothing)) == PARTS


def test_a_second_up_starts_nothing_and_says_the_same(home: Path, running: dict[str, int]) -> None:
    answer = goosejobs(home, "up")
    assert answer.returncode == 0
    assert answer.stdout.startswith("╭─ goosejobs is up")
    assert pids(home) == running


@pytest.mark.usefixtures("running")
def test_status_shows_each_part(home: Path) -> None:
    rows = [line.split() for line in well(home).splitlines()[1:]]
    assert {row[0]: row[1] for row in rows} == dict.fromkeys(PARTS, "well")


@pytest.mark.usefixtures("running")
def test_kubectl_finds_the_cluster_and_its_goosejobs_by_the_kubeconfig(home: Path) -> None:
    kubectl = Resolver().resolve(["kubectl"])["kubectl"].path
    env = {**os.environ, "KUBECONFIG": str(home / "kubeconfig")}
    answer = subprocess.run(
        [kubectl, "get", "goosejobs"], env=env, capture_output=True, text=True, check=True
    )
    assert answer.stderr == "No resources found in default namespace.\n"


@pytest.mark.usefixtures("running")
def test_every_port_is_on_loopback(home: Path) -> None:
    listening = [
        (process.name(), address.laddr.ip)
        for process in processes.marked(str(home))
        for address in process.net_connections()
        if address.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(PARTS)
    assert {ip for _, ip in listening} == {"127.0.0.1"}, listening


@pytest.mark.usefixtures("running")
def test_without_a_certificate_nobody_reads_secrets(home: Path) -> None:
    tls = ssl.create_default_context(cafile=str(home / "pki" / "ca.crt"))
    parts = written(home).parts
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{parts['kube-apiserver'].address}/api/v1/secrets", context=tls)  # noqa: S310
    with pytest.raises(OSError, match=r"certificate required|reset"):
        urllib.request.urlopen(f"https://{parts['etcd'].address}/version", context=tls)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("path", ["", "/workflows/forged"], ids=["read", "start a run"])
def test_a_page_in_a_browser_gets_nothing_from_temporal(home: Path, path: str) -> None:
    url = f"http://127.0.0.1:{written(home).ports['temporal-http']}/api/v1/namespaces/default{path}"
    # What a page of another site may send without asking: a "simple" request, which Temporal would obey.
    start = b'{"workflowType": {"name": "GooseJobRun"}, "taskQueue": {"name": "goosejobs-default"}}'
    headers = {"Content-Type": "text/plain", "Origin": "https://elsewhere.example"}
    request = urllib.request.Request(url, start if path else None, headers)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)  # noqa: S310


@pytest.mark.usefixtures("running")
def test_other_users_can_read_neither_keys_nor_data(home: Path) -> None:
    readable = {path.name for path in home.iterdir() if path.stat().st_mode & 0o077}
    assert readable <= OPEN_TO_OTHERS


def test_a_dead_part_is_named_and_up_starts_it_again(home: Path, running: dict[str, int]) -> None:
    os.kill(running["kube-apiserver"], signal.SIGKILL)
    assert processes.wait_until(lambda: not written(home).parts["kube-apiserver"].child.alive, PATIENCE)

    answer = goosejobs(home, "status")
    assert answer.returncode == 1
    assert "kube-apiserver: its process has ended\n  " in answer.stdout  # and the end of its log

    assert goosejobs(home, "up").returncode == 0
    after = pids(home)
    assert after["kube-apiserver"] != running["kube-apiserver"]
    assert {name: after[name] for name in ("etcd", "temporal", "model")}.items() <= running.items()
    assert well(home)


def test_an_operator_that_ends_is_started_again_by_itself(running: dict[str, int]) -> None:
    keeper = psutil.Process(running["operator"])

    def has_settled() -> bool:
        return [time.time() - one.create_time() > SETTLED_SECONDS for one in keeper.children()] == [True]

    assert processes.wait_until(has_settled, PATIENCE)
    (operator,) = keeper.children()
    operator.kill()
    assert processes.wait_until(lambda: bool(set(keeper.children()) - {operator}), PATIENCE)


@pytest.mark.usefixtures("running")
def test_down_leaves_nothing(home: Path) -> None:
    answer = goosejobs(home, "down")
    assert answer.returncode == 0
    assert answer.stdout.startswith("Stopped ")
    assert processes.marked(str(home)) == []
    assert entries(home) == {"lock"}
    assert goosejobs(home, "status").returncode == 1


def test_ctrl_c_leaves_nothing(nothing: Path, tmp_path: Path) -> None:
    up = begin_up(nothing, **never_well(tmp_path))  # so that it is not done before it is interrupted
    assert processes.wait_until(lambda: has_begun(nothing), PATIENCE)
    up.send_signal(signal.SIGINT)
    output, _ = up.communicate(timeout=180)
    assert up.returncode == 130
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert processes.marked(str(nothing)) == []
    assert entries(nothing) == {"lock"}


def test_what_an_up_that_was_killed_left_is_taken_over(nothing: Path, tmp_path: Path) -> None:
    # Killed when it starts nothing: what it had started and not written down yet would keep its port.
    up = begin_up(nothing, **never_well(tmp_path))
    assert processes.wait_until(lambda: has_begun(nothing), PATIENCE)
    up.kill()
    up.communicate()
    left = pids(nothing)
    left.pop("kube-apiserver")  # which the next one starts by another command

    answer = goosejobs(nothing, "up")
    assert answer.returncode == 0, answer.stderr
    assert left.items() <= pids(nothing).items()
    assert goosejobs(nothing, "down").returncode == 0
    assert processes.marked(str(nothing)) == []


def test_what_was_started_but_never_written_down_is_replaced(home: Path, running: dict[str, int]) -> None:
    unwritten = written(home)
    forgotten = {name: unwritten.parts.pop(name).child for name in ("model", "kube-controller-manager")}
    with platform.lock(home):
        state.save(unwritten, home / STATE)
    answer = goosejobs(home, "up")
    assert answer.returncode == 0, answer.stderr
    well(home)
    assert not any(child.alive for child in forgotten.values())
    again = pids(home)
    assert {name for name in PARTS if again[name] != running[name]} == set(forgotten)


def test_what_was_started_but_never_written_down_goes_too(nothing: Path) -> None:
    log = nothing / "logs" / "stray.log"
    stray = processes.spawn(["sleep", "60"], env={"PATH": os.environ["PATH"]}, log=log, mark=str(nothing))
    half = nothing / f"{STATE}.1.part"
    half.touch()
    assert goosejobs(nothing, "down").stdout.startswith("Stopped 1 process ")
    assert not stray.alive
    assert not half.exists()


def test_a_part_that_cannot_start_is_named_and_the_rest_is_stopped_again(nothing: Path) -> None:
    answer = goosejobs(nothing, "up", GOOSEJOBS_BIN_TEMPORAL="/bin/false")
    assert answer.returncode == 1
    assert answer.stderr.startswith("goosejobs: temporal ended with code 1\n")
    assert processes.marked(str(nothing)) == []


def test_two_ups_at_once_make_one_platform(nothing: Path) -> None:
    with platform.lock(nothing):  # else the first may be done before the second begins
        both = [begin_up(nothing), begin_up(nothing)]
        for one in both:
            assert one.stdout is not None
            assert "waiting for another goosejobs" in one.stdout.readline()
    outputs = [one.communicate(timeout=300)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    leaders = [one for one in processes.marked(str(nothing)) if os.getpgid(one.pid) == one.pid]
    assert {one.pid for one in leaders} >= set(pids(nothing).values())
    assert len([one for one in leaders if "temporal" in one.name()]) == 1


def test_the_demo_shows_a_run_that_succeeded_and_leaves_nothing(home: Path) -> None:
    answer = goosejobs(home, "demo", TMPDIR=str(home))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "$ kubectl get goosejobs\n" in answer.stdout
    assert "Succeeded: Hello" in answer.stdout
    assert not [name for name in entries(home) if name.startswith("goosejobs-demo-")]
