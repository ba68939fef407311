"""Figures of results, drawn with plotly: transparent, so that a page's light or dark ground shows through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chipmeter.frontier.points import Axis, Frontier, Point
from chipmeter.report import end_to_end
from chipmeter.report.extras import needs

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from chipmeter.comparison import Comparison
    from chipmeter.cost import Estimate
    from chipmeter.factory import FactoryPlan

COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f",
    "#882255", "#44aa99", "#999933", "#661100", "#6699cc", "#aa4499",
)  # fmt: skip
"""Okabe and Ito's colours and, from the ninth, Tol's: told apart by people who do not see all colours."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon", "hexagon", "triangle-down")

_TITLES = {"dollars": "$ per million {}s", "joules": "J per {}", "seconds": "seconds per {}"}


def frontier_figure(frontier: Frontier, axis: Axis = "dollars") -> Figure:
    """Draw error against spending: a colour per chip, the same on every axis, a symbol per format, the Pareto set joined.

    Parameters
    ----------
    frontier : Frontier
    axis : {"dollars", "joules", "seconds"}
        Points whose spending is unknown are left out.

    Raises
    ------
    ImportError
        If plotly is not installed.
    """
    go = needs("plotly.graph_objects")
    scale = 1e6 if axis == "dollars" else 1.0
    shown = [p for p in frontier.points if p.spends(axis) is not None and p.error.sqnr < float("inf")]
    formats = list(dict.fromkeys(p.format for p in frontier.points))
    figure = go.Figure()
    for i, chip in enumerate(dict.fromkeys(p.chip.id for p in frontier.points)):
        of = [p for p in shown if p.chip.id == chip]
        if not of:
            continue
        color, hollow = COLORS[i % len(COLORS)], "-open" * (i >= len(COLORS))
        # a line of the legend for the chip, whose points have the symbols of their formats
        key = {"color": color, "size": 10, "symbol": f"circle{hollow}"}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=chip, legendgroup=chip, marker=key)
        figure.add_scatter(
            x=[scale * (p.spends(axis) or 0.0) for p in of],
            y=[p.error.sqnr for p in of],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [p.high - p.error.sqnr for p in of],
                "arrayminus": [p.error.sqnr - p.low for p in of],
                "thickness": 1,
                "width": 2,
            },
            mode="markers",
            name=chip,
            legendgroup=chip,
            showlegend=False,
            marker={**key, "symbol": [SYMBOLS[formats.index(p.format) % len(SYMBOLS)] + hollow for p in of]},
            text=[_hover(p, axis) for p in of],
            hovertemplate="%{text}<extra></extra>",
        )
    best = [p for p in frontier.best(axis) if p.error.sqnr < float("inf")]
    figure.add_scatter(
        x=[scale * (p.spends(axis) or 0.0) for p in best],
        y=[p.error.sqnr for p in best],
        mode="lines",
        name="no other is both closer and cheaper",
        line={"color": "#999999", "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    unit = frontier.points[0].cost.unit
    figure.update_layout(**layout(xaxis=_TITLES[axis].format(unit), yaxis="SQNR, dB"))
    figure.update_xaxes(type="log", **_decades([p.spends(axis) for p in frontier.points], scale))
    return figure


def _decades(spent: Sequence[float | None], scale: float) -> dict[str, Any]:
    """Place ticks of a logarithmic axis at 1, 2 and 5 of each decade, written in full: plotly's own say 2 for 0.02."""
    values = [scale * x for x in spent if x]
    if not values:
        return {}
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    ticks = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def comparison_figure(result: Comparison) -> Figure:
    """Draw seconds per unit of work by chip and format."""
    go = needs("plotly.graph_objects")
    formats = list(dict.fromkeys(row.format for row in result.rows))
    figure = go.Figure()
    for i, number_format in enumerate(formats):
        of = [row for row in result.rows if row.format == number_format]
        figure.add_bar(
            x=[row.chip.id for row in of],
            y=[row.cost.seconds / row.cost.units for row in of],
            name=number_format,
            marker_color=COLORS[i % len(COLORS)],
            text=[f"{row.error.sqnr:.1f} dB" if row.error else "" for row in of],
            hovertemplate="%{x}, " + number_format + ": %{y:.3s}s, %{text}<extra></extra>",
        )
    unit = result.rows[0].cost.unit
    figure.update_layout(**layout(xaxis="", yaxis=f"seconds per {unit}"), barmode="group")
    figure.update_yaxes(exponentformat="SI", ticksuffix="s")
    return figure


def estimate_figure(result: Estimate) -> Figure:
    """Draw where the seconds of a step go, by operation and limit."""
    go = needs("plotly.graph_objects")
    figure = go.Figure()
    limits = list(dict.fromkeys(limit for op in result.ops for limit, spent in op.time_by_limit.items() if spent > 0))
    for i, limit in enumerate(limits):
        figure.add_bar(
            y=[op.name for op in result.ops],
            x=[op.time_by_limit.get(limit, 0.0) for op in result.ops],
            name=limit,
            orientation="h",
            marker_color=COLORS[i % len(COLORS)],
            hovertemplate="%{y}: %{x:.3s}s " + limit + "<extra></extra>",
        )
    figure.update_layout(**layout(xaxis="seconds", yaxis=""), barmode="stack")
    figure.update_xaxes(exponentformat="SI")
    figure.update_yaxes(autorange="reversed")
    return figure


def factory_figure(plan: FactoryPlan) -> Figure:
    """Draw dollars spent by month of a plan, of renting everything and of owning everything."""
    go = needs("plotly.graph_objects")
    figure = go.Figure()
    names = {"plan": "this plan", "rent": "renting everything", "own": "owning everything"}
    for i, (name, spent) in enumerate(plan.by_month.items()):
        figure.add_scatter(
            x=list(range(1, len(spent) + 1)),
            y=spent,
            mode="lines",
            name=names[name],
            line={"color": COLORS[i], "width": 4 - i},
            hovertemplate="month %{x}: $%{y:.4s}<extra>" + names[name] + "</extra>",
        )
    figure.update_layout(**layout(xaxis="month", yaxis="dollars spent"))
    return figure


def _hover(point: Point, axis: Axis) -> str:
    spent = point.spends(axis) or 0.0
    names = end_to_end.headings([point.error])
    ends = "".join(f"<br>{n} {c}" for n, c in zip(names, end_to_end.cells(point.error, names), strict=True))
    return (
        f"<b>{point.chip.id} {point.format}</b> ({point.recipe})<br>SQNR {point.error.sqnr:.1f} dB, 90 % "
        f"{point.low:.1f} to {point.high:.1f}{ends}<br>{spent:.3g} {axis} per {point.cost.unit}"
        f"<br>bits: {point.unit.evidence.grade}; figures: {point.cost.grade}"
    )


def layout(*, xaxis: str, yaxis: str) -> dict[str, Any]:
    """Give a figure the look that all share."""
    clear = "rgba(0,0,0,0)"
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    return {
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "height": 480,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": xaxis}, "automargin": True, **grid},
        "yaxis": {"title": {"text": yaxis}, "automargin": True, **grid},
        "hoverlabel": {"align": "left"},
    }


def formats_key(points: Sequence[Point]) -> str:
    """Say which symbol stands for which format.

    >>> formats_key([])
    ''
    """
    formats = dict.fromkeys(p.format for p in points)
    return ", ".join(f"{SYMBOLS[i % len(SYMBOLS)]}: {name}" for i, name in enumerate(formats))
