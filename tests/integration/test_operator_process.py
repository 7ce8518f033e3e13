"""The operator as a process: what it says when it is started wrongly, and one active replica at a time."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from support.objects import Object, apply, get, goosejob, is_true
from support.rig import Handle, Rig

Eventually = Callable[..., Awaitable[Any]]

NOBODY: Object = {"execution": {"pool": "nobody"}}
LEASE = "goosejobs-operator"
QUICK: Any = {"GOOSEJOBS_LEASE_SECONDS": "15"}
"""Longer than anything stands still that is not meant to."""
WELL = (200, {"status": "ok"})
CRD = Path(__file__).parents[2] / "crds/goosejobs.yaml"


def run(**env: str) -> subprocess.CompletedProcess[str]:
    """Start the operator, which is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "goosejobs_operator"],
        env={"PATH": os.environ["PATH"], "GOOSEJOBS_HEALTH_ADDRESS": "127.0.0.1:0", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"GOOSEJOBS_RESYNC_SECONDS": "often"}, "GOOSEJOBS_RESYNC_SECONDS: "),
        ({"GOOSEJOBS_WORKERS": "0"}, "GOOSEJOBS_WORKERS: "),
        ({"GOOSEJOBS_HEALTH_ADDRESS": "8080"}, "GOOSEJOBS_HEALTH_ADDRESS: "),
        ({"GOOSEJOBS_LOG_LEVEL": "LOUD"}, "GOOSEJOBS_LOG_LEVEL: "),
    ],
)
def test_a_wrong_setting_is_named_and_ends_it_with_2(env: dict[str, str], says: str) -> None:
    ended = run(**env)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_way_to_kubernetes_it_says_what_to_set_and_ends_with_1() -> None:
    ended = run(KUBECONFIG="/nonexistent", GOOSEJOBS_LOG_FORMAT="text")
    assert ended.returncode == 1
    assert "KUBECONFIG" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_its_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['kopf'] = None; from goosejobs_operator.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=90
    )
    assert ended.returncode == 2
    assert "pip install 'goosejobs[operator]'" in ended.stderr


def readyz(handle: Handle) -> tuple[int, Object]:
    try:
        with urllib.request.urlopen(f"http://{handle.address}/readyz", timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def holder(rig: Rig) -> str:
    lease = json.loads(rig.kubectl("get", "lease", LEASE, "-o", "json").stdout)
    return str(lease["spec"]["holderIdentity"])


async def served(rig: Rig, eventually: Eventually, name: str) -> None:
    apply(rig.kubectl, "default", goosejob(name, schedule="0 8 * * *", **NOBODY))
    await eventually(lambda: is_true(get(rig.kubectl, "default", name), "Ready"))


@pytest.mark.invariant("I20")
async def test_one_replica_is_active_and_another_takes_over_when_it_dies(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    with rig.start_operator(GOOSEJOBS_IDENTITY="one", **QUICK) as one:
        await eventually(lambda: holder(rig) == "one")
        with rig.start_operator(GOOSEJOBS_IDENTITY="two", **QUICK) as two:
            await eventually(lambda: readyz(one) == WELL)
            await eventually(lambda: "holds it" in two.log)
            assert readyz(two) == (200, {"status": "standing by: another replica is active"})
            await served(rig, eventually, "first")
            assert "created its schedule" not in two.log
            one.kill9()
            await served(rig, eventually, "second")
            assert holder(rig) == "two"
            assert "created its schedule" in two.log


@pytest.mark.invariant("I20")
async def test_a_replica_that_was_frozen_until_another_took_over_ends(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    with rig.start_operator(GOOSEJOBS_IDENTITY="three", **QUICK) as three:
        await eventually(lambda: holder(rig) == "three")
        with rig.start_operator(GOOSEJOBS_IDENTITY="four", **QUICK):
            three.freeze()
            await eventually(lambda: holder(rig) == "four")
            three.thaw()
            await eventually(lambda: not three.alive)
            assert "LeaseLost" in three.log
            await served(rig, eventually, "third")


async def test_a_replica_that_stops_lets_the_next_one_go_on_at_once(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    slow: Any = {"GOOSEJOBS_LEASE_SECONDS": "200"}  # what comes within `eventually` did not wait for it
    with rig.start_operator(GOOSEJOBS_IDENTITY="five", **slow) as five:
        await eventually(lambda: holder(rig) == "five")
        five.stop()
        assert holder(rig) == ""
        with rig.start_operator(GOOSEJOBS_IDENTITY="six", **slow) as six:
            await eventually(lambda: readyz(six) == WELL)
            six.kill9()
        with rig.start_operator(GOOSEJOBS_IDENTITY="six", **slow) as again:
            await eventually(lambda: readyz(again) == WELL)


async def test_only_the_namespaces_it_is_told_to_are_served(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    for name in ("ours", "theirs"):
        rig.kubectl("create", "namespace", name)
    with rig.start_operator(
        GOOSEJOBS_IDENTITY="six", GOOSEJOBS_NAMESPACES="ours", GOOSEJOBS_RESYNC_SECONDS="1"
    ):
        for name in ("theirs", "ours"):
            apply(rig.kubectl, name, goosejob("a", schedule="0 8 * * *", **NOBODY))
        await eventually(lambda: is_true(get(rig.kubectl, "ours", "a"), "Ready"))
        assert get(rig.kubectl, "theirs", "a")["status"] == {"observedGeneration": -1, "phase": "Pending"}


async def test_one_that_is_there_before_the_crd_waits_for_it_and_then_watches(
    own_platform: Rig, eventually: Eventually
) -> None:
    rig = own_platform
    for left in json.loads(rig.kubectl("get", "gj", "-A", "-o", "json").stdout)["items"]:
        which = (left["metadata"]["name"], "-n", left["metadata"]["namespace"])
        rig.kubectl("patch", "gj", *which, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    rig.kubectl("delete", "crd", "goosejobs.goosejobs.dev", "--timeout=180s")
    try:
        with rig.start_operator(GOOSEJOBS_IDENTITY="early", GOOSEJOBS_RESYNC_SECONDS="3600") as early:
            await eventually(lambda: "apply its CRD" in early.log)
            assert readyz(early)[0] == 503
            rig.kubectl("apply", "--server-side", "-f", str(CRD))
            await eventually(lambda: readyz(early) == WELL)
            await served(rig, eventually, "late")
    finally:
        rig.kubectl("apply", "--server-side", "-f", str(CRD))
