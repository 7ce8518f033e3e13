"""Stories are pure: what a seed makes of them, and what is asked of their ends."""

from typing import Any

import pytest

from goosejobs.model.spec import GooseJobSpec
from support.objects import Object
from support.stories import endings
from support.stories.diary import Line
from support.stories.maker import make
from support.stories.model import End, Job, Point, Story

SEEDS = range(60)
RECIPE: Any = {"recipe": {"inline": {"prompt": "hi"}}}


def job(end: End = End.COMPLETED, **spec: Any) -> Job:
    return Job(name="a", prompt="p", spec=spec, end=end)


def seen(*, generation: int = 1, uid: str = "u", **status: Any) -> Object:
    meta = {"name": "a", "uid": uid, "generation": generation}
    return {"metadata": meta, "status": {"observedGeneration": generation, **status}}


def line(word: str, run: str = "r", policy: str = "Forbid", life: int = 1) -> Line:
    return Line(word, life, policy, run, 1, 17, "0")


def test_a_seed_is_one_story_and_its_text_is_all_of_it() -> None:
    for seed in SEEDS:
        story = make(seed)
        assert story == make(seed)
        assert Story.of_yaml(story.as_yaml()) == story


def test_stories_differ_and_all_that_can_happen_does() -> None:
    stories = [make(seed) for seed in SEEDS]
    assert len({story.as_yaml() for story in stories}) == len(SEEDS)
    jobs = [job for story in stories for job in story.jobs]
    assert {job.end for job in jobs} == set(End)
    assert {job.spec.get("concurrencyPolicy") for job in jobs} >= {"Allow", "Forbid", "Queue", "Replace"}
    assert {who for story in stories for kill in story.kills for who in kill.who} == {
        "operator",
        "worker",
        "kube-apiserver",
        "temporal",
    }


def test_every_spec_on_the_way_is_one_that_the_model_takes() -> None:
    for seed in SEEDS:
        for each in make(seed).jobs:
            GooseJobSpec.model_validate({**each.spec, **RECIPE})
            GooseJobSpec.model_validate({**each.final, **RECIPE})


def test_a_story_can_be_told_with_some_of_its_kills() -> None:
    story = next(story for seed in SEEDS if len((story := make(seed)).kills) == 3)
    assert story.only([0, 2]).kills == (story.kills[0], story.kills[2])


@pytest.mark.parametrize(
    ("when", "come"),
    [
        (Point(), True),
        (Point(started=3), True),
        (Point(started=4), False),
        (Point(ended=2), True),
        (Point(ended=3), False),
        (Point(agents=1), True),
        (Point(agents=2), False),
        (Point(answered="run"), False),
        (Point(answered="kill"), True),
        (Point(answered="resume"), False),
        (Point(stalled=True), False),
        (Point(paused=True), False),
    ],
)
def test_an_edit_waits_for_all_that_it_names(when: Point, come: bool) -> None:
    handled = {"run": {"token": "1", "answer": "Noted"}, "kill": {"token": "all", "answer": "Cancelled"}}
    obj = seen(counts={"succeeded": 1, "failed": 1}, active=[{"id": "x"}], handledRequests=handled)
    assert endings.has_come(when, obj, agents=1) is come
    assert not endings.has_come(when, None, agents=9)


def test_an_edit_waits_until_the_spec_is_seen_unless_it_does_not_care() -> None:
    obj = seen(generation=2, observedGeneration=1)
    assert not endings.has_come(Point(), obj, agents=0)
    assert endings.has_come(Point(seen=False), obj, agents=0)


def test_too_many_runs_are_seen_and_too_few() -> None:
    for runs in (1, 3):
        with pytest.raises(AssertionError, match=f"{runs} runs, of 2"):
            endings.check_limits(job(maxRuns=2), seen(counts={"succeeded": runs}))
    endings.check_limits(job(maxRuns=2), seen(counts={"succeeded": 1, "failed": 1}))


def test_a_run_that_began_beside_another_is_seen_unless_it_may() -> None:
    story = Story(seed=0, jobs=(job(),), kills=())
    endings.check_diary(story, {"a": [line("start"), line("overlap", policy="Allow")]})
    with pytest.raises(AssertionError, match="alive at the start"):
        endings.check_diary(story, {"a": [line("start"), line("overlap")]})


def test_an_attempt_that_began_twice_is_seen() -> None:
    story = Story(seed=0, jobs=(job(),), kills=())
    endings.check_diary(story, {"a": [line("start"), line("start", run="s"), line("start", life=2)]})
    with pytest.raises(AssertionError, match="began twice"):
        endings.check_diary(story, {"a": [line("start"), line("start")]})


def test_what_differs_at_the_end_is_named() -> None:
    calm: dict[str, dict[str, object]] = {
        "a": {"phase": "Completed", "next": False},
        "b": {"phase": "Paused"},
    }
    wild: dict[str, dict[str, object]] = {"a": {"phase": "Running", "next": False}, "b": {"phase": "Paused"}}
    assert endings.differences(calm, calm) == []
    assert endings.differences(calm, wild) == ["a: phase is Running, undisturbed Completed"]
