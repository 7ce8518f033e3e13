"""A worker as a program: what it says when it cannot serve, and what it waits for."""

import asyncio
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.goose_runs import closed_port
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]


async def run_worker(**env: str) -> tuple[int | None, str]:
    """Run a worker that is expected to end by itself; its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "goosejobs_worker"),
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        _, said = await process.communicate()
    return process.returncode, said.decode()


def health(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"GOOSEJOBS_POOL": "No Pool"}, "goosejobs-worker: GOOSEJOBS_POOL: "),
        (
            {"GOOSEJOBS_MODE": "Process", "GOOSEJOBS_GOOSE": "/no/goose"},
            "there is no program /no/goose; set GOOSEJOBS_GOOSE",
        ),
        (
            {
                "GOOSEJOBS_MODE": "Process",
                "GOOSEJOBS_GOOSE": "/bin/true",
                "GOOSEJOBS_DATA_DIR": "/dev/null",
            },
            "GOOSEJOBS_DATA_DIR: cannot use",
        ),
        (
            {"GOOSEJOBS_POOL_TEMPLATE": "/no/template"},
            "GOOSEJOBS_POOL_TEMPLATE: /no/template: cannot be read",
        ),
        ({"GOOSEJOBS_GOOSE": "/bin/true", "KUBECONFIG": "/no/config"}, "set KUBECONFIG"),
    ],
)
async def test_what_keeps_it_from_serving_is_one_sentence(
    env: dict[str, str], says: str, platform: Rig
) -> None:
    data = platform.home / "worker" / "sentences"
    usual = {"GOOSEJOBS_DATA_DIR": str(data), "GOOSEJOBS_HEALTH_ADDRESS": "127.0.0.1:0"}
    code, said = await run_worker(**{**usual, **env})
    assert code == 1
    assert says in said
    assert "Traceback" not in said


async def test_a_namespace_that_temporal_does_not_have_is_named(
    platform: Rig, kubeconfig: Path, temporal_address: str
) -> None:
    code, said = await run_worker(
        GOOSEJOBS_GOOSE="/bin/true",
        GOOSEJOBS_DATA_DIR=str(platform.home / "worker" / "namespace"),
        GOOSEJOBS_HEALTH_ADDRESS="127.0.0.1:0",
        KUBECONFIG=str(kubeconfig),
        TEMPORAL_ADDRESS=temporal_address,
        TEMPORAL_NAMESPACE="nowhere",
    )
    assert code == 1
    sentence = next(line for line in said.splitlines() if line.startswith("goosejobs-worker: "))
    assert "nowhere" in sentence
    assert "Traceback" not in said


async def test_a_taken_health_address_is_named(platform: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        code, said = await run_worker(
            GOOSEJOBS_GOOSE="/bin/true",
            GOOSEJOBS_DATA_DIR=str(platform.home / "worker" / "taken"),
            GOOSEJOBS_HEALTH_ADDRESS=address,
        )
    assert code == 1
    assert said.startswith(f"goosejobs-worker: GOOSEJOBS_HEALTH_ADDRESS {address}: ")
    assert "address already in use" in said
    assert "Traceback" not in said


async def test_without_temporal_it_waits_says_for_what_and_can_be_stopped(
    start_worker: Start, eventually: Eventually
) -> None:
    address = f"127.0.0.1:{closed_port()}"
    worker = start_worker(wait=False, TEMPORAL_ADDRESS=address)
    status, state = await eventually(
        lambda: (found := health(worker.address))[1].startswith("waiting: ") and found
    )
    assert status == 503
    assert address in state
    worker.stop()
    assert not worker.alive


async def test_it_is_well_once_it_polls_and_ends_cleanly(start_worker: Start) -> None:
    worker = start_worker(pool="well")
    assert health(worker.address) == (200, "polling goosejobs-well: mode Process, namespaces *\n")
    worker.stop()
    assert "draining for at most" in worker.log
    assert "Traceback" not in worker.log
