"""Temporal behind mutual TLS: a real server, certificates by our own code, and the ways to get it wrong."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from goosejobs_local.pki import Pki
from support import schedules
from support.objects import Eventually, apply, condition, ended, get, goosejob
from support.rig import Handle, Rig
from support.schedules import schedule_id
from support.temporal_server import SERVER_NAME, TemporalServer, Tls, sqlite

NAMESPACE = "default"
CERTIFICATE, KEY = "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"
AUTHORITY, NAME = "TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_NAME"
NONE, STRANGERS = "none", "strangers"
NO_FINALIZERS = json.dumps([{"op": "remove", "path": "/metadata/finalizers"}])


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture(scope="module")
def ours(rig: Rig) -> Tls:
    return Tls.make(rig.home / "temporal-pki")


@pytest.fixture(scope="module")
def strangers(rig: Rig) -> Tls:
    """Certificates by an authority that nobody trusts."""
    return Tls.make(rig.home / "strangers-pki")


@pytest.fixture(scope="module")
async def temporal(rig: Rig, ours: Tls) -> TemporalServer:
    server = TemporalServer(rig.home, sqlite(rig.home / "production.db"), ours)
    await server.start()
    return server


def healthz(handle: Handle) -> str:
    try:
        try:
            with urllib.request.urlopen(f"http://{handle.address}/healthz", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
    except OSError:  # also while the answer is read
        return ""


def secrets(*all_: Tls) -> list[str]:
    """The lines of all private keys."""
    keys = [file.read_text() for mutual in all_ for file in mutual.pki.directory.glob("*.key")]
    return [line for key in keys for line in key.splitlines() if line and "-----" not in line]


def by_value(env: dict[str, str]) -> dict[str, str]:
    """The same without files."""
    files = {name: Path(path) for name, path in env.items() if name.endswith("_PATH")}
    values = {name.replace("_PATH", "_DATA"): file.read_text() for name, file in files.items()}
    return {name: value for name, value in env.items() if name not in files} | values


@pytest.mark.parametrize("given", ["by path", "by value"])
async def test_with_the_right_certificates_a_goosejob_runs_as_ever(
    rig: Rig, eventually: Eventually, pool: str, temporal: TemporalServer, ours: Tls, given: str
) -> None:
    env: Any = temporal.environment
    if given == "by value":
        env = by_value(env)
    with rig.start_operator(**env) as operator, rig.start_worker(pool=pool, **env) as worker:
        apply(
            rig.kubectl,
            NAMESPACE,
            goosejob("once", "stub: answer over TLS", execution={"pool": pool}),
            goosejob("often", schedule="@every 2s", execution={"pool": pool}),
        )
        assert (await ended(rig.kubectl, eventually, NAMESPACE, "once"))["result"] == "over TLS"
        assert (await ended(rig.kubectl, eventually, NAMESPACE, "often"))["outcome"] == "Succeeded"
        id_ = schedule_id(get(rig.kubectl, NAMESPACE, "often"))
        assert await schedules.schedule(await temporal.connect(), id_) is not None
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "once", "often")
        for line in secrets(ours):
            assert line not in operator.log + worker.log


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no TLS": ({"TEMPORAL_TLS": "false"}, "if it asks for TLS, set TEMPORAL_TLS=true"),
    "no client certificate": (
        {CERTIFICATE: NONE, KEY: NONE},
        f"it asks for a client certificate, set {CERTIFICATE} and {KEY}",
    ),
    "a client certificate of a stranger": (
        {CERTIFICATE: STRANGERS, KEY: STRANGERS},
        f"it does not trust the certificate of {CERTIFICATE}",
    ),
    "a key of another certificate": ({KEY: STRANGERS}, "do not belong together"),
    "another authority": ({AUTHORITY: STRANGERS}, f"set {AUTHORITY} to the certificate of the authority"),
    "no authority": ({AUTHORITY: NONE}, f"set {AUTHORITY} to the certificate of the authority"),
    "another name": ({NAME: "other.test"}, f"is for {SERVER_NAME}, not for other.test: set {NAME}"),
    "no name": ({NAME: NONE}, f"is for {SERVER_NAME}, not for 127.0.0.1: set {NAME}"),
    "a key that is none": ({KEY: __file__}, f"{KEY} holds no private key in PEM"),
}
"""What can be wrong, and what both sides say to it."""


@pytest.mark.parametrize(("changes", "says"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_said_by_both_sides_and_on_the_object(
    rig: Rig,
    eventually: Eventually,
    pool: str,
    temporal: TemporalServer,
    ours: Tls,
    strangers: Tls,
    changes: dict[str, str],
    says: str,
) -> None:
    env: Any = dict(temporal.environment)
    for name, value in changes.items():
        env[name] = strangers.environment[name] if value == STRANGERS else value
    env = {name: value for name, value in env.items() if value != NONE}
    name = f"unreached-{pool}"
    with (
        rig.start_operator(wait=False, **env) as operator,
        rig.start_worker(pool=pool, wait=False, **env) as worker,
    ):
        apply(rig.kubectl, NAMESPACE, goosejob(name, schedule="0 8 * * *", execution={"pool": pool}))
        await eventually(lambda: says in healthz(worker))

        def unready() -> str:
            said = condition(get(rig.kubectl, NAMESPACE, name), "Ready")
            assert said is not None
            assert (said["status"], said["reason"]) == ("False", "TemporalUnavailable")
            return str(said["message"])

        await eventually(lambda: says in unready())
        assert operator.alive
        assert worker.alive
        for line in ("Traceback", "kind:", *secrets(ours, strangers)):
            assert line not in operator.log + worker.log
    rig.kubectl("patch", "-n", NAMESPACE, "gj", name, "--type=json", "-p", NO_FINALIZERS, check=False)
    rig.kubectl("delete", "-n", NAMESPACE, "gj", name)


async def test_tls_where_there_is_none_is_said_so(rig: Rig, eventually: Eventually, pool: str) -> None:
    with rig.start_worker(pool=pool, wait=False, TEMPORAL_TLS="true") as worker:
        await eventually(
            lambda: "it does not speak TLS: set TEMPORAL_TLS=false" in healthz(worker), timeout=90
        )


async def test_new_certificates_are_taken_up_by_a_restart(
    rig: Rig, eventually: Eventually, pool: str, temporal: TemporalServer, ours: Tls, strangers: Tls
) -> None:
    mounted = Tls(Pki(rig.home / "mounted"))
    shutil.copytree(ours.pki.directory, mounted.pki.directory)
    env: Any = {**temporal.environment, **mounted.environment}
    with rig.start_operator(**env), rig.start_worker(pool=pool, **env):
        apply(rig.kubectl, NAMESPACE, goosejob("before", execution={"pool": pool}))
        await ended(rig.kubectl, eventually, NAMESPACE, "before")
        temporal.handle.stop()
        shutil.copytree(strangers.pki.directory, mounted.pki.directory, dirs_exist_ok=True)
        temporal.tls = strangers
        await temporal.start()
    with rig.start_operator(**env), rig.start_worker(pool=pool, **env):
        apply(rig.kubectl, NAMESPACE, goosejob("after", execution={"pool": pool}))
        assert (await ended(rig.kubectl, eventually, NAMESPACE, "after"))["outcome"] == "Succeeded"
        rig.kubectl("delete", "-n", NAMESPACE, "gj", "before", "after")
