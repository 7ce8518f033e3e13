"""What the commands print."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from goosejobs_local import local, parts, platform, processes, state
from goosejobs_local.converge import PartFailed
from goosejobs_local.node import NAME
from goosejobs_local.pki import Pki
from goosejobs_local.platform import Platform
from goosejobs_local.resolve import Resolved

_COMMAND_WIDTH = 48


def is_up(console: Console, built: Platform) -> None:
    """What runs, and what to do next."""
    recorded = built.state.parts
    rows = {
        "Kubernetes": f"{recorded['kube-apiserver'].version} at {recorded['kube-apiserver'].address}",
        **_node(built),
        "Temporal": f"{recorded['temporal'].version} at {recorded['temporal'].address}",
        "Temporal's pages": built.state.ui,
        "operator": f"serves all namespaces; metrics at http://{recorded['operator'].address}/metrics",
        "worker": f"pool default, mode {'Job: each run in a pod' if built.network else 'Process'}",
        "model": built.state.model,
        "data": str(built.home),
    }
    grid = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        if text:
            grid.add_row(f"[bold]{name}", escape(text))
    console.print(Panel(grid, title="[green]goosejobs is up", title_align="left", expand=False))
    me = program()
    _commands(
        console,
        {
            f"export KUBECONFIG={built.kubeconfig}": "",
            **_path_for_kubectl(built),
            f"kubectl apply -f {shown(local.EXAMPLES / 'hello.yaml')}": "one run, at once",
            "kubectl get goosejobs --watch": "its end",
            f"{me} status": f"also: {me} logs operator -f",
            f"{me} down": "stop it all",
        },
    )


def is_down(console: Console, home: Path, count: int) -> None:
    """What was stopped."""
    if count:
        console.print(
            f"Stopped {count} process{'es' * (count != 1)} and removed what they left in {home}.",
            soft_wrap=True,
        )
    else:
        console.print(f"Nothing was running in {home}.", soft_wrap=True)


def status(console: Console, home: Path) -> bool:
    """Each part; returns whether everything is there and well."""
    recorded = state.load(home / platform.STATE).parts
    if not recorded:
        console.print(f"Nothing was started in {home}. Start it: {program()} up", soft_wrap=True)
        return False
    rows = []
    problems: dict[str, str] = {}
    for name, part in recorded.items():
        problem = (
            parts.missing(part.probes, Pki(home / "pki")) if part.child.alive else "its process has ended"
        )
        if problem:
            problems[name] = problem
        word = "well" if not problem else "not well" if part.child.alive else "dead"
        rows.append((name, word, part.version, part.address, str(part.pid)))
    _table(console, ("PART", "STATE", "VERSION", "ADDRESS", "PID"), rows)
    for name, problem in problems.items():
        console.print(f"\n[red]{name}:[/red] {escape(problem)}", soft_wrap=True)
        _end_of_log(console, processes.tail(home / "logs" / f"{name}.log", lines=6))
    if problems:
        console.print(f"\nStart what is missing: {program()} up")
    return not problems


def binaries(console: Console, resolved: Mapping[str, Resolved]) -> None:
    """Where each program came from."""
    rows = [(name, one.version, one.source, str(one.path)) for name, one in resolved.items()]
    _table(console, ("PROGRAM", "VERSION", "FROM", "PATH"), rows)


def part_failed(console: Console, error: PartFailed) -> None:
    """Which part is dead, and the end of its log."""
    failed(console, f"{error.name} {error.reason}")
    _end_of_log(console, error.log)


def failed(console: Console, sentence: str) -> None:
    """What went wrong."""
    console.print(f"[red]goosejobs:[/red] {escape(sentence)}", soft_wrap=True)


def program() -> str:
    """How to call this program again, from where the caller is."""
    called = Path(sys.argv[0])
    if called.name != "goosejobs":
        return "python -m goosejobs_local"
    # `uv run` had it on PATH for us; the caller's shell may not.
    return shown(called) if called.absolute().is_relative_to(Path.cwd()) else "goosejobs"


def shown(path: Path) -> str:
    """A path as short as it can be written from here."""
    resolved, here = path.absolute(), Path.cwd()
    for candidate in (resolved, path.resolve()):
        if candidate.is_relative_to(here):
            resolved = candidate
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(resolved)


def _node(built: Platform) -> dict[str, str]:
    """The node's row, if there is one."""
    if built.network is None:
        return {}
    return {"node": f"{NAME}, in a network of its own; pods find this machine at {built.network.host}"}


def _path_for_kubectl(built: Platform) -> dict[str, str]:
    """How to find kubectl, for those who have none."""
    if shutil.which("kubectl"):
        return {}
    return {f'export PATH="{built.link_kubectl().parent}:$PATH"': "kubectl"}


def _table(console: Console, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns that no width of a terminal or a log breaks, so that they can be copied."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for number, row in enumerate((headings, *rows)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        style = "bold" if number == 0 else "red" if {"dead", "not well"} & set(row) else ""
        console.print(line, style=style, markup=False, soft_wrap=True)


def _commands(console: Console, commands: Mapping[str, str]) -> None:
    width = max(len(command) for command in commands if len(command) <= _COMMAND_WIDTH)
    for command, comment in commands.items():
        text = f"  {command.ljust(width)}  # {comment}" if comment else f"  {command}"
        console.print(escape(text), soft_wrap=True)


def _end_of_log(console: Console, log: str) -> None:
    for line in log.splitlines():
        console.print(f"  [dim]{escape(line)}", soft_wrap=True)
