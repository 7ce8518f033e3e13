"""The Events of a GooseJob, as kubectl shows them; and that nothing waits for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from support import audit
from support.events import events, told
from support.kube_proxy import At, kube_proxy
from support.objects import Kubectl, apply, ended, get, goosejob, is_true
from support.rig import Handle, Rig

Eventually = Callable[..., Any]
Start = Callable[..., Handle]

NEVER = "0 8 1 1 *"
EVENTS = "/events"


@pytest.mark.usefixtures("operator", "worker")
async def test_describe_tells_a_nights_story(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    # Not more often: each look that finds one skipped tells so, and after 25 an object may tell no more.
    story = goosejob("story", "stub: slow 7", schedule="@every 5s")
    apply(kubectl, namespace, story)
    await eventually(lambda: "RunSucceeded" in told(kubectl, namespace, "story"))
    story["spec"]["recipe"]["inline"]["prompt"] = "stub: status 401"
    apply(kubectl, namespace, story)
    reasons = {"RunFailed", "RunsSkipped"}  # what was skipped is seen when the operator looks
    await eventually(lambda: reasons <= set(told(kubectl, namespace, "story")))
    story["spec"]["suspend"] = True
    apply(kubectl, namespace, story)
    await eventually(lambda: "Suspended" in told(kubectl, namespace, "story"))
    story["spec"].update(suspend=False, schedule=NEVER)
    apply(kubectl, namespace, story)
    await eventually(lambda: "Resumed" in told(kubectl, namespace, "story"))
    apply(kubectl, namespace, goosejob("story", schedule="61 * * * *"))
    await eventually(lambda: "Stalled" in told(kubectl, namespace, "story"))

    page = kubectl("describe", "goosejob", "-n", namespace, "story").stdout
    lines = [" ".join(line.split()) for line in page[page.index("\nEvents:") :].splitlines()]
    wanted = (
        ("Normal RunStarted", "goosejobs-worker Run 2", " started: worker "),
        ("Normal RunSucceeded", "goosejobs-worker Run 2", " succeeded after "),
        ("Normal RunsSkipped", "goosejobs-operator ", "did not start: an earlier one was still active"),
        ("Warning RunFailed", "goosejobs-worker Run 2", " failed (ProviderAuth): "),
        ("Normal Suspended", "goosejobs-operator", "spec.suspend is true: no new run starts."),
        ("Normal Resumed", "goosejobs-operator", "Runs start again when they are due"),
        ("Warning Stalled", "goosejobs-operator", "InvalidSchedule: spec.schedule"),
    )
    for parts in wanted:
        assert any(line.startswith(parts[0]) and all(part in line for part in parts) for line in lines), (
            parts,
            page,
        )


@pytest.mark.usefixtures("operator", "worker")
async def test_a_run_that_goes_well_is_told_when_it_starts_and_when_it_has_ended(
    kubectl: Kubectl, eventually: Eventually, namespace: str, platform: Rig
) -> None:
    apply(kubectl, namespace, goosejob("well"))
    await ended(kubectl, eventually, namespace, "well")
    found = await eventually(lambda: (e := told(kubectl, namespace, "well")) and "RunSucceeded" in e and e)
    obj = get(kubectl, namespace, "well")
    assert set(found) == {"RunStarted", "RunSucceeded"}
    for each in found.values():
        assert each["involvedObject"]["uid"] == obj["metadata"]["uid"]
        assert each["type"] == "Normal"
        assert each["count"] == 1
        assert each["reportingInstance"]

    def asked() -> list[tuple[str, int]]:
        return [
            (event["verb"], event["responseStatus"]["code"])
            for event in audit.requests(platform.audit_log, namespace, "events")
            if event["user"]["username"] == "admin"
        ]

    await eventually(lambda: len(asked()) >= 2)
    assert asked() == [("create", 201)] * 2


@pytest.mark.usefixtures("operator")
async def test_a_failed_attempt_is_told_with_its_reason_before_the_next_one(
    kubectl: Kubectl, eventually: Eventually, namespace: str, start_worker: Start, pool: str
) -> None:
    start_worker(pool=pool)
    flaky = goosejob("flaky", "stub: fail 4 then answer ok", execution={"pool": pool})
    apply(kubectl, namespace, flaky)
    run = await ended(kubectl, eventually, namespace, "flaky")
    assert (run["outcome"], run["attempt"]) == ("Succeeded", 2)
    found = await eventually(lambda: (e := told(kubectl, namespace, "flaky")) and "RunSucceeded" in e and e)
    assert set(found) == {"RunStarted", "AttemptFailed", "RunSucceeded"}
    message = found["AttemptFailed"]["message"]
    assert message.startswith("Run once: attempt 1 failed (ProviderError), another one follows: ")
    assert found["RunSucceeded"]["message"].endswith(" s, at attempt 2")


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("status", [403, 429, 503])
async def test_a_run_succeeds_and_is_recorded_although_its_events_are_refused(
    status: int,
    kubectl: Kubectl,
    eventually: Eventually,
    namespace: str,
    start_worker: Start,
    pool: str,
    platform: Rig,
    tmp_path: Path,
) -> None:
    def refuse() -> web.Response:
        return web.json_response({"message": "no"}, status=status, headers={"Retry-After": "1"})

    with kube_proxy(platform.platform.control_plane, tmp_path) as proxy:
        proxy.plan(At.REQUEST, "POST", EVENTS, refuse, times=100)
        worker = start_worker(pool=pool, KUBECONFIG=str(proxy.kubeconfig))
        apply(kubectl, namespace, goosejob("well", execution={"pool": pool}))
        run = await ended(kubectl, eventually, namespace, "well")
        assert run["outcome"] == "Succeeded"
        await eventually(lambda: proxy.seen("POST", EVENTS) == 2)
        assert events(kubectl, namespace, "well") == []
        assert worker.log.count("Events are lost: ") == 1


@pytest.mark.usefixtures("operator")
async def test_what_happens_again_is_counted_on_one_event(
    kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    on, off = (
        goosejob("wavers", schedule=NEVER, suspend=suspend, execution={"pool": "nobody"})
        for suspend in (False, True)
    )
    for times in (1, 2, 3):
        apply(kubectl, namespace, off)
        await eventually(lambda: is_true(get(kubectl, namespace, "wavers"), "Suspended"))
        apply(kubectl, namespace, on)
        both = {"Suspended": times, "Resumed": times}
        await eventually(lambda: counts(kubectl, namespace, "wavers") == both, timeout=90)  # noqa: B023
    assert len(events(kubectl, namespace, "wavers")) == 2
    assert "(x3 over " in kubectl("describe", "goosejob", "-n", namespace, "wavers").stdout


def counts(kubectl: Kubectl, namespace: str, name: str) -> dict[str, int]:
    """How often each reason was told."""
    return {reason: each["count"] for reason, each in told(kubectl, namespace, name).items()}
