"""Bad GooseJobs that only the operator can judge: tests/data/stalled.yaml."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.objects import Kubectl, Object, apply, condition, get, goosejob, is_true, last_run
from support.rig import Handle

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

pytestmark = pytest.mark.usefixtures("operator", "worker")

CASES: list[Object] = yaml.safe_load((Path(__file__).parents[1] / "data/stalled.yaml").read_text())


def config_map(case: Object) -> Object:
    data = {key: text + "#" * case.get("fill", 0) for key, text in case["configMap"].items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "recipes"}, "data": data}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"].replace(" ", "-"))
async def test_a_bad_object_says_what_is_wrong_and_where(
    kubectl: Kubectl, eventually: Eventually, namespace: str, case: Object
) -> None:
    if "configMap" in case:
        kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(config_map(case)))
    job = goosejob("bad")
    job["spec"] = case["spec"]
    apply(kubectl, namespace, job)
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "bad")) and condition(o, "Stalled") and o, timeout=90
    )
    stalled, ready = condition(obj, "Stalled"), condition(obj, "Ready")
    assert stalled is not None
    assert ready is not None
    assert (stalled["status"], ready["status"]) == ("True", "False")
    assert stalled["reason"] == ready["reason"] == case["reason"], stalled
    assert case["says"] in stalled["message"]
    assert "Traceback" not in stalled["message"]
    assert stalled["observedGeneration"] == obj["status"]["observedGeneration"] == 1
    assert (obj["status"]["phase"], last_run(obj)) == ("Invalid", None)


async def test_a_mended_object_recovers(kubectl: Kubectl, eventually: Eventually, namespace: str) -> None:
    apply(kubectl, namespace, goosejob("mended", schedule="61 * * * *"))
    await eventually(lambda: condition(get(kubectl, namespace, "mended"), "Stalled"))
    apply(kubectl, namespace, goosejob("mended", schedule="@every 2s"))
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "mended")) and is_true(o, "Ready") and o, timeout=90
    )
    assert condition(obj, "Stalled") is None


async def test_a_bad_change_lets_what_was_there_go_on(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("kept", "stub: answer good", schedule="@every 2s"))
    await eventually(lambda: last_run(get(kubectl, namespace, "kept")))
    apply(kubectl, namespace, goosejob("kept", "{{ nobody }}", schedule="@every 2s"))
    stalled = await eventually(
        lambda: (o := get(kubectl, namespace, "kept")) and condition(o, "Stalled") and o, timeout=90
    )
    before = stalled["status"]["counts"]["succeeded"]

    def went_on() -> Object | None:
        obj = get(kubectl, namespace, "kept")
        # A look at which Temporal did not answer says that instead, until the next one.
        return (
            obj if obj["status"]["counts"]["succeeded"] > before + 1 and condition(obj, "Stalled") else None
        )

    after = await eventually(went_on)
    assert after["status"]["lastRun"]["result"] == "good"


@pytest.mark.invariant("I18")
async def test_bad_objects_do_not_disturb_a_good_one(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    bad = [goosejob(f"bad-{n}", "{% for i in range(99999999) %}x{% endfor %}") for n in range(8)]
    apply(kubectl, namespace, *bad, goosejob("good"))
    # Each takes its seconds of processor time, one after the other; a single one would take for ever.
    run = await eventually(lambda: last_run(get(kubectl, namespace, "good")), timeout=300)
    assert run["outcome"] == "Succeeded"
    for job in bad:
        name = job["metadata"]["name"]
        await eventually(lambda name=name: condition(get(kubectl, namespace, name), "Stalled"), timeout=300)


async def test_a_pool_that_does_not_serve_the_namespace_is_told_before_the_first_run(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    other = start_worker(pool=pool, GOOSEJOBS_NAMESPACES="elsewhere")
    # A pool that the operator asks for the first time may not be known to it for a while: then runs start.
    apply(kubectl, namespace, goosejob("scout", schedule="@yearly", execution={"pool": pool}))
    await eventually(lambda: condition(get(kubectl, namespace, "scout"), "Stalled"))
    apply(kubectl, namespace, goosejob("stranger", execution={"pool": pool}))
    stalled = await eventually(lambda: condition(get(kubectl, namespace, "stranger"), "Stalled"))
    assert stalled["reason"] == "PoolRefused"
    message = f"spec.execution.pool: pool {pool} does not serve namespace {namespace}, only elsewhere: "
    assert stalled["message"].startswith(message)
    other.stop()
    start_worker(pool=pool, GOOSEJOBS_NAMESPACES=f"elsewhere,{namespace}")
    run = await eventually(lambda: last_run(get(kubectl, namespace, "stranger")))
    assert run["outcome"] == "Succeeded"
