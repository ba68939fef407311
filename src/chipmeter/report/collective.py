"""The curve of a collective over sizes: as a table, and as a page with a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from chipmeter.report import figures
from chipmeter.report.extras import needs
from chipmeter.report.numbers import significant
from chipmeter.report.page import Column, Drawing, Lines, Page, Sheet

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from chipmeter.collectives import Timing

_UNITS = (("T", 2**40), ("G", 2**30), ("M", 2**20), ("K", 2**10), ("", 1))
COLUMNS = (
    ("bytes", True),
    ("time", True),
    ("90 % interval", True),
    ("algorithm", False),
    ("steps", True),
    ("algbw GB/s", True),
    ("busbw GB/s", True),
    ("bottleneck", False),
)
"""Titles of a curve's columns, and whether they hold numbers."""


def title(curve: Sequence[Timing]) -> str:
    """Name the collective, its ranks and its system."""
    return f"{curve[0].operation} on {curve[0].ranks} ranks of {curve[0].system}"


def evidence(curve: Sequence[Timing]) -> str:
    """Say what the times rest on."""
    grades = sorted({t.evidence.grade for t in curve})
    return f"evidence: {', '.join(grades)}; {curve[0].evidence.source}, {curve[0].evidence.date}"


def cells(t: Timing) -> list[str]:
    """Write one line of the curve."""
    return [
        size(t.bytes),
        duration(t.seconds),
        f"{duration(t.low)} .. {duration(t.high)}",
        f"{t.algorithm} {t.protocol}",
        str(t.steps),
        significant(t.algbw / 1e9),
        significant(t.busbw / 1e9),
        t.bottleneck,
    ]


def table(curve: Sequence[Timing]) -> Table:
    """Lay out a curve for the terminal."""
    out = Table(title=title(curve), caption=evidence(curve))
    for name, number in COLUMNS:
        out.add_column(name, justify="right" if number else "left")
    for t in curve:
        out.add_row(*cells(t))
    return out


def figure(curve: Sequence[Timing]) -> Figure:
    """Draw bus bandwidth against size, a colour for each algorithm and protocol, with the interval.

    Raises
    ------
    ImportError
        If plotly is not installed.
    """
    out = needs("plotly.graph_objects").Figure()
    names = list(dict.fromkeys(f"{t.algorithm} {t.protocol}" for t in curve))
    for i, name in enumerate(names):
        of = [t for t in curve if f"{t.algorithm} {t.protocol}" == name]
        out.add_scatter(
            x=[t.bytes for t in of],
            y=[t.busbw for t in of],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [t.busbw * (t.seconds / t.low - 1) for t in of],
                "arrayminus": [t.busbw * (1 - t.seconds / t.high) for t in of],
                "thickness": 1,
                "width": 2,
            },
            mode="lines+markers",
            name=name,
            marker={
                "color": figures.COLORS[i % len(figures.COLORS)],
                "symbol": figures.SYMBOLS[i % len(figures.SYMBOLS)],
            },
            text=[f"{size(t.bytes)}: {duration(t.seconds)}, {t.bottleneck}" for t in of],
            hovertemplate="%{text}<extra></extra>",
        )
    out.update_layout(**figures.layout(xaxis="bytes", yaxis="bus bandwidth, bytes/s"))
    out.update_xaxes(type="log", exponentformat="SI")
    out.update_yaxes(type="log", exponentformat="SI")
    return out


def page(curve: Sequence[Timing]) -> Page:
    """Lay out a curve as a page."""
    best = max(curve, key=lambda t: t.busbw)
    least = min(curve, key=lambda t: t.seconds)
    return Page(
        title=title(curve),
        verdict=f"{duration(least.seconds)} at {size(least.bytes)}; at best {significant(best.busbw / 1e9)} GB/s of bus "
        f"bandwidth, at {size(best.bytes)} with {best.algorithm} {best.protocol}, limited by {best.bottleneck}.",
        figures=(Drawing("Bus bandwidth by size", figure(curve), "Bars hold 90 % of measurements."),),
        tables=(Sheet("Times", tuple(Column(*c) for c in COLUMNS), [cells(t) for t in curve]),),
        lists=(Lines("What it rests on", [evidence(curve)]),),
    )


def size(value: int) -> str:
    """Write bytes in the largest binary unit that leaves an integer.

    >>> size(2**20), size(1000)
    ('1M', '1000')
    """
    unit, scale = next((u, s) for u, s in _UNITS if value % s == 0)
    return f"{value // scale}{unit}"


def duration(value: float) -> str:
    """Write a time with three digits.

    >>> duration(1.5e-5), duration(0.0041), duration(2.0)
    ('15 us', '4.1 ms', '2 s')
    """
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-6:.3g} us"
