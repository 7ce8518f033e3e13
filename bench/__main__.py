"""`python -m bench [start minute writes ...]`: measures, prints a table, and judges nothing.

Exit code 0 when everything was measured, whatever came out; 1 when something could not be, 130 on Ctrl-C.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import ground, idle, jobs, minute, reattach, start, up, writes
from bench.rows import NotMeasured, Row, table
from goosejobs_local.converge import PartFailed
from goosejobs_local.make import Unresolved
from goosejobs_local.sandbox import SandboxFailed

_INTERRUPTED = 130
_SHORTEST_IDLE_SECONDS = 10.0

BENCHES: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "start": lambda options: start.run(options.runs),
    "minute": lambda options: minute.run(options.sizes, options.starts, options.controller_requests),
    "writes": lambda options: writes.run(options.writes_runs),
    "jobs": lambda options: jobs.run(options.each, options.turns),
    "reattach": lambda options: reattach.run(options.in_flight, options.running),
    "idle": lambda options: idle.run(options.objects, options.idle_seconds),
    "up": lambda options: up.run(options.rounds),
    "check": lambda _: up.check(),
}


def main(arguments: Sequence[str]) -> int:
    """Run the benches that are named, or all; returns the exit code."""
    options = _options(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C, which an event loop takes in its own way.
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        ground.remove_abandoned()
        rows, complete = _measure(options)
    except KeyboardInterrupt:
        print("Interrupted: what this command started is stopped.", file=sys.stderr)
        return _INTERRUPTED
    sys.stderr.flush()
    print(f"\n{_machine()}\n\n{table(rows)}")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": _machine(), "rows": [asdict(r) for r in rows]}, indent=1)
        )
    return 0 if complete else 1


def _measure(options: argparse.Namespace) -> tuple[list[Row], bool]:
    """All figures that could be had, and whether those are all."""
    rows: list[Row] = []
    complete = True
    for name in [name for name in BENCHES if not options.bench or name in options.bench]:
        began = time.monotonic()
        print(f"{name}: ...", file=sys.stderr, flush=True)
        try:
            rows += BENCHES[name](options)
        except (NotMeasured, PartFailed, SandboxFailed, Unresolved) as error:
            complete = False
            print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{name}: measured in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, complete


def _machine() -> str:
    cores, load = os.cpu_count(), os.getloadavg()[2]
    day = time.strftime("%Y-%m-%d")
    return f"{day}, {platform.machine()}, {cores} cores, load {load:.1f} (mean of 15 minutes)"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed and size.")
    parser.add_argument("bench", nargs="*", metavar="BENCH", help=f"{', '.join(BENCHES)}; default: all")
    parser.add_argument("--runs", type=int, default=25, help="start: runs of each schedule")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[20, 200, 1000],
        help="minute: GooseJobs, and as many CronJobs",
    )
    parser.add_argument(
        "--starts", type=int, default=300, help="minute: scheduled runs a second, of Temporal"
    )
    parser.add_argument(
        "--controller-requests", type=int, default=20, help="minute: requests a second, of a controller"
    )
    parser.add_argument("--writes-runs", type=int, default=10, help="writes: runs")
    parser.add_argument("--each", type=int, default=5, help="jobs: GooseJobs, and as many CronJobs")
    parser.add_argument(
        "--turns", type=int, default=2, help="jobs: how often each is due; two minutes a turn"
    )
    parser.add_argument("--in-flight", type=int, default=100, help="reattach: Jobs")
    parser.add_argument("--running", type=int, default=20, help="reattach: how many have a pod that runs")
    parser.add_argument("--objects", type=int, default=1000, help="idle: GooseJobs")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="idle: how long nothing happens")
    parser.add_argument("--rounds", type=int, default=3, help="up: how often")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.bench) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there is: {', '.join(BENCHES)}")
    counts = options.runs, options.writes_runs, options.each, options.turns, options.in_flight
    more = *options.sizes, options.starts, options.controller_requests, options.objects, options.rounds
    if min(*counts, *more) < 1:
        parser.error("there must be at least one of each")
    if options.idle_seconds < _SHORTEST_IDLE_SECONDS:
        parser.error(f"--idle-seconds must be at least {_SHORTEST_IDLE_SECONDS:g}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
