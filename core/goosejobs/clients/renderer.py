"""Recipes checked and filled in by a child process, where the worst of them can do no harm."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

from goosejobs.clients.errors import Unavailable
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import FRAME, PreparedRecipe, Problem, RecipeError

_MEMORY_BYTES: Final = 512 * 1024 * 1024
_START_SECONDS: Final = 20.0
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
"""What the child's Python needs of our environment; our secrets are none of a template's business."""

_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
"""Signals that a recipe cannot cause: somebody ended the child."""


class Renderer:
    """One child process, started when first needed and again whenever it has died; one request at a time.

    Args:
        cpu_seconds: Processor time a recipe may take; time on the clock would blame it for a busy machine.
        wall_seconds: Time on the clock after which the child is given up.
        idle_seconds: Time on the clock without a request after which the child is ended, to give its memory
            back; None: never. The next request then waits for a new one.
    """

    def __init__(
        self, *, cpu_seconds: float = 2.0, wall_seconds: float = 20.0, idle_seconds: float | None = None
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._idle_seconds = idle_seconds
        self._child: Process | None = None
        self._turn = asyncio.Lock()
        self._alarm: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def prepare(
        self,
        text: str,
        parameters: Mapping[str, str],
        *,
        base_dir: str | None = None,
        files_root: str | None = None,
    ) -> PreparedRecipe:
        """Make of a recipe the text that goose gets. For the worker: files are read.

        Args:
            text: The recipe, YAML or JSON.
            parameters: The values given to it.
            base_dir: The recipe's folder inside the pool's recipe folder, relative; None if it is not a file.
            files_root: The pool's recipe folder on this machine, absolute; None if it has none.

        Raises:
            RecipeError: The recipe or a value cannot be used; it names all problems found.
            Unavailable: The child could not do its work for a reason outside the recipe.
        """
        answer = await self._ask(
            {
                "text": text,
                "parameters": dict(parameters),
                "base_dir": base_dir,
                "files_root": files_root,
                "check": False,
                "scheduled": False,
            }
        )
        return PreparedRecipe(**answer)

    async def check(
        self,
        text: str,
        parameters: Mapping[str, str],
        *,
        base_dir: str | None = None,
        scheduled: bool = False,
    ) -> str:
        """Do all that prepare() does but reading files. For the operator, which cannot see a pool's folder.

        Args:
            text: As for prepare().
            parameters: As for prepare().
            base_dir: As for prepare().
            scheduled: The recipe's own `schedule` section is to say when it runs.

        Returns:
            That section's cron expression, not read yet; empty when it was not asked for.

        Raises:
            RecipeError: As for prepare().
            Unavailable: As for prepare().
        """
        answer = await self._ask(
            {
                "text": text,
                "parameters": dict(parameters),
                "base_dir": base_dir,
                "files_root": None,
                "check": True,
                "scheduled": scheduled,
            }
        )
        return str(answer["schedule"])

    async def close(self) -> None:
        """End the child. A later request starts another."""
        async with self._turn:
            self._watch_idleness(None)
            await self._end()

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            self._watch_idleness(self._idle_seconds)
            answered = False
            try:
                child = self._child or await self._start()
                answer = await self._exchange(child, request)
                answered = True
            finally:
                if not answered:  # cancelled too: its answer must not be taken for the next one's
                    await self._end()
        if "problems" in answer:
            raise RecipeError(
                [
                    Problem(path, message, StalledReason(reason))
                    for path, message, reason in answer["problems"]
                ]
            )
        return answer

    def _watch_idleness(self, seconds: float | None) -> None:
        """End the child when nothing is asked of it for so long; None: do not."""
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = None if seconds is None else loop.call_later(seconds, self._leave)

    def _leave(self) -> None:
        if self._turn.locked():  # a request takes long
            self._watch_idleness(self._idle_seconds)
        else:
            self._leaving = asyncio.create_task(self.close())

    async def _start(self) -> Process:
        arguments = [str(self._cpu_seconds), str(_MEMORY_BYTES)]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "goosejobs.recipe", *arguments),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
            )
            async with asyncio.timeout(_START_SECONDS):
                await _receive(self._child)
        except (OSError, EOFError, TimeoutError) as error:
            raise Unavailable(
                f"the recipe process does not start: {error or type(error).__name__}"
            ) from error
        return self._child

    async def _exchange(self, child: Process, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._wall_seconds):
                await _send(child, request)
                return await _receive(child)
        except TimeoutError:
            message = f"the recipe process gave no answer within {self._wall_seconds:g} s"
            raise Unavailable(message) from None
        except (EOFError, ConnectionError):
            raise self._death(await child.wait()) from None

    def _death(self, code: int) -> RecipeError | Unavailable:
        """What the way the child died says about the recipe it was working on."""
        if -code in _OUTSIDE:
            return Unavailable(f"the recipe process was ended by {signal.Signals(-code).name}")
        if code == -signal.SIGPROF:
            message = f"rendering took longer than {self._cpu_seconds:g} s: a template loop?"
        elif code == -signal.SIGABRT:
            message = f"rendering took more than {_MEMORY_BYTES // 1024**2} MiB of memory: a template loop?"
        elif code == -signal.SIGSEGV:
            message = "a template is nested too deeply for the template engine"
        else:
            message = f"the recipe makes the template engine fail (exit code {code})"
        return RecipeError([Problem("", message)])

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            child.kill()
        # Shielded: a cancelled caller must not leave a process nobody has waited for.
        await asyncio.shield(child.communicate())


async def _send(child: Process, request: dict[str, Any]) -> None:
    body = json.dumps(request).encode()
    pipe = cast("asyncio.StreamWriter", child.stdin)
    pipe.write(FRAME.pack(len(body)) + body)
    await pipe.drain()


async def _receive(child: Process) -> dict[str, Any]:
    pipe = cast("asyncio.StreamReader", child.stdout)
    head = await pipe.readexactly(FRAME.size)
    answer: dict[str, Any] = json.loads(await pipe.readexactly(FRAME.unpack(head)[0]))
    return answer
