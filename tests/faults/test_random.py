"""Random GooseJobs, random edits, and operator, worker and servers killed at random steps of theirs.

Each story is told twice, undisturbed and with its kills: its end must be the same, and what must never
happen never happens in between. The seeds that always run stand here. For others:

    GOOSEJOBS_STORIES=50 pytest -n 0 tests/faults/test_random.py      50 new ones, whose seeds are printed
    GOOSEJOBS_STORY=story.yaml pytest ...                             one that failed: its report has the file
    GOOSEJOBS_KILLS=0,2 ...                                           the same with only some of its kills
"""

import os
import random
import time
from pathlib import Path

import pytest

from support import lifecycle_rules
from support.rig import Rig
from support.stories import endings
from support.stories.maker import make
from support.stories.model import Story
from support.stories.telling import Teller, Told

SEEDS = (49, 182, 33)  # they have the most of what can happen among any three


def stories() -> list[Story]:
    """What is to be told."""
    if file := os.environ.get("GOOSEJOBS_STORY"):
        return [Story.of_yaml(Path(file).read_text())]
    if number := int(os.environ.get("GOOSEJOBS_STORIES", "0")):
        first = int(os.environ.get("GOOSEJOBS_SEED", "0")) or random.SystemRandom().randrange(1000, 10**8)
        return [make(seed) for seed in range(first, first + number)]
    return [make(seed) for seed in SEEDS]


def check(story: Story, told: Told) -> None:
    for job in story.jobs:
        endings.check_limits(job, told.objects[job.name])
        broken = lifecycle_rules.violations(told.events[job.name])
        assert not broken, "\n".join(broken)


@pytest.mark.timeout(1800)
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.invariant("I10")
@pytest.mark.invariant("I11")
@pytest.mark.invariant("I13")
@pytest.mark.invariant("I14")
@pytest.mark.invariant("I16")
@pytest.mark.invariant("I17")
@pytest.mark.parametrize("story", stories(), ids=lambda story: f"seed-{story.seed}")
async def test_whoever_dies_on_the_way_a_story_ends_as_it_would_have(own_platform: Rig, story: Story) -> None:
    own_platform.model()
    if chosen := os.environ.get("GOOSEJOBS_KILLS"):
        story = story.only([int(number) for number in chosen.split(",")])
    print(f"To tell it again: GOOSEJOBS_STORY=<a file with what follows>\n{story.as_yaml()}")
    began = time.monotonic()
    calm = await Teller(own_platform, story, ()).tell()
    check(story, calm)
    print(f"undisturbed: {time.monotonic() - began:.0f} s")
    wild = await Teller(own_platform, story, story.kills).tell()
    print(f"both: {time.monotonic() - began:.0f} s; happened: {wild.happened}")
    check(story, wild)
    different = endings.differences(calm.ends, wild.ends)
    assert not different, "\n".join(different)
    assert wild.happened, "nobody was hurt: its kills come after its end"
