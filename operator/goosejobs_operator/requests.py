"""What people ask for by annotation: each new value is answered once, and the status has the answer. Pure.

A value may stay where it is, in a repository for example: it is compared with the one answered last. One that
is there when the object is first seen does nothing, because whoever restores or recreates an object asks for
no run.

A run is noted in the status, with the time that names it, before Temporal is asked for it. Whoever goes on
after a crash finds it there, and asks for the same run under the same id.
"""

from datetime import datetime, timedelta

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status, rfc3339
from goosejobs.model import names
from goosejobs.model.run import Trigger
from goosejobs.model.spec import ConcurrencyPolicy
from goosejobs.model.status import (
    MAX_ACTIVE,
    MAX_MESSAGE,
    MAX_QUEUED,
    MAX_TOKEN,
    Answer,
    GooseJobStatus,
    HandledKill,
    HandledRequests,
    HandledResume,
    HandledRun,
)
from goosejobs_operator import failures
from goosejobs_operator.annotations import is_first_sight, is_token, new_kill, new_token, token_of, value_of
from goosejobs_operator.observe import Observation
from goosejobs_operator.schedule import foreign_pause, paused_by_failures, schedule_id, waiting

SOON_SECONDS = 0.05
"""How soon to go on with a request that is not answered yet."""

FORBID_PATIENCE = timedelta(seconds=10)
"""After so long a run that did not start was skipped, even where no run and no count says so."""

PATIENCE = timedelta(seconds=15)
"""After so long a run that Temporal neither started nor keeps waiting will not start."""

_TOLD_UNSTARTED = (Answer.SKIPPED, Answer.REFUSED)
"""Answers that a run corrects that is there after all: Temporal may have stood still for longer."""

UNPAUSED = "unpaused-in-temporal"
"""What stands for a token where somebody resumed it in Temporal and never asked for it here."""

_NOTHING_TO_KILL = (
    f"No such run is active. Write the id of a run in status.active, or all, into {names.KILL_REQUESTED}; to "
    "end all once more, all: and something new."
)
_MINUTE = timedelta(minutes=1)
_ASK_AGAIN = "ask again with a new value"
_NOT_NEW = "It was there when the GooseJob was first seen, so it did nothing. Another value acts."


def is_pending(obj: Object) -> bool:
    """Whether something is asked for that is not answered yet."""
    handled = _handled(read_status(obj))
    return any(
        (answer is not None and answer.answer is Answer.NOTED)
        or new_token(obj, annotation, answer.token if answer else None)
        for annotation, answer in (
            (names.RUN_REQUESTED, handled.run),
            (names.KILL_REQUESTED, handled.kill),
            (names.RESUME_REQUESTED, handled.resume),
        )
    )


def noted_run(obj: Object) -> HandledRun | None:
    """The run that was asked for and is to be started."""
    run = _handled(read_status(obj)).run
    return run if run and run.answer is Answer.NOTED else None


def run_time(seen: Observation, run: HandledRun) -> datetime | None:
    """The scheduled time of a run that was noted; None when the status was made up by somebody."""
    stem, _, text = (run.workflow_id or "").partition(f"{schedule_id(seen.ref)}-")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if not stem and moment.tzinfo else None


def noted_kills(seen: Observation) -> list[str]:
    """The workflows that are to be asked to end: of this GooseJob only, whoever edited its status."""
    kill = _handled(read_status(seen.obj)).kill
    if kill is None or kill.answer is not Answer.NOTED:
        return []
    ref = seen.ref
    return [id_ for id_ in kill.workflow_ids if names.is_of(id_, ref.namespace, ref.name, ref.uid)]


def empties_queue(seen: Observation) -> bool:
    """Whether runs that wait are to be left out before the active ones end: else they would start then.

    Not while the spec cannot be acted on: nobody could set the schedule right afterwards.
    """
    sound = kills_all(seen) and seen.wanted is not None
    return sound and seen.schedule is not None and waiting(seen.schedule) > 0


def kills_all(seen: Observation) -> bool:
    """Whether all runs are being asked to end."""
    kill = _handled(read_status(seen.obj)).kill
    return kill is not None and kill.answer is Answer.NOTED and _is_all(kill.token)


def answered(seen: Observation) -> HandledRequests:
    """What `status.handledRequests` is to say, after the steps of the plan were carried out."""
    handled = _handled(read_status(seen.obj))
    if not seen.deleting:
        handled = HandledRequests(
            run=answer_to_run(seen), kill=_answer_to_kill(seen), resume=_answer_to_resume(seen)
        )
    return handled


def first_seen(obj: Object) -> HandledRequests:
    """The same while the object cannot be looked at: only what is there from the start is answered."""
    handled = _handled(read_status(obj))
    return HandledRequests(
        run=_run_at_first(obj, handled),
        kill=_kill_at_first(obj, handled),
        resume=_resume_at_first(obj, handled),
    )


def _run_at_first(obj: Object, handled: HandledRequests) -> HandledRun | None:
    token = _at_first_sight(obj, names.RUN_REQUESTED)
    return handled.run or (_said(token, Answer.NOT_NEW, _NOT_NEW) if token else None)


def _kill_at_first(obj: Object, handled: HandledRequests) -> HandledKill | None:
    token = _at_first_sight(obj, names.KILL_REQUESTED)
    return handled.kill or (
        HandledKill(token=token, answer=Answer.NOT_NEW, message=_NOT_NEW) if token else None
    )


def _resume_at_first(obj: Object, handled: HandledRequests) -> HandledResume | None:
    token = _at_first_sight(obj, names.RESUME_REQUESTED)
    return handled.resume or (
        HandledResume(token=token, answer=Answer.NOT_NEW, message=_NOT_NEW) if token else None
    )


def _at_first_sight(obj: Object, annotation: str) -> str:
    return token_of(obj, annotation) if is_first_sight(obj) else ""


def _answer_to_kill(seen: Observation) -> HandledKill | None:
    before = _kill_at_first(seen.obj, _handled(read_status(seen.obj)))
    if before and before.answer is Answer.NOTED:
        if empties_queue(seen):
            return before
        waits = f" They end once pool {_pool(seen)} has a worker." if seen.workers is False else ""
        message = f"Asked {len(before.workflow_ids)} run(s) to end.{waits}"
        return before.model_copy(update={"answer": Answer.CANCELLED, "message": message})
    token = new_kill(seen.obj)
    if not token:
        return before
    ids = _to_kill(seen, token)
    if not ids:
        return HandledKill(token=token, answer=Answer.REFUSED, message=_NOTHING_TO_KILL)
    return HandledKill(token=token, answer=Answer.NOTED, workflow_ids=ids[:MAX_ACTIVE])


def _to_kill(seen: Observation, token: str) -> list[str]:
    if _is_all(token):
        return list(seen.open_runs)
    wanted = names.run_workflow_id(schedule_id(seen.ref), token.partition(":")[0])
    return [id_ for id_ in seen.open_runs if id_ == wanted]


def _is_all(token: str) -> bool:
    return token.partition(":")[0] == "all"


def _answer_to_resume(seen: Observation) -> HandledResume | None:
    """Noted until its schedule is seen going on; then earlier failures count no more."""
    status = read_status(seen.obj)
    before = _resume_at_first(seen.obj, _handled(status))
    token = new_token(seen.obj, names.RESUME_REQUESTED, before.token if before else None)
    noted = before is not None and before.answer is Answer.NOTED
    why, paused = _cannot_resume(seen), paused_by_failures(seen.schedule)
    if before and noted:
        if paused and not why:
            return before
        word = Answer.REFUSED if why else Answer.RESUMED
        return before.model_copy(update={"answer": word, "message": why or _other_pause(seen)})
    if not token:
        return _unpaused_outside(seen, before)
    if not why and not paused and not failures.is_reached(seen.obj):
        why = f"It is not paused after failures. {_other_pause(seen)}".strip()
    counted = before.failed if before else 0
    if why:
        return HandledResume(token=token, answer=Answer.REFUSED, failed=counted, message=why[:MAX_MESSAGE])
    return HandledResume(token=token, answer=Answer.NOTED, failed=status.counts.failed)


def _unpaused_outside(seen: Observation, before: HandledResume | None) -> HandledResume | None:
    """Note that earlier failures count no more; the answer to an annotation stays the answer to it."""
    if not (failures.unpaused_outside(seen.obj, seen.schedule) and failures.is_reached(seen.obj)):
        return before
    return HandledResume(
        token=before.token if before else UNPAUSED,
        answer=Answer.RESUMED,
        failed=read_status(seen.obj).counts.failed,
        message=f"It was unpaused in Temporal. {_other_pause(seen)}".strip(),
    )


def _other_pause(seen: Observation) -> str:
    if (seen.obj.get("spec") or {}).get("suspend") is True:
        return "No run starts while spec.suspend is true."
    note = foreign_pause(seen.schedule) if seen.schedule else None
    return (
        f"No run starts until it is unpaused in Temporal, where somebody paused it ({note})." if note else ""
    )


def _cannot_resume(seen: Observation) -> str:
    if seen.refused:
        return f"It is Stalled ({seen.refused.reason}: {seen.refused.message}): mend it, then {_ASK_AGAIN}."
    if seen.waiting:
        return f"Its recipe cannot be read yet ({seen.waiting}): {_ASK_AGAIN} later."
    return ""


def _pool(seen: Observation) -> str:
    return seen.spec.execution.pool if seen.spec else "default"


def answer_to_run(seen: Observation) -> HandledRun | None:
    """The answer to `run-requested`, as far as it is known by now."""
    status = read_status(seen.obj)
    before, token = _run_at_first(seen.obj, _handled(status)), token_of(seen.obj, names.RUN_REQUESTED)
    if before and before.answer is Answer.NOTED:
        return _outcome(seen, before)
    if before and before.answer in _TOLD_UNSTARTED and _is_known(seen, before):
        before = before.model_copy(update={"answer": Answer.STARTED, "message": ""})
    if not token or (before and before.token == token):
        return before
    if why := _refusal(seen) or _no_room(seen):
        return _said(token, Answer.REFUSED, why)
    if seen.schedule is None:
        return before  # it is being created
    moment = _free_second(seen, before)
    if moment is None:
        why = "Its schedule is due at every second, so a run cannot be told from those: change the schedule."
        return _said(token, Answer.REFUSED, why)
    workflow_id = f"{schedule_id(seen.ref)}-{rfc3339(moment)}"
    return HandledRun(token=token, answer=Answer.NOTED, workflow_id=workflow_id, message="It is starting.")


def _refusal(seen: Observation) -> str:
    value = value_of(seen.obj, names.RUN_REQUESTED)
    if value and not is_token(value):
        return (
            f"{names.RUN_REQUESTED} has to be a token of at most {MAX_TOKEN} characters, which are letters, "
            "digits and . _ : + -, such as 2026-11-21T08:00."
        )
    if seen.runs_once:
        return (
            "spec.runOnce is true, and it runs only once: apply it under another name to have it run again."
        )
    if seen.refused:
        return f"It is Stalled ({seen.refused.reason}: {seen.refused.message}): mend it, then {_ASK_AGAIN}."
    if seen.waiting:
        return f"Its recipe cannot be read yet ({seen.waiting}): {_ASK_AGAIN} later."
    if seen.over:
        return "It is Completed: apply it under another name, or mend spec.endTime or spec.maxRuns."
    return ""


def _no_room(seen: Observation) -> str:
    """Why one run more may not wait; asked only before it does, for it would count itself."""
    waits = waiting(seen.schedule) if seen.schedule else 0
    if waits >= MAX_QUEUED:
        return f"{waits} runs wait already, and no more can: {_ASK_AGAIN} when some have started."
    limit, started = (seen.request.max_runs, seen.wanted.started) if seen.request and seen.wanted else (0, 0)
    if waits and 0 < limit <= started + waits:
        return f"Of {limit} runs (spec.maxRuns) {started} have started, and {waits} wait: mend spec.maxRuns."
    return ""


def _outcome(seen: Observation, run: HandledRun) -> HandledRun:
    """What became of a run that was noted; noted still while that cannot be told."""
    if seen.asked_run is not None or _is_known(seen, run):
        return run.model_copy(update={"answer": Answer.STARTED, "message": ""})
    moment = run_time(seen, run)
    if moment is None:
        return _said(run.token, Answer.REFUSED, f"Somebody edited the status: {_ASK_AGAIN}.")
    if not seen.triggered:
        why = _refusal(seen)
        return _said(run.token, Answer.REFUSED, why) if why else run
    return _unstarted(seen, run, seen.now - moment)


def _is_known(seen: Observation, run: HandledRun) -> bool:
    """Whether the status knows the run, though Temporal may know it no more."""
    status = read_status(seen.obj)
    known = {run.id for run in status.active} | {run.id for run in status.records}
    moment = run_time(seen, run)
    return moment is not None and names.run_id(moment) in known


def _unstarted(seen: Observation, run: HandledRun, since: timedelta) -> HandledRun:
    schedule = seen.schedule
    if schedule and schedule.buffered:
        message = "It starts after the runs before it, as spec.concurrencyPolicy says."
        return run.model_copy(update={"answer": Answer.QUEUED, "message": message})
    forbidden = seen.request is not None and seen.request.concurrency_policy is ConcurrencyPolicy.FORBID
    if schedule and forbidden and (schedule.running or _has_skipped(seen) or since >= FORBID_PATIENCE):
        which = schedule.running[0] if schedule.running else "one that has ended since"
        why = f"A run was active ({which}), and spec.concurrencyPolicy is Forbid: {_ASK_AGAIN} after it."
        return run.model_copy(update={"answer": Answer.SKIPPED, "message": why[:MAX_MESSAGE]})
    if since >= PATIENCE:
        message = f"Temporal took the request, and started no run: {_ASK_AGAIN}."
        return run.model_copy(update={"answer": Answer.REFUSED, "message": message})
    return run


def _has_skipped(seen: Observation) -> bool:
    """Whether Temporal has left out a run since the status was written."""
    counts = read_status(seen.obj).counts
    return seen.schedule is not None and seen.schedule.counted.skipped > counts.skipped


def _free_second(seen: Observation, before: HandledRun | None) -> datetime | None:
    """A time for a run that is nobody else's: not one at which the schedule is due, nor an earlier run's."""
    taken = set(seen.schedule.workflow_ids if seen.schedule else ())
    last = run_time(seen, before) if before else None
    moment = seen.now.replace(microsecond=0)
    if last is not None and moment <= last < moment + _MINUTE:
        moment = last + timedelta(seconds=1)
    for _ in range(60):
        due = seen.request is None or seen.request.trigger_at(moment) is not Trigger.MANUAL
        if not due and f"{schedule_id(seen.ref)}-{rfc3339(moment)}" not in taken:
            return moment
        moment += timedelta(seconds=1)
    return None


def _handled(status: GooseJobStatus) -> HandledRequests:
    return status.handled_requests or HandledRequests()


def _said(token: str, answer: Answer, message: str) -> HandledRun:
    return HandledRun(token=token, answer=answer, message=message[:MAX_MESSAGE])
