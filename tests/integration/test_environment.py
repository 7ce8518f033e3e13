"""Variables of a GooseJob in Process mode: they reach goose, and what is secret in them nothing else."""

import contextlib
import uuid
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from temporalio.client import Client

from goosejobs.model import names
from support.ledger import Ledger
from support.objects import Kubectl, Object, apply, ended, get, goosejob, last_run, recipe
from support.rig import Handle, Rig
from support.stored import kept, told

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

DEVELOPER = {"extensions": [{"type": "builtin", "name": "developer"}]}


def shell(name: str, pool: str, command: str, execution: Object, **spec: Any) -> Object:
    """A GooseJob whose agent runs one command and answers with what it printed."""
    obj = goosejob(name, execution={"pool": pool, **execution}, **spec)
    obj["spec"]["recipe"]["inline"] = recipe(f"stub: shell {command}", **DEVELOPER)
    return obj


def data(kind: str, name: str, **values: str) -> Object:
    field = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: values}


def from_secret(variable: str, name: str, key: str, **more: Any) -> Object:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


async def test_goose_gets_the_variables_that_the_goosejob_names(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool, OPENAI_API_KEY="of the worker")
    execution = {
        "envFrom": [
            {"configMapRef": {"name": "settings"}},
            {"prefix": "MAIL_", "secretRef": {"name": "mail", "optional": True}},
        ],
        "env": [
            {"name": "GREETING", "value": "grüß $(WHOM) 🪿"},
            {"name": "WHOM", "value": "nobody"},
            {"name": "KUBECONFIG", "value": "/by/hand"},
            from_secret("MISSING", "mail", "key", optional=True),
        ],
    }
    settings = data("ConfigMap", "settings", WHOM="all", **{"log.level": "debug"})
    apply(kubectl, namespace, settings)
    apply(kubectl, namespace, shell("env", pool, "env", execution))
    run = await ended(kubectl, eventually, namespace, "env")
    seen = dict(line.split("=", 1) for line in run["result"].splitlines() if "=" in line)
    assert run["outcome"] == "Succeeded", run
    assert (seen["GREETING"], seen["WHOM"]) == ("grüß all 🪿", "nobody")
    assert (seen["KUBECONFIG"], seen["log.level"]) == ("/by/hand", "debug")
    assert not {"MISSING", "MAIL_key"} & set(seen)


@pytest.fixture
def marker() -> str:
    """The value of a Secret that must turn up nowhere."""
    return f"mark-{uuid.uuid4().hex}"


async def test_the_value_of_a_secret_reaches_goose_and_stands_nowhere_afterwards(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    marker: str,
    platform: Rig,
    operator: Handle,
    temporal_address: str,
) -> None:
    worker = start_worker(pool=pool, GOOSEJOBS_LOG_LEVEL="DEBUG")
    execution = {
        "env": [
            from_secret("GREETING", "mail", "word"),
            {"name": "TWICE", "value": "$(GREETING), $(GREETING)"},
        ],
        "envFrom": [{"secretRef": {"name": "mail"}}],
    }
    show = "echo $(printenv word | wc -c) $GREETING $word $TWICE; env; printenv word | base64 -w0"
    failing = shell("failing", pool, show, execution)
    failing["spec"]["recipe"]["inline"]["prompt"] = "stub: answer x"
    failing["spec"]["recipe"]["inline"]["extensions"] = [
        {"type": "stdio", "name": "broken", "cmd": "/bin/sh", "args": ["-c", "echo $word >&2; exit 1"]}
    ]
    apply(kubectl, namespace, data("Secret", "mail", word=marker))
    apply(kubectl, namespace, failing, shell("show", pool, show, execution))
    run = await ended(kubectl, eventually, namespace, "show")
    assert run["result"].startswith(f"{len(marker) + 1} *** *** ***, ***\n")
    failed = await ended(kubectl, eventually, namespace, "failing")
    assert "Failed to start extension" in failed["message"]
    everything = kubectl("get", "-n", namespace, "gj,events", "-o", "yaml").stdout
    client = await Client.connect(temporal_address)

    async def all_of_temporal() -> bytes | None:
        """With these runs among it: Temporal's index, by which they are found, lags a little."""
        found = await told(client)
        return found if namespace.encode() in found else None

    temporal = await eventually(all_of_temporal)
    on_disk = kept(platform.platform.temporal.home)
    assert namespace.encode() in on_disk
    assert [
        where
        for where, text in {
            "objects": everything.encode(),
            "worker's log": worker.log.encode(),
            "operator's log": operator.log.encode(),
            "Temporal": temporal,
            "Temporal's files": on_disk,
        }.items()
        if marker.encode() in text or b64encode(marker.encode())[:40] in text
    ] == []


async def test_the_value_of_a_secret_stands_on_no_command_line(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    marker: str,
    ledger: Ledger,
    temporal_address: str,
) -> None:
    worker = start_worker(pool=pool, GOOSEJOBS_KILL_GRACE_SECONDS="0")
    job = ledger.goosejob("args", pool)
    job["spec"]["execution"]["env"] = [from_secret("GREETING", "mail", "word")]
    apply(kubectl, namespace, data("Secret", "mail", word=marker))
    apply(kubectl, namespace, job)
    await eventually(ledger.hanging)
    below = _started_by(worker)
    assert any(f"--name={namespace}-args-once-1" in line for line, _ in below)
    assert any(variables.get("GREETING") == marker for _, variables in below)
    assert not any(marker in line for line, _ in below)
    client = await Client.connect(temporal_address)
    uid = get(kubectl, namespace, "args")["metadata"]["uid"]
    await client.get_workflow_handle(names.once_workflow_id(namespace, "args", uid)).cancel()
    await ended(kubectl, eventually, namespace, "args")


def _started_by(worker: Handle) -> list[tuple[str, dict[str, str]]]:
    """Command line and variables of each process below it; some of them come and go."""
    found = []
    for process in psutil.Process(worker.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append((" ".join(process.cmdline()), process.environ()))
    return found


async def test_a_missing_secret_fails_the_run_with_its_field_until_it_is_there(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    execution = {"env": [from_secret("GREETING", "mail", "word")]}
    job = shell("needs", pool, "printenv GREETING | wc -c", execution, schedule="@every 2s")
    apply(kubectl, namespace, job)
    run = await ended(kubectl, eventually, namespace, "needs")
    assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "ConfigNotFound", 1)
    assert run["message"] == (
        f"spec.execution.env[0].valueFrom.secretKeyRef.name: there is no Secret mail in namespace "
        f"{namespace}: create it, or set optional: true"
    )
    apply(kubectl, namespace, data("Secret", "mail", word="hello there"))
    await eventually(
        lambda: (last_run(get(kubectl, namespace, "needs")) or {})["result"].strip() == "12", timeout=90
    )
