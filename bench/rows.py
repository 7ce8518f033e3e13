"""What a bench measured, and the table of it. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEADINGS = ("BENCH", "MEASURE", "AIM", "MEASURED", "MET", "YARDSTICK")


class NotMeasured(Exception):
    """A figure could not be had; str() is a sentence."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        bench: Which bench it is of.
        measure: What was measured.
        value: The figure.
        unit: Its unit, as `s`, `%` or `MB`.
        aim: What it should stay below, or at; None if there is no aim.
        yardstick: What `beside` is; a remark if that is None.
        beside: What a bare part needs for the same, in the same unit, measured in the same run.
    """

    bench: str
    measure: str
    value: float
    unit: str
    aim: float | None = None
    yardstick: str = ""
    beside: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        return None if self.aim is None else self.value <= self.aim


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def percentile(values: Iterable[float], percent: int) -> float:
    """The value that so many of a hundred are at most."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def p90(values: Iterable[float]) -> float:
    """The value that nine of ten are at most."""
    return percentile(values, 90)


def table(rows: Sequence[Row]) -> str:
    """All figures, a line each."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    aim = "" if row.aim is None else f"<= {_figure(row.aim, row.unit)}"
    met = {True: "yes", False: "NO", None: ""}[row.met]
    beside = "" if row.beside is None else f"{_figure(row.beside, row.unit)}: "
    return row.bench, row.measure, aim, _figure(row.value, row.unit), met, beside + row.yardstick


def _figure(value: float, unit: str) -> str:
    return f"{float(f'{value:.3g}'):.10g} {unit}".rstrip()
