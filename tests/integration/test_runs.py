"""A GooseJob from apply to its record: real API server, Temporal, operator, worker and goose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.objects import Kubectl, Object, apply, condition, ended, get, goosejob, is_true, last_run, recipe

Eventually = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("operator", "worker")

EXAMPLES = Path(__file__).parents[2] / "examples"
ONE_ATTEMPT = {"maxAttempts": 1}


async def test_a_run_once_succeeds_and_the_object_tells_it(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("hello", "stub: answer Good night."))
    run = await ended(kubectl, eventually, namespace, "hello")
    assert (run["outcome"], run["reason"], run["result"]) == ("Succeeded", "Completed", "Good night.")
    assert (run["id"], run["trigger"], run["attempt"]) == ("once", "Once", 1)
    assert run["tokens"]["total"] == run["tokens"]["input"] + run["tokens"]["output"] > 0
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "hello")) and is_true(o, "Ready") and o, timeout=90
    )
    assert obj["status"]["phase"] == "Completed"
    assert obj["status"]["active"] == []
    assert obj["status"]["counts"]["succeeded"] == 1
    assert condition(obj, "LastRunSucceeded")["status"] == "True"  # type: ignore[index]
    row = kubectl("get", "-n", namespace, "gj", "hello").stdout.splitlines()
    assert row[0].split() == ["NAME", "SCHEDULE", "PHASE", "LAST-RUN", "LAST", "NEXT", "AGE"]
    assert row[1].split()[2:4] == ["Completed", "Succeeded"]


async def test_a_schedule_runs_again_and_again(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("often", schedule="@every 2s"))
    obj = await eventually(
        lambda: (
            (o := get(kubectl, namespace, "often"))
            and o["status"].get("counts", {}).get("succeeded", 0) >= 3
            and o
        ),
        timeout=90,
    )
    due = [run["scheduledTime"] for run in obj["status"]["recentRuns"]]
    assert due == sorted(set(due), reverse=True)
    assert obj["status"]["nextScheduleTime"] > obj["status"]["lastScheduleTime"]
    assert obj["status"]["counts"]["failed"] == 0


async def test_suspend_stops_runs_and_lifting_it_lets_them_go_on(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("pausing", schedule="@every 2s", suspend=True))
    obj = await eventually(
        lambda: (o := get(kubectl, namespace, "pausing")) and is_true(o, "Suspended") and o, timeout=90
    )
    assert is_true(obj, "Ready")
    assert (obj["status"]["phase"], obj["status"].get("nextScheduleTime", "")) == ("Paused", "")
    assert last_run(obj) is None
    kubectl("patch", "-n", namespace, "gj", "pausing", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    run = await ended(kubectl, eventually, namespace, "pausing")
    assert run["outcome"] == "Succeeded"


async def test_an_update_is_what_runs_next(kubectl: Kubectl, eventually: Eventually, namespace: str) -> None:
    apply(kubectl, namespace, goosejob("changing", "stub: answer old", schedule="@every 2s"))
    assert (await ended(kubectl, eventually, namespace, "changing"))["result"] == "old"
    apply(kubectl, namespace, goosejob("changing", "stub: answer new", schedule="@every 2s"))
    await eventually(
        lambda: (last_run(get(kubectl, namespace, "changing")) or {})["result"] == "new", timeout=90
    )


async def test_a_changed_config_map_reaches_its_goosejob(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    def recipes(answer: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "recipes", "labels": {"goosejobs.dev/recipe": "true"}},
            "data": {"a.yaml": yaml.safe_dump(recipe(f"stub: answer {answer}"))},
        }

    job = goosejob(
        "mapped", schedule="@every 2s", recipe={"configMapKeyRef": {"name": "recipes", "key": "a.yaml"}}
    )
    apply(kubectl, namespace, recipes("first"), job)
    assert (await ended(kubectl, eventually, namespace, "mapped"))["result"] == "first"
    apply(kubectl, namespace, recipes("second"))
    await eventually(
        lambda: (last_run(get(kubectl, namespace, "mapped")) or {})["result"] == "second", timeout=90
    )


async def test_a_parameter_reaches_the_model_as_the_same_text(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    value = 'it\'s "quoted"\n- yaml: [1]\n{{ x }} {% raw %}{% endraw %} {# c #} 🪿 \\ \t \u2028\ufeff end'
    parameters = [{"key": "text", "input_type": "string", "requirement": "required", "description": "any"}]
    job = goosejob(
        "literal",
        recipe={"inline": recipe("stub: echo\n<<{{ text }}>>", parameters=parameters)},
        parameters=[{"name": "text", "value": value}],
    )
    apply(kubectl, namespace, job)
    run = await ended(kubectl, eventually, namespace, "literal")
    assert run["outcome"] == "Succeeded", run
    assert f"<<{value}>>" in run["result"]


@pytest.mark.parametrize(
    ("directive", "more", "outcome", "reason"),
    [
        ("stub: status 500", {}, "Failed", "ProviderError"),
        ("stub: status 401", {}, "Failed", "ProviderAuth"),
        ("stub: status 429", {}, "Failed", "RateLimited"),
        ("stub: drop", {}, "Failed", "NetworkError"),
        ("stub: turns", {"model": {"maxTurns": 2}}, "Failed", "TurnLimitReached"),
        ("stub: hang", {"activeDeadlineSeconds": 2}, "Failed", "DeadlineExceeded"),
    ],
)
async def test_a_run_that_goose_calls_a_success_is_failed_by_its_reason(
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    directive: str,
    more: Object,
    outcome: str,
    reason: str,
) -> None:
    spec = {
        "recipe": {"inline": {**recipe(directive), "extensions": [{"type": "builtin", "name": "developer"}]}}
    }
    apply(kubectl, namespace, goosejob("ending", **{**spec, **more, "retry": ONE_ATTEMPT}))
    run = await ended(kubectl, eventually, namespace, "ending")
    assert (run["outcome"], run["reason"]) == (outcome, reason), run
    assert run["message"]
    obj = get(kubectl, namespace, "ending")
    assert condition(obj, "LastRunSucceeded")["status"] == "False"  # type: ignore[index]
    await eventually(lambda: is_true(get(kubectl, namespace, "ending"), "Ready"))


async def test_without_its_structured_output_a_run_is_failed(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    shape = {"json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    for name, directive in (("given", 'stub: output {"a": 1}'), ("missing", "stub: no-output")):
        inline = recipe(directive, response=shape)
        apply(
            kubectl,
            namespace,
            goosejob(name, recipe={"inline": inline}, model={"maxTurns": 5}, retry=ONE_ATTEMPT),
        )
    given = await ended(kubectl, eventually, namespace, "given")
    assert (given["outcome"], json.loads(given["result"])) == ("Succeeded", {"a": 1})
    missing = await ended(kubectl, eventually, namespace, "missing")
    assert missing["outcome"] == "Failed"
    assert missing["reason"] in {"StructuredOutputMissing", "TurnLimitReached"}


async def test_a_failure_that_may_pass_is_tried_again(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("flaky", "stub: fail 4 then answer at last"))
    run = await ended(kubectl, eventually, namespace, "flaky")
    assert (run["outcome"], run["result"], run["attempt"]) == ("Succeeded", "at last", 2)


async def test_each_example_is_served(kubectl: Kubectl, eventually: Eventually, namespace: str) -> None:
    kubectl("apply", "-n", namespace, "-f", str(EXAMPLES))
    names = ["hello", "parameters", "structured-output", "nightly"]
    for name in names:
        await eventually(lambda name=name: is_true(get(kubectl, namespace, name), "Ready"))
    soon = '{"spec":{"schedule":"@every 3s"}}'
    for name in names[1:]:
        kubectl("patch", "-n", namespace, "gj", name, "--type=merge", "-p", soon)
    for name in names:
        run = await ended(kubectl, eventually, namespace, name)
        assert run["outcome"] == "Succeeded", (name, run)
    stalled = await eventually(lambda: condition(get(kubectl, namespace, "job-with-secret"), "Stalled"))
    assert stalled["message"].startswith("spec.execution.job: pool default runs processes")


async def test_deleting_in_the_middle_of_a_run_leaves_nothing(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("doomed", "stub: hang", schedule="@every 2s"))
    await eventually(lambda: get(kubectl, namespace, "doomed")["status"].get("active"))
    kubectl("delete", "-n", namespace, "gj", "doomed", "--timeout=180s")
    left = kubectl("get", "-n", namespace, "gj", "-o", "name").stdout
    assert left == ""
