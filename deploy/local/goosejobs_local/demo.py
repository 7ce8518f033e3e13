"""`goosejobs demo`: from nothing to a GooseJob that ran, every step shown as what one would type."""

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from goosejobs_local import local, platform, screens
from goosejobs_local.display import Display
from goosejobs_local.platform import Platform
from goosejobs_local.resolve import Resolver

_EXAMPLES = local.EXAMPLES
_OFTEN = Path(__file__).with_name("demo.yaml")
_END = "jsonpath={.status.completionTime}"
_TWICE = "jsonpath={.status.counts.succeeded}=2"
_RESULT = "jsonpath={.status.lastRun.outcome}: {.status.lastRun.result}"
_TOKENS = "jsonpath={.status.lastRun.tokens}"


class DemoFailed(Exception):
    """The GooseJob did not come to the end that it should; str() is a sentence."""


def run(console: Console) -> None:
    """Show it.

    Raises:
        DemoFailed: A command failed, or the run did not succeed.
        Unresolved: A program cannot be had.
        PartFailed: A part of the platform failed.
    """
    began = time.monotonic()
    with _private_home() as home:
        with Display(console) as display:
            resolver = Resolver(display)
            built = local.start(home, ui=False, report=display, resolver=resolver)
        _say(console, f"Kubernetes, Temporal, operator and worker run ({time.monotonic() - began:.0f} s).")
        _say(console, f"The model that goose asks: {built.state.model}.")
        _show(_Shell(console, built))
    _say(console, f"All of it is stopped and removed again. To keep it running: {screens.program()} up")


def _show(shell: "_Shell") -> None:
    shell.say("A GooseJob that runs once, and what became of it:")
    shell.kubectl("apply", "-f", screens.shown(_EXAMPLES / "hello.yaml"))
    shell.kubectl("wait", "goosejob/hello", f"--for={_END}", "--timeout=120s")
    shell.kubectl("get", "goosejobs")
    result = shell.kubectl("get", "goosejob", "hello", "-o", _RESULT)
    shell.kubectl("get", "goosejob", "hello", "-o", _TOKENS)
    if not result.startswith("Succeeded:"):
        raise DemoFailed(f"the run of hello did not succeed: {result}")
    shell.say("One on a schedule; its clock is in Temporal:")
    shell.kubectl("apply", "-f", screens.shown(_OFTEN))
    shell.kubectl("wait", "goosejob/every-few-seconds", f"--for={_TWICE}", "--timeout=120s")
    shell.kubectl("get", "goosejobs")
    shell.kubectl("delete", "goosejobs", "--all")


class _Shell:
    """Runs commands as people type them, and shows both the command and what it printed."""

    def __init__(self, console: Console, built: Platform) -> None:
        self._console = console
        self._built = built
        self._env = {**os.environ, "KUBECONFIG": str(built.kubeconfig)}

    def say(self, text: str) -> None:
        """A line between the commands."""
        _say(self._console, text)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl; returns what it printed.

        Raises:
            DemoFailed: It ended badly.
        """
        self._console.print(
            f"[bold cyan]$[/] [bold]{escape(shlex.join(['kubectl', *arguments]))}", soft_wrap=True
        )
        program = self._built.kubectl()[0]
        done = subprocess.run(
            [program, *arguments], env=self._env, capture_output=True, text=True, check=False
        )
        text = (done.stdout + done.stderr).rstrip()
        self._console.print(text, markup=False, soft_wrap=True)
        if done.returncode:
            raise DemoFailed(
                f"`kubectl {arguments[0]}` ended with code {done.returncode}; {self._last_words()}"
            )
        return text

    def _last_words(self) -> str:
        ends = [f"end of the {name}'s log:\n{self._built.log_end(name)}" for name in ("operator", "worker")]
        return "\n".join(ends)


@contextmanager
def _private_home() -> Iterator[Path]:
    """A data directory of the demo's own: it neither meets nor disturbs what `goosejobs up` started."""
    home = Path(tempfile.mkdtemp(prefix="goosejobs-demo-"))
    try:
        yield home
    finally:
        with local.undisturbed():
            platform.down(home)
            platform.remove(home)


def _say(console: Console, text: str) -> None:
    console.print(f"\n[green]{escape(text)}", soft_wrap=True)
