"""A frontier for people and for programs: table and JSON-able data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter._version import __version__
from chipmeter.frontier.points import AXES, Axis, Frontier, Point
from chipmeter.report import end_to_end
from chipmeter.report.numbers import UNKNOWN, decibels, si, significant

_MARKS = {"dollars": "$", "joules": "J", "seconds": "s"}


def table(result: Frontier, *, every: bool = False) -> RenderableType:
    """Draw the points that no other beats on dollars, joules or seconds, or every point."""
    best = {axis: set(map(id, result.best(axis))) for axis in AXES}
    shown = [p for p in result.points if every or any(id(p) in best[axis] for axis in AXES)]
    unit = result.points[0].cost.unit
    t = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title(result), title_justify="left", title_style="bold")
    ends = end_to_end.headings(p.error for p in result.points)
    for name, right in (
        ("chip", False), ("format", False), ("recipe", False), ("SQNR dB", True), ("90 %", True),
        *((name, True) for name in ends),
        (f"$/M {unit}s", True), (f"J/{unit}", True), (f"time/{unit}", True), ("best in", False), ("bits", False),
    ):  # fmt: skip
        t.add_column(name, justify="right" if right else "left", no_wrap=True)
    for p in sorted(shown, key=lambda p: -p.error.sqnr):
        wins = " ".join(_MARKS[axis] for axis in AXES if id(p) in best[axis])
        t.add_row(*cells(p, ends), wins, p.unit.evidence.grade)
    return Group(t, Text("\n".join(notes(result, len(shown))), style="dim"))


def title(result: Frontier) -> str:
    """Say what was measured and priced."""
    first = result.points[0].cost
    step = f"batch {first.batch} x {first.seq} tokens" + (f" after {first.context}" if first.context else "")
    return f"{result.model.name}: {first.phase}, {step}; chipmeter {__version__}"


def cells(p: Point, ends: Sequence[str]) -> list[str]:
    """Write a point's chip, format, recipe, error (end to end under the headings `ends`) and spending."""
    spent = {axis: p.spends(axis) for axis in AXES}
    dollars, joules = spent["dollars"], spent["joules"]
    return [
        p.chip.id + (f" x{p.cost.tensor_parallel}" if p.cost.tensor_parallel > 1 else ""),
        p.format,
        p.recipe,
        decibels(p.error.sqnr),
        f"{decibels(p.low)} to {decibels(p.high)}",
        *end_to_end.cells(p.error, ends),
        UNKNOWN if dollars is None else _mark(p, "dollars") + significant(dollars * 1e6),
        UNKNOWN if joules is None else _mark(p, "joules") + significant(joules),
        _mark(p, "seconds") + si(spent["seconds"], "s"),
    ]


def notes(result: Frontier, shown: int) -> list[str]:
    """Say what the figures rest on."""
    return [
        f"{shown} of {len(result.points)} points: those that no other beats in error and one of $, J, s ('best in').",
        f"Error: {result.data}; the 90 % interval is over the layers drawn, not over other inputs.",
        *end_to_end.notes(end_to_end.headings(p.error for p in result.points)),
        "Cost: one step at a time on the fewest chips that hold it, at the lowest public price. ~ rests on assumed figures.",
    ]


def data(result: Frontier) -> dict[str, Any]:
    """Give a frontier as JSON-able data in SI units; None is unknown, and an exact result's decibels."""
    best = {axis: set(map(id, result.best(axis))) for axis in AXES}

    def finite(value: float | None) -> float | None:
        return value if value is not None and abs(value) < float("inf") else None

    return {
        "chipmeter": __version__,
        "model": result.model.name,
        "data": result.data,
        "synthetic": result.synthetic,
        "points": [
            {
                "chip": p.chip.id,
                "chips": p.cost.tensor_parallel,
                "format": p.format,
                "recipe": p.recipe,
                "unit": p.unit.name,
                "unit_grade": p.unit.evidence.grade,
                "sqnr_db": finite(p.error.sqnr),
                "sqnr_db_low": finite(p.low),
                "sqnr_db_high": finite(p.high),
                "cosine": finite(p.error.cosine),
                **end_to_end.data(p.error),
                "work_unit": p.cost.unit,
                **{f"{axis}_per_unit": p.spends(axis) for axis in AXES},
                "fits": p.cost.fits,
                "grades": dict(p.cost.grades),
                "pareto": [axis for axis in AXES if id(p) in best[axis]],
            }
            for p in result.points
        ],
        "skipped": list(result.skipped),
    }


def _mark(p: Point, axis: Axis) -> str:
    return "~" if p.cost.assumed_share > 0.1 or p.cost.grades.get(axis) == "assumed" else ""
