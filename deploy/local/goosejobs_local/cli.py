"""The command line: `goosejobs up | down | status | logs | demo | build`."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from goosejobs_local import demo as demonstration
from goosejobs_local import local, platform, processes, screens
from goosejobs_local.commands import Cancelled
from goosejobs_local.converge import PartFailed
from goosejobs_local.debian import NotDebian
from goosejobs_local.display import Display
from goosejobs_local.make import Unresolved
from goosejobs_local.network import NoneFree
from goosejobs_local.resolve import Resolver
from goosejobs_local.sandbox import SandboxFailed

app = typer.Typer(
    name="goosejobs",
    help="GooseJobs on this machine: Kubernetes' control plane, Temporal, operator and worker as processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)
_FOLLOW_SECONDS = 0.2
_INTERRUPTED = 130
_KNOWN = (
    Unresolved, local.NoNode, NoneFree, NotDebian, SandboxFailed, demonstration.DemoFailed, OSError,
)  # fmt: skip
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _sentences() -> Iterator[None]:
    """Let people see sentences, not tracebacks, and be ended by SIGTERM and SIGHUP as by Ctrl-C."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
    try:
        yield
    except (KeyboardInterrupt, Cancelled):
        _errors.print("Interrupted: what this command started is stopped.")
        raise typer.Exit(_INTERRUPTED) from None
    except PartFailed as error:
        screens.part_failed(_errors, error)
        raise typer.Exit(1) from None
    except _KNOWN as error:
        screens.failed(_errors, str(error))
        raise typer.Exit(1) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command()
def up(
    ui: Annotated[bool, typer.Option("--ui", help="Serve Temporal's web pages, too.")] = False,
    node: Annotated[bool, typer.Option("--node", help="Run a node, too: pods run. Needs root.")] = False,
) -> None:
    """Start everything, or what is missing of it, and say how to use it."""
    with _sentences():
        home = local.home()
        with Display(_console) as display, platform.lock(home, display):
            built = local.start(home, ui=ui, node=node, report=display, resolver=Resolver(display))
        screens.is_up(_console, built)


@app.command()
def down() -> None:
    """Stop everything and remove its data; downloaded and built programs stay in the cache."""
    with _sentences():
        home = local.home()
        with Display(_console) as display, platform.lock(home, display):
            count = platform.down(home)
        screens.is_down(_console, home, count)


@app.command()
def status() -> None:
    """Show each part: exit code 0 when all is well."""
    with _sentences():
        if not screens.status(_console, local.home()):
            raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="operator, worker, temporal, kube-apiserver, ...")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written later.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.")] = 50,
) -> None:
    """Show the log of a part."""
    with _sentences():
        directory = local.home() / "logs"
        known = sorted(path.stem for path in directory.glob("*.log"))
        if name not in known:
            there = ", ".join(known) or "none: nothing was started (goosejobs up)"
            screens.failed(_errors, f"there is no log of {name!r}; there is: {there}")
            raise typer.Exit(1)
        _show_log(directory / f"{name}.log", lines, follow)


@app.command()
def demo() -> None:
    """Bring everything up in a place of its own, run two GooseJobs, show their ends, and clean up."""
    with _sentences():
        demonstration.run(_console)


@app.command()
def build(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that only its own tests need.")
    ] = False,
) -> None:
    """Get every program that the platform runs into the cache, and show where each came from."""
    with _sentences():
        with Display(_console) as display:
            resolved = local.gather(everything=everything, report=display)
        screens.binaries(_console, resolved)


def _show_log(path: Path, lines: int, follow: bool) -> None:
    text = processes.tail(path, lines, most_bytes=1 << 22)
    if text:
        print(text)
    if not follow:
        return
    with path.open(errors="replace") as file:
        file.seek(0, 2)
        try:
            while True:
                print(file.read(), end="", flush=True)
                time.sleep(_FOLLOW_SECONDS)
        except KeyboardInterrupt:
            return
