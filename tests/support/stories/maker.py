"""Makes stories from seeds. Pure: the same seed is the same story.

Whatever a story holds, its end must be one that does not depend on when things happen: every GooseJob comes
to an end that its spec tells (`End`), and its edits do not change how its runs end, or the story says so.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from goosejobs.model import names
from support.stories.model import At, Edit, End, How, Job, Kill, Of, Point, Story, Who

T = TypeVar("T")
_POLICIES = ("Forbid", "Allow", "Replace", "Queue")
_YEARLY = "0 0 1 1 *"
_AGENT = "stub: shell sh {{ agent }}"
_REFUSED = "stub: status 401"
"""A failure that no second attempt cures: the run has one."""
_SECOND_TIME = f"stub: fail 4 then {_AGENT[6:]}"
"""goose asks four times before it gives up, so the first attempt of the first run fails."""
_BAD: tuple[dict[str, Any], ...] = (
    {"timeZone": "Europe/Nowhere"},
    {"schedule": "0 0 30 2 *", "schedules": None},
    {"schedule": "99 * * * *", "schedules": None},
    {"parameters": [{"name": "wrod", "value": "misspelt"}]},
)


class Chance(random.Random):
    """Dice with words."""

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return self.choice(options)

    def often(self, chance: float) -> bool:
        """True so often."""
        return self.random() < chance


def make(seed: int) -> Story:
    """The story of a seed."""
    chance = Chance(seed)
    plots: tuple[Callable[[Chance, str], Job], ...] = (_counted, _counted, _once, _asked, _failing)
    chosen = [_counted, *chance.sample(plots, 3)]
    jobs = tuple(plot(chance, f"{plot.__name__.strip('_')}-{n}") for n, plot in enumerate(chosen))
    return Story(seed=seed, jobs=jobs, kills=tuple(_kill(chance) for _ in range(chance.randint(2, 4))))


def _counted(chance: Chance, name: str) -> Job:
    """A schedule of seconds that ends by `maxRuns`."""
    most = chance.randint(2, 3)
    every = chance.pick(("@every 2s", "@every 3s"))
    spec: dict[str, Any] = {
        **({"schedules": [every, "@every 7s"]} if chance.often(0.2) else {"schedule": every}),
        "maxRuns": most,
        "concurrencyPolicy": chance.pick(_POLICIES),
        "successfulRunsHistoryLimit": chance.randint(0, 4),
        "retry": {"maxAttempts": 3, "initialIntervalSeconds": 1},
    }
    edits = [edit for plot in chance.sample(_EDITS, chance.randint(0, 2)) for edit in plot(chance, spec)]
    prompt = chance.pick((_AGENT, _AGENT, _SECOND_TIME, _REFUSED, "stub: slow 1"))
    policies = {spec["concurrencyPolicy"], *(edit.set.get("concurrencyPolicy") for edit in edits)}
    fixed = "Replace" not in policies
    return Job(
        name=name,
        prompt=prompt,
        seconds=chance.randint(0, 2),
        spec=spec,
        edits=tuple(edits),
        end=End.COMPLETED,
        fixed=fixed,
    )


def _once(chance: Chance, name: str) -> Job:
    """A run once: it ends by itself, is killed, or the GooseJob goes before."""
    spec: dict[str, Any] = {"runOnce": True, "retry": {"maxAttempts": 2, "initialIntervalSeconds": 1}}
    ending = chance.pick(("itself", "killed", "suspended", "recreated", "deleted"))
    edits: list[Edit] = []
    if ending == "killed":
        edits = [Edit(when=Point(agents=1), annotate={names.KILL_REQUESTED: chance.pick(("all", "once"))})]
    elif ending == "suspended":
        spec["suspend"] = True
        edits = [Edit(set={"suspend": False})]
    elif ending == "recreated":
        edits = [Edit(when=Point(seen=chance.often(0.5), started=chance.randint(0, 1)), recreate=True)]
    elif ending == "deleted":
        edits = [Edit(when=Point(seen=chance.often(0.5), agents=chance.randint(0, 1)), delete=True)]
    endless = ending in {"killed", "deleted"}
    return Job(
        name=name,
        prompt=_AGENT if endless else chance.pick((_AGENT, _SECOND_TIME, _REFUSED)),
        seconds=600 if endless else chance.randint(0, 3),
        spec=spec,
        edits=tuple(edits),
        end=End.GONE if ending == "deleted" else End.ONCE,
    )


def _asked(chance: Chance, name: str) -> Job:
    """Due in years; runs are asked for one after the other, and the last one may be killed."""
    runs, kill = chance.randint(1, 3), chance.often(0.4)
    # A run is on record a moment before its workflow has ended: Forbid may rightly skip the next one.
    policies = ("Allow", "Replace", "Queue") if runs > 1 else _POLICIES
    spec: dict[str, Any] = {
        "schedule": _YEARLY,
        "suspend": chance.often(0.5),
        "concurrencyPolicy": chance.pick(policies),
    }
    edits = [
        Edit(
            when=Point(ended=number, answered="run" if number else ""),
            annotate={names.RUN_REQUESTED: f"n{number}"},
        )
        for number in range(runs)
    ]
    if kill:
        edits.append(
            Edit(when=Point(answered="run", agents=runs), annotate={names.KILL_REQUESTED: "all:now"})
        )
    # All but the last come to their end.
    return Job(
        name=name,
        prompt=f"{_AGENT} {runs - 1}" if kill else chance.pick((_AGENT, _REFUSED)),
        seconds=chance.randint(0, 2),
        spec=spec,
        edits=tuple(edits),
        end=End.ASKED,
    )


def _failing(chance: Chance, name: str) -> Job:
    """Fails until it is paused, once more after somebody resumed it."""
    spec: dict[str, Any] = {
        "schedule": "@every 2s",
        "pauseAfterFailures": chance.randint(1, 2),
        "concurrencyPolicy": chance.pick(("Forbid", "Queue", "Allow")),
        "failedRunsHistoryLimit": chance.randint(0, 3),
    }
    resume = Edit(when=Point(paused=True), annotate={names.RESUME_REQUESTED: "mended"})
    edits = (resume,) if chance.often(0.5) else ()
    return Job(name=name, prompt=_REFUSED, spec=spec, edits=edits, end=End.PAUSED, fixed=False)


def _pause(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1))
    return [Edit(when=when, set={"suspend": True}), Edit(set={"suspend": None})]


def _blink(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    """Suspended and resumed before anybody has looked."""
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1))
    return [Edit(when=when, set={"suspend": True}), Edit(when=Point(seen=False), set={"suspend": None})]


def _policy(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1))
    return [Edit(when=when, set={"concurrencyPolicy": chance.pick(_POLICIES)})]


def _faster(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1), seen=False)
    return [Edit(when=when, set={"schedule": chance.pick(("@every 4s", "@every 5s")), "schedules": None})]


def _parameters(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1), seen=chance.often(0.5))
    return [Edit(when=when, set={"parameters": [{"name": "word", "value": f"w{chance.randint(1, 9)}"}]})]


def _bad(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    """A mistake, seen or not, and the mending of it. The schedule goes on meanwhile as it was."""
    mistake = chance.pick(_BAD)
    mended = {
        field: spec.get(field)
        for field in ("schedule", "schedules", "timeZone", "parameters")
        if field in mistake
    }
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1))
    seen = chance.often(0.7)
    return [Edit(when=when, set=mistake), Edit(when=Point(seen=seen, stalled=seen), set=mended)]


def _touch(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1), seen=False)
    return [Edit(when=when, annotate={"example.com/touched": str(chance.randint(1, 9))})]


def _more(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    """More runs than at first, before or after those have been."""
    when = Point(started=chance.randint(1, spec["maxRuns"]))
    return [Edit(when=when, set={"maxRuns": spec["maxRuns"] + 1})]


def _recreate(chance: Chance, spec: dict[str, Any]) -> list[Edit]:
    when = Point(started=chance.randint(0, spec["maxRuns"] - 1), seen=chance.often(0.5))
    return [Edit(when=when, recreate=True)]


_EDITS = (_pause, _blink, _policy, _faster, _parameters, _bad, _touch, _more, _recreate)


def _kill(chance: Chance) -> Kill:
    of = chance.pick((Of.OPERATOR, Of.OPERATOR, Of.WORKER, Of.WORKER, Of.AGENT))
    at = chance.pick(tuple(At))
    if chance.often(0.15):
        server = chance.pick((Who.API_SERVER, Who.TEMPORAL))
        return Kill(who=(server,), of=of, number=_number(chance, of), at=at)
    own = Who.OPERATOR if of is Of.OPERATOR else Who.WORKER
    both = (Who.OPERATOR, Who.WORKER)
    how = chance.pick((How.KILL, How.KILL, How.STOP, How.FREEZE))
    seconds = chance.pick((2.0, 12.0)) if how is How.FREEZE else 0
    relieved = how is How.FREEZE and chance.often(0.5)
    who = both if how is How.KILL and chance.often(0.2) else (own,)
    return Kill(
        who=who, how=how, of=of, number=_number(chance, of), at=at, seconds=seconds, relieved=relieved
    )


def _number(chance: Chance, of: Of) -> int:
    return chance.randint(1, {Of.OPERATOR: 24, Of.WORKER: 12, Of.AGENT: 8}[of])
