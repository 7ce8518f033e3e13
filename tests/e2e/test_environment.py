"""Variables of runs where pods really run."""

import base64
import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from goosejobs.model.execution import Execution
from goosejobs_worker.environment import Absence, Kind, Source, resolve, sources
from support import job_pool, pods
from support.objects import Kubectl, apply, ended, get, goosejob, recipe
from support.rig import Handle, Rig
from support.schedules import schedule_id
from support.stored import told

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

SETTINGS = {"A": "from the map", "BOTH": "map", "log.level-x": "debug", "1st": "digit", "REF": "$(A)"}
MAIL = {
    "word": b"geese",
    "BOTH": b"secret",
    "BYTES": b"\x01 \xc3\xa4",
    "LINES": b"a\nb\n",
    "EMPTY": b"",
}


def key(kind: str, name: str, wanted: str, **more: Any) -> dict[str, Any]:
    return {"valueFrom": {f"{kind}KeyRef": {"name": name, "key": wanted, **more}}}


EXECUTION: dict[str, Any] = {
    "envFrom": [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "mail"}},
        {"prefix": "P_", "configMapRef": {"name": "settings"}},
        {"prefix": "G_", "secretRef": {"name": "gone", "optional": True}},
    ],
    "env": [
        {"name": "NOTHING"},
        {"name": "EARLY", "value": "$(LATE)$(A)"},
        {"name": "LATE", "value": "$(EARLY) $$(A) $$$(A) $(NOBODY) $(A $A ${A} $() $($(A)) $"},
        {"name": "A", "value": "own $(A) 🪿"},
        {"name": "AGAIN", "value": "$(A)"},
        {"name": "FROM_SECRET", "value": "<$(word)>"},
        {"name": "KEY", **key("secret", "mail", "BOTH")},
        {"name": "NOT_EXPANDED", **key("configMap", "settings", "REF")},
        {"name": "word", **key("secret", "mail", "no-such-key", optional=True)},
        {"name": "MISSING", **key("secret", "gone", "x", optional=True)},
        {"name": "TWICE", "value": "$(KEY)$(KEY)"},
    ],
}


def test_a_process_has_the_variables_that_a_pod_has(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": SETTINGS}
    encoded = {name: base64.b64encode(value).decode() for name, value in MAIL.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail"}, "data": encoded}
    pods.apply(kubectl, namespace, config_map, secret)
    pod = pods.pod("shows", goose_image, "bash", "-c", "env -0 | base64 -w0", **EXECUTION)
    shown = base64.b64decode(pods.run(kubectl, namespace, pod)).decode("utf-8", "surrogateescape")
    seen = dict(entry.split("=", 1) for entry in shown.split("\0") if entry)

    given = Execution.model_validate(EXECUTION)
    there = {
        Source(Kind.CONFIG_MAP, "settings"): SETTINGS,
        Source(Kind.SECRET, "mail"): {k: v.decode("utf-8", "surrogateescape") for k, v in MAIL.items()},
    }
    found = {source: there.get(source, Absence.NOT_FOUND) for source in sources(given.env, given.env_from)}
    ours = resolve(namespace, given.env, given.env_from, found).variables
    assert {name: seen.get(name) for name in ours} == ours
    assert {"MISSING", "G_x"} & (set(seen) | set(ours)) == set()
    assert len(ours) == 2 * len(SETTINGS) + len(MAIL) - 1 + 8  # A and BOTH come twice, word and A once more


@pytest.mark.usefixtures("operator")
async def test_a_secret_reaches_a_pod_by_reference_alone(
    node: Rig,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    goose_image: str,
    start_worker: Start,
    pool: str,
    tmp_path: Path,
) -> None:
    marker = f"mark-{uuid.uuid4().hex}"
    template = job_pool.write_template(tmp_path / "template.yaml", goose_image, node.model_address)
    worker = start_worker(pool=pool, GOOSEJOBS_LOG_LEVEL="DEBUG", **job_pool.environment(template))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mail"},
        "stringData": {"word": marker},
    }
    variables = {
        "env": [{"name": "WORD", **key("secret", "mail", "word")}],
        "envFrom": [{"secretRef": {"name": "mail"}}],
    }
    job = goosejob("refers", execution={"pool": pool, **variables})
    prompt = "stub: shell printenv WORD | sha256sum; printenv word | sha256sum"
    job["spec"]["recipe"]["inline"] = recipe(prompt, extensions=job_pool.TOOLS)
    apply(kubectl, namespace, secret)
    apply(kubectl, namespace, job)
    run = await ended(kubectl, eventually, namespace, "refers")
    digest = hashlib.sha256(f"{marker}\n".encode()).hexdigest()
    assert run["result"].count(digest) == 2, run
    objects = kubectl("get", "-n", namespace, "gj,jobs,pods,events", "-o", "yaml").stdout
    assert "secretKeyRef" in objects
    client = await Client.connect(node.temporal_address)
    await client.get_workflow_handle(f"{schedule_id(get(kubectl, namespace, 'refers'))}/once").result()

    async def all_of_it() -> bytes | None:
        found = await told(client)
        return found if namespace.encode() in found else None  # Temporal's index lags a little

    temporal = await eventually(all_of_it)
    assert marker not in objects + worker.log
    assert marker.encode() not in temporal
