"""What deploy/rbac.yaml allows is what operator and worker need: they run under these accounts here."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import job_pool
from support.events import events, told
from support.objects import Object, apply, ended, get, goosejob, is_true, last_run, recipe
from support.rbac import DATA
from support.rig import Handle, Rig

Eventually = Callable[..., Any]

RBAC = Path(__file__).parents[2] / "deploy/rbac.yaml"
CAN_I = Path(__file__).parents[1] / "data/can-i.yaml"
SYSTEM = "goosejobs-system"
TOOLS = {"extensions": job_pool.TOOLS}
NOW = "2026-01-01T00:00:00Z"
FAILED = {
    "status": {
        "startTime": NOW,
        "conditions": [
            {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": NOW}
            for kind in ("FailureTarget", "Failed")
        ],
    }
}
"""What the Job controller says of a Job that failed; it does not run here, where there is no node."""
HOMES = {
    "goosejobs-operator": SYSTEM,
    "goosejobs-worker-job": "default",
    "goosejobs-worker-process": "default",
}


TOOLS = {"extensions": job_pool.TOOLS}
NO_IMAGE = {"image": "nowhere/goose:1", "imageID": "", "ready": False, "restartCount": 0}
HOMES = {
    "goosejobs-operator": SYSTEM,
    "goosejobs-worker-job": "default",
    "goosejobs-worker-process": "default",
}


def kubeconfig_of(rig: Rig, account: str) -> Path:
    """A kubeconfig that has the account's token instead of the administrator's certificate."""
    token = rig.kubectl("create", "token", "-n", HOMES[account], account).stdout.strip()
    config = yaml.safe_load(rig.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = rig.home / f"{account}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def least(own_platform: Rig) -> Rig:
    own_platform.kubectl("apply", "-f", str(RBAC))
    return own_platform


@pytest.fixture(scope="module")
def operator(least: Rig) -> Iterator[Handle]:
    config = str(kubeconfig_of(least, "goosejobs-operator"))
    with least.start_operator(KUBECONFIG=config, GOOSEJOBS_LEASE_NAMESPACE=SYSTEM) as operator:
        yield operator


def start_worker(rig: Rig, account: str, pool: str, **env: Any) -> Handle:
    config = str(kubeconfig_of(rig, account))
    return rig.start_worker(pool=pool, KUBECONFIG=config, GOOSEJOBS_NAMESPACES="default", **env)


async def test_a_goosejob_lives_its_whole_life_under_the_least_rights(
    least: Rig, operator: Handle, eventually: Eventually
) -> None:
    recipes = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "recipes", "labels": {"goosejobs.dev/recipe": "true"}},
        "data": {"a.yaml": yaml.safe_dump(recipe("stub: answer from the map"))},
    }
    source = {"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}
    job = goosejob("mapped", schedule="@every 2s", recipe=source, execution={"pool": "processes"})
    with start_worker(least, "goosejobs-worker-process", "processes") as worker:
        apply(least.kubectl, "default", recipes, job)
        run = await eventually(lambda: last_run(get(least.kubectl, "default", "mapped")))
        assert (run["outcome"], run["result"]) == ("Succeeded", "from the map")
        changed = {**recipes, "data": {"a.yaml": yaml.safe_dump(recipe("stub: answer anew"))}}
        apply(least.kubectl, "default", changed)
        await eventually(
            lambda: (last_run(get(least.kubectl, "default", "mapped")) or {})["result"] == "anew", timeout=90
        )
        await eventually(
            lambda: {"RunStarted", "RunSucceeded"} <= set(told(least.kubectl, "default", "mapped"))
        )
        # The operator says so when its write meets none of the worker's, which may be after several runs.
        await eventually(lambda: is_true(get(least.kubectl, "default", "mapped"), "Ready"))
        least.kubectl("delete", "gj", "mapped", "--timeout=180s")
        assert "orbidden" not in operator.log + worker.log


async def test_a_worker_of_processes_reads_a_secret_once_its_name_is_allowed(
    least: Rig, operator: Handle, eventually: Eventually
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mail"},
        "stringData": {"word": "geese"},
    }
    variable = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "word"}}}
    job = goosejob("needs", schedule="@every 2s", execution={"pool": "named", "env": [variable]})
    job["spec"]["recipe"]["inline"] = recipe("stub: shell printenv WORD | wc -c", **TOOLS)
    with start_worker(least, "goosejobs-worker-process", "named"):
        apply(least.kubectl, "default", secret)
        apply(least.kubectl, "default", job)
        run = await ended(least.kubectl, eventually, "default", "needs")
        assert (run["outcome"], run["reason"], run["attempt"]) == ("Failed", "ConfigNotFound", 1)
        assert run["message"] == (
            "spec.execution.env[0].valueFrom.secretKeyRef.name: the worker may not read Secret mail in "
            "namespace default: name it in the pool's process.secrets, or allow the worker to get it"
        )
        with allowed(least, "goosejobs-worker-process", secrets=["mail"]):
            await eventually(
                lambda: (last_run(get(least.kubectl, "default", "needs")) or {})["outcome"] == "Succeeded",
                timeout=90,
            )
        assert "orbidden" not in operator.log
        least.kubectl("delete", "gj", "needs", "--timeout=180s")


def job_of(rig: Rig, name: str) -> Object:
    found: Object = json.loads(rig.kubectl("get", "job", name, "-o", "json").stdout)
    return found


async def test_a_worker_of_jobs_needs_no_more_than_its_rights(
    least: Rig, operator: Handle, eventually: Eventually, tmp_path: Path
) -> None:
    template = job_pool.write_template(tmp_path / "template.yaml", "nowhere/goose:1", "http://127.0.0.1:1")
    variable = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "word"}}}
    job = goosejob("pods", schedule="@every 2s", execution={"pool": "jobs", "env": [variable]})
    env = job_pool.environment(template)
    with start_worker(least, "goosejobs-worker-job", "jobs", **env) as worker:
        apply(least.kubectl, "default", job)
        (first,) = await eventually(lambda: job_pool.jobs(least.kubectl, "default", "pods"))
        name = first["metadata"]["name"]
        await eventually(lambda: job_pool.active_job(least.kubectl, "default", "pods") == name)
        least.kubectl("patch", "job", name, "--subresource=status", "--type=merge", "-p", json.dumps(FAILED))
        run = await ended(least.kubectl, eventually, "default", "pods")
        assert (run["outcome"], run["jobName"]) == ("Failed", name)
        await eventually(lambda: "ttlSecondsAfterFinished" in job_of(least, name)["spec"])
        await eventually(lambda: "RunFailed" in told(least.kubectl, "default", "pods"))
        messages = [each["message"] for each in events(least.kubectl, "default", "pods")]
        assert any(message.endswith(f" started: Job {name}") for message in messages)
        least.kubectl("delete", "gj", "pods", "--timeout=180s")
        assert "orbidden" not in operator.log + worker.log


@contextmanager
def allowed(rig: Rig, account: str, **named: list[str]) -> Iterator[None]:
    """Add the rules that tests/data/rbac has for names to the account's Role, as the pool's owner does."""
    rules = yaml.safe_load((DATA / "worker-process.yaml").read_text())["named"]
    for rule in rules:
        [resource] = rule["resources"]
        if resource in named:
            add = [{"op": "add", "path": "/rules/-", "value": {**rule, "resourceNames": named[resource]}}]
            rig.kubectl("patch", "role", "-n", HOMES[account], account, "--type=json", "-p", json.dumps(add))
    yield
    rig.kubectl("apply", "-f", str(RBAC))


def rows(rig: Rig, who: str, namespace: str) -> set[str]:
    """What `kubectl auth can-i --list` says of somebody in a namespace: a line each."""
    listed = rig.kubectl("auth", "can-i", "--list", "-n", namespace, "--as", who).stdout
    return {" ".join(line.split()) for line in listed.splitlines()[1:]}


@pytest.mark.parametrize("account", HOMES)
@pytest.mark.parametrize("where", ["own", "foreign"])
def test_kubectl_lists_for_an_account_what_it_needs_and_nothing_else(
    least: Rig, account: str, where: str
) -> None:
    namespace = HOMES[account] if where == "own" else "kube-public"
    anybody = rows(least, "system:serviceaccount:kube-public:nobody", namespace)
    more = rows(least, f"system:serviceaccount:{HOMES[account]}:{account}", namespace) - anybody
    wanted = yaml.safe_load(CAN_I.read_text())[account][where]
    assert sorted(more) == sorted(wanted)
