"""What must hold of a story: when its edits are due, how it ends, what never happens. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from support.objects import Object, condition, is_true
from support.stories.diary import Line
from support.stories.model import End, Job, Point, Story

_TAKEN = {"Started", "Queued"}


def counts_of(obj: Object | None) -> Counter[str]:
    """`status.counts` of runs that have ended."""
    counts = ((obj or {}).get("status") or {}).get("counts") or {}
    return Counter({kind: counts.get(kind, 0) for kind in ("succeeded", "failed", "killed")})


def runs_of(obj: Object | None) -> int:
    """How many runs have ended."""
    return counts_of(obj).total()


def has_come(when: Point, obj: Object | None, agents: int) -> bool:
    """Whether it is time for an edit.

    Args:
        when: The time.
        obj: The GooseJob.
        agents: How many of its runs have got as far as their agent.
    """
    if obj is None:
        return False
    status = obj.get("status") or {}
    ended = runs_of(obj)
    handled = (status.get("handledRequests") or {}).get(when.answered) or {}
    return all(
        (
            not when.seen or bool(status.get("observedGeneration") == obj["metadata"]["generation"]),
            ended >= when.ended,
            ended + len(status.get("active") or []) >= when.started,
            agents >= when.agents,
            not when.answered or handled.get("answer", "Noted") != "Noted",
            not when.paused or _is_paused(obj),
            not when.stalled or is_true(obj, "Stalled"),
        )
    )


def _is_paused(obj: Object) -> bool:
    found = condition(obj, "Suspended")
    return is_true(obj, "Suspended") and found is not None and found["reason"] == "PausedAfterFailures"


def has_ended(job: Job, obj: Object | None) -> bool:
    """Whether a GooseJob has come to its end."""
    if obj is None or job.end is End.GONE:
        return obj is None and job.end is End.GONE
    status = obj.get("status") or {}
    ready = condition(obj, "Ready")
    if not is_true(obj, "Ready") or ready is None or status.get("active"):
        return False
    handled = status.get("handledRequests") or {}
    match job.end:
        case End.COMPLETED:
            return ready["reason"] == "Completed" and runs_of(obj) >= int(job.final["maxRuns"])
        case End.ONCE:
            return "completionTime" in status and ready["reason"] == "Completed"
        case End.ASKED:
            return runs_of(obj) >= job.asked_runs and _is_answered(handled)
        case End.PAUSED:
            resumed = (handled.get("resume") or {}).get("answer") == "Resumed"
            return _is_paused(obj) and (resumed or not job.resumed)
    raise AssertionError(job.end)


def _is_answered(handled: dict[str, Any]) -> bool:
    return all(each["answer"] != "Noted" for each in handled.values())


def is_quiet(job: Job, obj: Object | None) -> bool:
    """Whether its workers are known to be there again; the last thing to come right after a kill."""
    return job.end is End.GONE or (obj is not None and has_ended(job, obj) and _has_workers(job, obj))


def _has_workers(job: Job, obj: Object) -> bool:
    return job.end is End.ONCE or is_true(obj, "WorkersAvailable")


def end_of(job: Job, obj: Object | None) -> dict[str, Any]:
    """What of the end has to be the same however often somebody died.

    Left out is what follows from when things happened: times, ids, the number of attempts (a lost worker
    costs one), due times that were skipped or missed meanwhile, and messages, which quote those. A run that
    `Replace` ends, and how many runs fail until the operator sees it, depend on it, too (`Job.fixed`).
    """
    if obj is None:
        return {}
    status = obj["status"]
    handled = status.get("handledRequests") or {}
    end: dict[str, Any] = {
        "generation": (obj["metadata"]["generation"], status["observedGeneration"]),
        "finalizers": obj["metadata"].get("finalizers"),
        "phase": status["phase"],
        "displaySchedule": status.get("displaySchedule"),
        "scheduled": "scheduleId" in status,
        "next": bool(status.get("nextScheduleTime")),
        "recipe": status.get("recipeDigest"),
        "conditions": sorted((c["type"], c["status"], c["reason"]) for c in status["conditions"]),
        "requests": {kind: (said["token"], _word(said)) for kind, said in handled.items()},
        "once": "completionTime" in status,
        "active": status.get("active") or [],
        "last": _last(status),
    }
    if not any("schedule" in edit.set for edit in job.edits):
        # A run that waits for the one before it starts with the schedule of then: at a time at which that
        # is not due, it is told as one that was asked for.
        end["trigger"] = (status.get("lastRun") or {}).get("trigger")
    if job.fixed:
        end["counts"] = dict(counts_of(obj))
        end["recent"] = sorted((run["outcome"], run["reason"]) for run in status.get("recentRuns") or [])
        end["times"] = sorted(name for name in status if name.startswith("last") and name.endswith("Time"))
    return end


def differences(calm: Mapping[str, Mapping[str, Any]], wild: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is not the same at the end, by GooseJob and part; empty when all is."""
    return [
        f"{name}: {part} is {wild[name].get(part)}, undisturbed {calm[name].get(part)}"
        for name in calm
        for part in sorted({*calm[name], *wild[name]})
        if wild[name].get(part) != calm[name].get(part)
    ]


def _last(status: dict[str, Any]) -> tuple[str, str] | None:
    run = status.get("lastRun")
    return (run["outcome"], run["reason"]) if run else None


def _word(said: dict[str, Any]) -> str:
    """A run that is asked for starts, or waits for the moment that the workflow before it needs to end."""
    return "taken" if said["answer"] in _TAKEN else str(said["answer"])


def check_limits(job: Job, obj: Object | None) -> None:
    """No more runs than the spec allows, none less than it asks for."""
    runs = runs_of(obj)
    if job.end is End.COMPLETED:
        assert runs == job.final["maxRuns"], f"{job.name}: {runs} runs, of {job.final['maxRuns']}"
    elif job.end is End.ONCE:
        assert runs == 1, f"{job.name}: {runs} runs, and it runs once"
    elif job.end is End.ASKED:
        assert runs == job.asked_runs, f"{job.name}: {runs} runs, and {job.asked_runs} were asked for"


def check_diary(story: Story, diary: dict[str, list[Line]]) -> None:
    """No attempt began twice (I1), and only `Allow` starts a run beside another one (I2, I3)."""
    for job in story.jobs:
        lines = diary[job.name]
        starts = Counter((line.life, line.run, line.attempt) for line in lines if line.word == "start")
        twice = [which for which, number in starts.items() if number > 1]
        assert not twice, f"{job.name}: attempts that began twice: {twice}"
        overlaps = [line for line in lines if line.word == "overlap" and line.policy != "Allow"]
        assert not overlaps, f"{job.name}: somebody else was alive at the start of {overlaps}"
