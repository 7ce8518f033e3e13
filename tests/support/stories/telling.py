"""Tells a story: applies its GooseJobs, makes its edits when their time has come, and waits for its end."""

import asyncio
import codecs
import contextlib
import functools
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from subprocess import CompletedProcess
from typing import Any

from temporalio.client import Client

from goosejobs.model import names
from support import schedules
from support.objects import Object, recipe
from support.rig import Rig
from support.stories import endings
from support.stories.diary import Diary, new_diary
from support.stories.model import Job, Kill, Point, Story, changed
from support.stories.stage import Stage
from support.waiting import eventually

_PATIENCE = 300.0
"""Seconds for each thing that is waited for: a lost worker costs up to 15, a frozen one as long as it is."""
_Done = CompletedProcess[str]
_DEVELOPER = {"type": "builtin", "name": "developer"}


@dataclass
class Told:
    """How a story went.

    Attributes:
        ends: What is compared, by GooseJob.
        objects: The GooseJobs at the end; None of one that was deleted.
        uids: All lives of each GooseJob, oldest first, and when each began.
        events: All that a watch has told, in order, as `support.lifecycle_rules` takes it; by GooseJob.
        workflows: Of each uid, the runs that Temporal knows: each execution's workflow id.
        happened: The kills whose time came.
    """

    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, Object | None] = field(default_factory=dict)
    uids: dict[str, list[str]] = field(default_factory=dict)
    events: dict[str, list[Object]] = field(default_factory=dict)
    workflows: dict[str, list[str]] = field(default_factory=dict)
    happened: list[Kill] = field(default_factory=list)


class Teller:
    """Tells one story once.

    Args:
        rig: The platform.
        story: The story.
        kills: Those of its kills that happen.
    """

    def __init__(self, rig: Rig, story: Story, kills: tuple[Kill, ...]) -> None:
        self._rig, self._story, self._kills = rig, story, kills
        self.namespace = f"s-{uuid.uuid4().hex[:8]}"
        self._pool = self.namespace
        self._latest: dict[str, Object] = {}
        self._alive: set[str] = set()
        self.told = Told(
            uids={job.name: [] for job in story.jobs}, events={job.name: [] for job in story.jobs}
        )

    async def tell(self) -> Told:
        """From the first apply to the end, and back to an empty stage."""
        await self._kubectl("create", "namespace", self.namespace)
        with new_diary() as diary:
            for job in self._story.jobs:
                diary.add(job.name)
            stage = Stage(self._rig, self.namespace, self._pool, diary, self._kills)
            async with stage.open(), self._watching():
                try:
                    async with asyncio.TaskGroup() as lives:
                        for job in self._story.jobs:
                            lives.create_task(self._live(job, diary))
                    self.told.happened = stage.happened
                    await self._note_end(diary)
                except BaseException as error:
                    error.add_note(f"{stage.report()}\n{self._last_seen()}")
                    raise
        await self._kubectl("delete", "namespace", self.namespace, "--wait=false")
        return self.told

    def _now(self, job: Job) -> Object | None:
        """The GooseJob as it was last seen; None while it is deleted."""
        return self._latest[self.told.uids[job.name][-1]] if job.name in self._alive else None

    async def _live(self, job: Job, diary: Diary) -> None:
        """All that becomes of one GooseJob."""
        spec, notes = job.spec, dict[str, str]()
        await self._apply(job, spec, notes, diary)
        for edit in job.edits:
            await eventually(
                functools.partial(self._is_time, job, edit.when, diary),
                timeout=_PATIENCE,
                message=f"{job.name}: the time for {edit!r} has not come",
            )
            spec, notes = changed(spec, edit.set), {**notes, **edit.annotate}
            if edit.delete or edit.recreate:
                await self._delete(job)
            if edit.recreate:
                notes = {}
            if not edit.delete:
                await self._apply(job, spec, notes, diary)
        await eventually(
            lambda: endings.has_ended(job, self._now(job)),
            timeout=_PATIENCE,
            message=f"{job.name} has not ended as {job.end}",
        )

    def _last_seen(self) -> str:
        return "\n".join(
            f"{job.name}: {json.dumps(obj.get('status'))}"
            for job in self._story.jobs
            if (obj := self._now(job))
        )

    def _is_time(self, job: Job, when: Point, diary: Diary) -> bool:
        life = len(self.told.uids[job.name])
        agents = {line.run for line in diary.lines(job.name) if (line.word, line.life) == ("start", life)}
        return endings.has_come(when, self._now(job), len(agents))

    async def _apply(self, job: Job, spec: dict[str, Any], notes: dict[str, str], diary: Diary) -> None:
        fresh = job.name not in self._alive
        life = len(self.told.uids[job.name]) + (1 if fresh else 0)
        body = self._manifest(job, spec, notes, diary, life)
        applied = await self._kubectl(
            "apply", "-n", self.namespace, "-o", "json", "-f", "-", body=json.dumps(body)
        )
        obj = json.loads(applied)
        self._see(obj)  # the watch tells it a moment later, or did so a moment ago
        if fresh:
            self.told.uids[job.name].append(obj["metadata"]["uid"])
            self._alive.add(job.name)

    def _manifest(
        self, job: Job, spec: dict[str, Any], notes: dict[str, str], diary: Diary, life: int
    ) -> Object:
        """The whole object. Its recipe is the same in each telling; what differs comes in by parameters."""
        takes = [
            {"key": key, "input_type": "string", "requirement": "required", "description": "d"}
            for key in ("place", "agent")
        ]
        takes.append({**takes[0], "key": "word", "requirement": "optional", "default": "none"})
        prompt = f"{{{{ place }}}} {job.name} {{{{ agent }}}} {{{{ word }}}}\n{job.prompt}"
        variables = {
            "STORY_LIFE": life,
            "STORY_POLICY": spec.get("concurrencyPolicy", "Forbid"),
            "STORY_SECONDS": job.seconds,
        }
        return {
            "apiVersion": "goosejobs.dev/v1alpha1",
            "kind": "GooseJob",
            "metadata": {"name": job.name, "annotations": notes},
            "spec": {
                **spec,
                "recipe": {"inline": recipe(prompt, extensions=[_DEVELOPER], parameters=takes)},
                "parameters": [
                    {"name": "place", "value": f"{self.namespace}/{life}"},
                    {"name": "agent", "value": str(diary.agent)},
                    *spec.get("parameters", ()),
                ],
                "execution": {
                    "pool": self._pool,
                    "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
                },
            },
        }

    async def _delete(self, job: Job) -> None:
        await self._kubectl(
            "delete", "gj", "-n", self.namespace, job.name, "--wait=false", "--ignore-not-found"
        )

        gone: Callable[[], bool | Awaitable[bool]] = functools.partial(self._is_gone, job)
        await eventually(gone, timeout=_PATIENCE, message=f"{job.name} was deleted and does not go")
        self._alive.discard(job.name)

    async def _is_gone(self, job: Job) -> bool:
        left = await self._kubectl("get", "gj", "-n", self.namespace, "-o", "name")
        return f"/{job.name}\n" not in left

    async def _note_end(self, diary: Diary) -> None:
        """What stands there at the end; then everything goes, and nothing is left."""
        client = await schedules.connect(self._rig.temporal_address)
        for job in self._story.jobs:
            for uid in self.told.uids[job.name]:
                await self._agree(client, job, uid)
        await eventually(self._is_quiet, timeout=_PATIENCE, message="the story does not come to rest")
        for job in self._story.jobs:
            obj = self._now(job)
            self.told.objects[job.name] = obj
            self.told.ends[job.name] = endings.end_of(job, obj)
        endings.check_diary(self._story, {job.name: diary.lines(job.name) for job in self._story.jobs})
        for job in self._story.jobs:
            await self._delete(job)
        assert not diary.alive(), f"alive after all: {diary.alive()}"
        for name, uids in self.told.uids.items():
            for uid in uids:
                id_ = names.schedule_id(self.namespace, name, uid)
                assert await schedules.schedule(client, id_) is None, f"{id_} is left in Temporal"

    def _is_quiet(self) -> bool:
        return all(endings.is_quiet(job, self._now(job)) for job in self._story.jobs)

    async def _agree(self, client: Client, job: Job, uid: str) -> None:
        """Temporal's own account of the runs, by its index, which lags: each ran once, and is on record."""
        query = f"{names.UID_ATTRIBUTE} = '{uid}' AND WorkflowType = '{names.WORKFLOW_TYPE}'"

        async def known() -> bool:
            found = [run.id async for run in client.list_workflows(query)]
            obj = self._latest[uid]
            told = endings.runs_of(obj) if obj is self._now(job) else len(found)
            assert len(found) == told, f"the record tells {told} runs, and Temporal {found}"
            self.told.workflows[uid] = found
            return True

        agreed: Callable[[], bool | Awaitable[bool]] = known
        await eventually(agreed, timeout=_PATIENCE, message=job.name)
        found = self.told.workflows[uid]
        assert len(set(found)) == len(found), f"{job.name}: a workflow ran twice: {found}"

    async def _kubectl(self, *arguments: str, body: str | None = None) -> str:
        """kubectl, again and again while the API server is away."""

        async def call() -> _Done:
            return await asyncio.to_thread(self._rig.kubectl, *arguments, input=body)

        done: Callable[[], _Done | Awaitable[_Done]] = call
        return (await eventually(done, timeout=_PATIENCE)).stdout

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """See all that becomes of the GooseJobs."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        for number in itertools.count():
            process = await asyncio.create_subprocess_exec(
                *self._rig.platform.kubectl(
                    "get", "gj", "-n", self.namespace, "-w", "-o", "json", "--output-watch-events"
                ),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                assert process.stdout is not None
                await self._read(process.stdout, again=number > 0)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def _read(self, stream: asyncio.StreamReader, *, again: bool) -> None:
        text, decoder, utf8 = "", json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
        while piece := await stream.read(1 << 16):
            text += utf8.decode(piece)  # which may end in the middle of a character
            while text := text.lstrip():
                try:
                    event, end = decoder.raw_decode(text)
                except ValueError:
                    break  # there is more to come
                text = text[end:]
                self._note(event, again=again)

    def _note(self, event: Object, *, again: bool) -> None:
        """A watch that comes back begins with what is there now: known already, or after a gap."""
        obj = event["object"]
        events = self.told.events[obj["metadata"]["name"]]
        known = [
            each["object"] for each in events if each["object"]["metadata"]["uid"] == obj["metadata"]["uid"]
        ]
        self._see(obj)
        if event["type"] == "ADDED" and known:
            if _version(obj) <= _version(known[-1]):
                return
            event = {**event, "type": "MODIFIED"}
        events.append({**event, "gap": True} if again else event)

    def _see(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if _version(obj) >= _version(self._latest.get(uid)):
            self._latest[uid] = obj


def _version(obj: Object | None) -> int:
    return int(obj["metadata"]["resourceVersion"]) if obj else 0
