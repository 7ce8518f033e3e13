"""examples/gitops: what Argo CD and Flux make of GooseJobs. That it is accepted, test_deploy.py shows.

Argo CD's script is run over statuses that operator and worker really wrote, and Flux's own library is asked.
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goosejobs.model.reasons import ReadyReason
from goosejobs_operator.status import derive_failing
from support import argocd
from support.gate import Gate
from support.kstatus import kstatus
from support.objects import Kubectl, Object, apply, condition, ended, get, goosejob, is_true, last_run
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator")

EXAMPLES = Path(__file__).parents[2] / "examples/gitops"


def judged(obj: Object) -> tuple[str, str]:
    """Argo CD's status and message; kstatus is of the same opinion."""
    status, message = argocd.health(obj)
    assert kstatus(obj) == argocd.AS_KSTATUS[status], message
    return status, message


async def seen(
    kubectl: Kubectl, eventually: Eventually, namespace: str, name: str, is_so: Callable[[Object], Any]
) -> Object:
    """The object once something is so."""
    found: Object = await eventually(
        lambda: (obj := get(kubectl, namespace, name)) and is_so(obj) and obj, timeout=90
    )
    return found


# -- health, over the statuses that operator and worker really write --


def test_a_goosejob_that_nobody_has_looked_at_is_progressing(kubectl: Kubectl, namespace: str) -> None:
    # The answer to the creation is the object before anybody has seen it.
    made = kubectl("create", "-n", namespace, "-o", "json", "-f", "-", input=json.dumps(goosejob("new")))
    obj = json.loads(made.stdout)
    assert obj["status"]["observedGeneration"] == -1
    assert judged(obj)[0] == "Progressing"
    del obj["status"]
    assert argocd.health(obj)[0] == "Progressing"


async def test_it_is_healthy_while_it_waits_for_its_time(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("waits", schedule="@yearly"))
    obj = await seen(kubectl, eventually, namespace, "waits", lambda o: is_true(o, "Ready"))
    assert judged(obj) == ("Healthy", "Scheduled: Temporal starts its runs when they are due.")


async def test_it_is_healthy_while_it_is_suspended(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("rests", schedule="@yearly", suspend=True))
    obj = await seen(kubectl, eventually, namespace, "rests", lambda o: is_true(o, "Suspended"))
    assert judged(obj) == ("Healthy", "Suspended: spec.suspend is true: no new run starts.")


async def test_it_is_healthy_while_it_runs_and_after(
    platform: Rig, kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    gate = Gate(platform.home)
    job = goosejob("runs", recipe={"inline": gate.recipe}, execution={"pool": pool})
    apply(kubectl, namespace, job)
    running = await seen(kubectl, eventually, namespace, "runs", lambda o: o["status"]["active"])
    assert judged(running)[0] in {"Healthy", "Progressing"}
    running = await seen(kubectl, eventually, namespace, "runs", lambda o: is_true(o, "Ready"))
    assert (len(running["status"]["active"]), judged(running)[0]) == (1, "Healthy")
    gate.open()
    await ended(kubectl, eventually, namespace, "runs")
    done = await seen(kubectl, eventually, namespace, "runs", lambda o: o["status"]["phase"] == "Completed")
    assert judged(done)[0] == "Healthy"


async def test_a_run_that_failed_does_not_degrade_it(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    apply(
        kubectl,
        namespace,
        goosejob("fails", "stub: status 401", schedule="@every 2s", execution={"pool": pool}),
    )
    obj = await seen(kubectl, eventually, namespace, "fails", lambda o: is_true(o, "Ready") and last_run(o))
    assert obj["status"]["lastRun"]["outcome"] == "Failed"
    failed = condition(obj, "LastRunSucceeded")
    assert failed is not None
    assert failed["status"] == "False"
    assert judged(obj)[0] == "Healthy"


async def test_it_is_degraded_when_somebody_has_to_mend_it(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("bad", schedule="61 * * * *"))
    obj = await seen(kubectl, eventually, namespace, "bad", lambda o: condition(o, "Stalled"))
    status, message = judged(obj)
    assert status == "Degraded"
    assert message.startswith("InvalidSchedule: spec.schedule")


async def test_a_change_is_progressing_until_it_has_been_looked_at(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("changes", schedule="@yearly"))
    obj = await seen(kubectl, eventually, namespace, "changes", lambda o: is_true(o, "Ready"))
    obj["metadata"]["generation"] += 1
    assert judged(obj)[0] == "Progressing"


def test_it_is_progressing_while_temporal_is_away() -> None:
    obj = goosejob("waits", schedule="@yearly")
    obj["metadata"] |= {"generation": 2, "namespace": "team-a"}
    written = derive_failing(obj, ReadyReason.TEMPORAL_UNAVAILABLE, "no route", datetime.now(UTC))
    assert written is not None
    obj["status"] = json.loads(json.dumps(written))
    assert judged(obj) == ("Progressing", "TemporalUnavailable: no route")


async def test_a_bad_recipe_in_the_repository_fails_the_sync_and_a_good_one_mends_it(
    kubectl: Kubectl, eventually: Eventually, namespace: str, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLES / "jobs/team-a", tmp_path / "jobs")
    kustomization, recipe = tmp_path / "jobs/kustomization.yaml", tmp_path / "jobs/recipes/triage.yaml"
    kustomization.write_text(
        kustomization.read_text().replace("namespace: team-a", f"namespace: {namespace}")
    )
    kubectl("apply", "-k", str(tmp_path / "jobs"))
    await seen(kubectl, eventually, namespace, "weekly-report", lambda o: judged(o)[0] == "Healthy")
    before = await seen(kubectl, eventually, namespace, "triage", lambda o: is_true(o, "Ready"))

    good = recipe.read_text()
    recipe.write_text(good.replace("prompt:", "prompt: {{ nobody }}"))
    kubectl("apply", "-k", str(tmp_path / "jobs"))
    bad = get(kubectl, namespace, "triage")
    assert bad["metadata"]["generation"] == before["metadata"]["generation"] + 1
    bad = await seen(kubectl, eventually, namespace, "triage", lambda o: condition(o, "Stalled"))
    assert judged(bad)[0] == "Degraded"

    recipe.write_text(good)
    kubectl("apply", "-k", str(tmp_path / "jobs"))
    await seen(kubectl, eventually, namespace, "triage", lambda o: is_true(o, "Ready"))


def test_argo_cds_configuration_takes_the_health_script(kubectl: Kubectl, namespace: str) -> None:
    kubectl(
        "create", "configmap", "argocd-cm", "-n", namespace, "--from-literal=url=https://argocd.example.com"
    )
    patch = EXAMPLES / "argocd/argocd-cm.yaml"
    kubectl("patch", "configmap", "argocd-cm", "-n", namespace, "--patch-file", str(patch))
    data = json.loads(kubectl("get", "configmap", "argocd-cm", "-n", namespace, "-o", "json").stdout)["data"]
    assert set(data) == {"url", "resource.customizations.health.goosejobs.dev_GooseJob"}
