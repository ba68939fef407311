"""A serving curve for people."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter.cost import LoadPoint, ServingCurve
from chipmeter.report.numbers import UNKNOWN, si, significant


def cells(point: LoadPoint) -> list[str]:
    """Write a point: expected figures, latencies with their upper end."""
    money, energy = point.dollars_per_million_tokens, point.joules_per_token
    return [
        significant(point.concurrency),
        significant(point.requests_per_second.expected),
        significant(point.tokens_per_second.expected),
        f"{significant(point.tokens_per_second.low)} to {significant(point.tokens_per_second.high)}",
        f"{si(point.ttft.expected, 's')} (to {si(point.ttft.high, 's')})",
        f"{si(point.tpot.expected, 's')} (to {si(point.tpot.high, 's')})",
        si(point.stall, "s"),
        UNKNOWN if energy is None else significant(energy.expected),
        UNKNOWN if money is None else significant(money.expected),
    ]


def table(curve: ServingCurve) -> RenderableType:
    """Draw a curve, the point asked for under it, and what it rests on."""
    t = Table(box=box.SIMPLE, title=f"{curve.model} on {curve.chips} x {curve.chip}", title_justify="left")
    heads = ("in flight", "requests/s", "tokens/s", "90 % interval", "first token", "per token", "longest gap")
    for heading in (*heads, "J/token", "$/M tokens"):
        t.add_column(heading, justify="right", no_wrap=True)
    for point in curve.points:
        t.add_row(*cells(point))
    if curve.asked is not None:
        t.add_section()
        t.add_row(*cells(curve.asked), style="bold")
    return Group(t, Text("\n".join(f"- {line}" for line in curve.notes), style="dim"))
