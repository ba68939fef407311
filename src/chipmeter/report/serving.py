"""A serving curve for people."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter.cost import LoadPoint, Range, ServingCurve
from chipmeter.report import figures
from chipmeter.report.extras import needs
from chipmeter.report.numbers import UNKNOWN, si, significant
from chipmeter.report.page import Column, Drawing, Lines, Page, Sheet

HEADINGS = (
    "in flight", "requests/s", "tokens/s", "90 % interval", "first token", "per token", "longest gap", "J/token", "$/M tokens",
)  # fmt: skip


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


def title(curve: ServingCurve) -> str:
    """Name what is served where."""
    return f"{curve.model} on {curve.chips} x {curve.chip}"


def table(curve: ServingCurve) -> RenderableType:
    """Draw a curve, the point asked for under it, and what it rests on."""
    t = Table(box=box.SIMPLE, title=title(curve), title_justify="left")
    for heading in HEADINGS:
        t.add_column(heading, justify="right", no_wrap=True)
    for point in curve.points:
        t.add_row(*cells(point))
    if curve.asked is not None:
        t.add_section()
        t.add_row(*cells(curve.asked), style="bold")
    return Group(t, Text("\n".join(f"- {line}" for line in curve.notes), style="dim"))


def page(curve: ServingCurve) -> Page:
    """Lay out a curve."""
    most = max(curve.points, key=lambda point: point.tokens_per_second.expected)
    verdict = (
        f"At most {significant(most.tokens_per_second.expected)} tokens/s, with {significant(most.concurrency)} requests in "
        f"flight: {si(most.ttft.expected, 's')} to the first token and {si(most.tpot.expected, 's')} for each further one."
    )
    asked = () if curve.asked is None else (Sheet("At the rate asked for", _COLUMNS, [cells(curve.asked)]),)
    crowds = [point.concurrency for point in curve.points]
    return Page(
        title=f"Throughput against latency: {title(curve)}",
        verdict=verdict,
        figures=(
            Drawing(
                "Throughput against the time per token",
                _figure(
                    [point.tpot for point in curve.points], [point.tokens_per_second.expected for point in curve.points],
                    crowds, ("seconds per token", "tokens/s"),
                ),
                "Bars: the nominal 90 % interval of the time.",
            ),
            Drawing(
                "Time to the first token by requests in flight",
                _figure([point.ttft for point in curve.points], crowds, crowds, ("seconds to the first token", "in flight")),
            ),
        ),
        tables=(*asked, Sheet("Every load", _COLUMNS, [cells(point) for point in curve.points])),
        lists=(Lines("What the figures rest on", curve.notes),),
    )  # fmt: skip


_COLUMNS = tuple(Column(heading, number=True) for heading in HEADINGS)


def _figure(times: list[Range], heights: list[float], crowds: list[float], axes: tuple[str, str]) -> Any:
    """Draw one quantity against a latency with its interval, a dot for each load."""
    go = needs("plotly.graph_objects")
    expected = [time.expected for time in times]
    figure = go.Figure()
    figure.add_scatter(
        x=expected,
        y=heights,
        mode="lines+markers",
        marker_color=figures.COLORS[0],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [time.high - time.expected for time in times],
            "arrayminus": [time.expected - time.low for time in times],
            "thickness": 1,
            "width": 2,
        },
        customdata=crowds,
        hovertemplate="%{customdata} in flight: %{x:.3s}s, %{y:.3s}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(**figures.layout(xaxis=axes[0], yaxis=axes[1]))
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return figure
