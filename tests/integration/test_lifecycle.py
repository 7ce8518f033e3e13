"""A GooseJob's life as a person sees it, through kubectl alone: each line that it prints of it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.gate import Gate
from support.objects import Object, goosejob
from support.rig import Rig

Eventually = Callable[..., Any]

AGO = r"\d+[smh](\d+s)?"
SHORT = ["NAME", "SCHEDULE", "PHASE", "LAST-RUN", "LAST", "NEXT", "AGE"]
WIDE = [*SHORT, "TIMEZONE", "POOL", "TOKENS", "REASON", "MESSAGE"]
ZONE = {"TIMEZONE": "Etc/UTC"}
YEARLY = {"SCHEDULE": "0 0 1 1 *", "NEXT": r"\d{4}-01-01T00:00:00Z"}
SCHEDULED = {"MESSAGE": r"Temporal starts its runs when they are due\."}
SUSPENDED = {"NEXT": "", "MESSAGE": "spec.suspend is true: no new run starts."}
SUCCEEDED = {"LAST-RUN": "Succeeded", "LAST": AGO, "TOKENS": r"\d+", "REASON": "Completed"}
RUN = "goosejobs.dev/run-requested"


class Terminal:
    """kubectl, and what it prints of the GooseJobs of one namespace."""

    def __init__(self, rig: Rig, eventually: Eventually) -> None:
        self.rig, self._eventually = rig, eventually

    def __call__(self, *arguments: str, **more: Any) -> str:
        return str(self.rig.kubectl(*arguments, **more).stdout)

    def apply(self, obj: Object) -> None:
        self("apply", "-f", "-", input=json.dumps(obj))

    def patch(self, name: str, **spec: Any) -> None:
        self("patch", "goosejob", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def line(self, name: str, *flags: str) -> dict[str, str]:
        """What stands under each heading; kubectl fills columns with blanks."""
        header, row = self("get", "goosejobs", name, *flags).splitlines()
        starts = [match.start() for match in re.finditer(r"\S+", header)]
        ends = [*starts[1:], None]
        return {
            header[a:b].strip(): row[a:b].strip().replace("<none>", "")
            for a, b in zip(starts, ends, strict=True)
        }

    async def prints(self, name: str, *parts: dict[str, str], **columns: str) -> None:
        """Wait until both forms of the line are as the patterns say, which leave no column out.

        A column that is not given is empty.
        """
        wanted = dict.fromkeys(WIDE, "") | {"NAME": name, "AGE": AGO, "POOL": "default"}
        for part in (*parts, {key.replace("_", "-"): value for key, value in columns.items()}):
            wanted |= part

        def both() -> bool:
            for flags, shown in ((("-o", "wide"), WIDE), ((), SHORT)):
                line = self.line(name, *flags)
                assert list(line) == shown
                for key in shown:
                    assert re.fullmatch(_escaped(wanted[key], key), line[key]), f"{key}: {line}"
            return True

        await self._eventually(both)


def _escaped(pattern: str, key: str) -> str:
    return re.escape(pattern) if key == "SCHEDULE" else pattern


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture
def terminal(rig: Rig, eventually: Eventually) -> Terminal:
    return Terminal(rig, eventually)


@pytest.fixture
def start() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def test_each_line_that_kubectl_prints_of_a_life(
    rig: Rig, terminal: Terminal, start: ExitStack
) -> None:
    gate = Gate(rig.home)
    job = goosejob(
        "walk",
        schedule="0 0 1 1 *",
        timeZone="Etc/UTC",
        concurrencyPolicy="Allow",  # a run's workflow ends a moment after its record stands
        recipe={"inline": gate.recipe},
    )
    terminal.apply(job)
    await terminal.prints("walk", ZONE, PHASE="Pending")

    operator = start.enter_context(rig.start_operator())
    assert operator.alive
    await terminal.prints("walk", ZONE, YEARLY, SCHEDULED, PHASE="Active")

    terminal("annotate", "goosejob", "walk", f"{RUN}=first")  # no worker yet: it waits, and is not running
    terminal(
        "wait", "--for=jsonpath={.status.handledRequests.run.answer}=Started", "gj/walk", "--timeout=90s"
    )
    await terminal.prints("walk", ZONE, YEARLY, SCHEDULED, PHASE="Active")
    worker = start.enter_context(rig.start_worker())
    await terminal.prints("walk", ZONE, YEARLY, SCHEDULED, PHASE="Running")
    gate.open()
    await terminal.prints("walk", ZONE, YEARLY, SCHEDULED, SUCCEEDED, PHASE="Active")

    gate.shut()
    terminal.patch("walk", suspend=True)
    await terminal.prints("walk", ZONE, SUSPENDED, SUCCEEDED, PHASE="Paused", SCHEDULE="0 0 1 1 *")
    terminal("annotate", "goosejob", "walk", "--overwrite", f"{RUN}=second")
    await terminal.prints("walk", ZONE, SUSPENDED, SUCCEEDED, PHASE="Running", SCHEDULE="0 0 1 1 *")
    gate.open()
    await terminal.prints("walk", ZONE, SUSPENDED, SUCCEEDED, PHASE="Paused", SCHEDULE="0 0 1 1 *")

    terminal.patch("walk", suspend=False, schedule="0 0 30 2 *")
    stays = {"MESSAGE": r"spec\.schedule: .* Until this is mended, its schedule stays paused\."}
    await terminal.prints("walk", ZONE, stays, SUCCEEDED, PHASE="Invalid", SCHEDULE="0 0 30 2 *")

    terminal.patch("walk", schedule="@every 2s", maxRuns=3, recipe={"inline": {"prompt": "stub: status 401"}})
    await terminal.prints(
        "walk",
        ZONE,
        PHASE="Completed",
        SCHEDULE="@every 2s",
        LAST_RUN="Failed",
        LAST=AGO,
        TOKENS=r"\d*",
        REASON="ProviderAuth",
        MESSAGE=r"All runs of spec\.maxRuns have started: nothing is due any more\.",
    )

    hangs = goosejob("hangs", "stub: hang")
    once = {"SCHEDULE": "once"}
    terminal.apply(hangs)
    await terminal.prints(
        "hangs",
        once,
        PHASE="Running",
        MESSAGE="Its one run has started; changes of the spec do not reach it.",
    )
    worker.freeze()  # nobody can end the run
    terminal("delete", "goosejob", "hangs", "--wait=false")
    await terminal.prints(
        "hangs",
        once,
        PHASE="Terminating",
        MESSAGE=r"Waiting for 1 run\(s\) to end: goosejob/default/hangs/.*",
    )
    worker.thaw()
    terminal("wait", "--for=delete", "goosejob/hangs", "--timeout=300s")
    terminal("delete", "goosejob", "walk", "--timeout=300s")
    assert terminal("get", "goosejobs") == ""
