"""A search over plans for people: the ranking, where steps and memory go, what fell away; as cells and as a page."""

from __future__ import annotations

from typing import Any

from chipmeter.planning import PlanSearch, Ranked, layout
from chipmeter.report import figures
from chipmeter.report.extras import needs
from chipmeter.report.numbers import UNKNOWN, si
from chipmeter.report.page import Column, Drawing, Lines, Page, Sheet

RANKING = ("plan", "step", "90 % interval", "tokens/s", "MFU", "memory", "energy", "price", "limit")
WORDS = ("plan", "part", "memory", "limit")
"""Columns of text; the others hold numbers."""


def title(found: PlanSearch) -> str:
    """Name what was searched."""
    many = " or ".join(f"{number:,}" for number in found.chips)
    where = found.chip if found.system is None else f"{found.chip} ({found.system})"
    return f"{found.model} on {many} x {where}, {found.batch:,} sequences of {found.seq:,} tokens, by {found.objective}"


def ranking(found: PlanSearch) -> list[list[str]]:
    """Write the cells of `RANKING`, a row for each plan."""
    return [_row(one, len(found.chips) > 1) for one in found.plans]


def _row(one: Ranked, several: bool) -> list[str]:
    limit, seconds = next(iter(one.limits.items()))
    return [
        (f"{one.plan.chips:,} chips: " if several else "") + layout(one.plan),
        si(one.seconds, "s"),
        f"{one.low:.4g}-{one.high:.4g}",
        si(one.tokens_per_second, "").strip(),
        f"{one.mfu:.1%}",
        f"{one.bytes / 1e9:.0f} of {one.capacity / 1e9:.0f} GB",
        si(one.joules, "J"),
        UNKNOWN if one.dollars is None else f"${one.dollars:.4g}",
        f"{limit} {seconds / sum(one.parts.values()):.0%}",
    ]


def reasons(found: PlanSearch) -> tuple[tuple[str, ...], list[list[str]]]:
    """Lay the first plan's parts beside the second's, what differs most first: titles, and rows."""
    first = found.best
    second = found.plans[1] if len(found.plans) > 1 else None
    gaps = {} if second is None else first.against(second)
    order = [name for name in gaps or first.parts if first.parts[name] or gaps.get(name)]
    rows = []
    for name in order:
        seconds = first.parts[name]
        more = [] if second is None else [f"{second.parts[name]:.4g}", f"{gaps[name]:+.3g}"]
        rows.append([name.replace("_", " "), f"{seconds:.4g}", f"{seconds / first.seconds:.1%}", *more])
    return ("part", "seconds", "share", *(() if second is None else ("second's", "more"))), rows


def memory(one: Ranked) -> list[list[str]]:
    """List bytes by part on the fullest stage, in all, and on the first and last stage."""
    held = {**one.memory, "in all": one.bytes}
    if len(one.stages) > 1:
        held |= {"first stage": one.stages[0], "last stage": one.stages[-1]}
    return [[name, f"{size / 1e9:.1f}"] for name, size in held.items()]


def judged(found: PlanSearch) -> list[str]:
    """Say what is wrong with a plan asked about, and which works; or what it takes."""
    asked = found.asked
    if asked is None:
        return []
    lines = [f"asked: {layout(asked.plan)}", *(f"does not work: {fault}" for fault in asked.faults)]
    if asked.nearest is None:
        return [*lines, "no plan for these chips works"]
    one, best = asked.nearest, found.best
    name = "it works" if not asked.faults else f"nearest that works: {layout(one.plan)}"
    return [*lines, f"{name}: {si(one.seconds, 's')}, {one.seconds / best.seconds:.2f} times the best"]


def notes(found: PlanSearch) -> list[str]:
    """Say how the other plans fell away, and what the figures rest on."""
    fallen = ", ".join(f"{name} {count:,}" for name, count in found.broken.items())
    counts = (
        f"{found.examined:,} plans examined: {found.legal:,} work, {found.unfit:,} do not fit the memory; the others "
        f"break a rule ({fallen or 'none'})"
    )
    wide = ["model or chip outside what was measured: the interval is wider"] if found.outside else []
    return [counts, *wide, *found.assumptions]


def page(found: PlanSearch) -> Page:
    """Lay out a search."""
    best = found.best
    columns, rows = reasons(found)
    asked = judged(found)
    return Page(
        title=title(found),
        verdict=f"{layout(best.plan)}: {si(best.seconds, 's')} a step ({best.low:.4g} to {best.high:.4g} s), MFU {best.mfu:.1%}, "
        f"{best.bytes / 1e9:.0f} of {best.capacity / 1e9:.0f} GB.",
        figures=(Drawing("Where the steps go", _figure(found)),),
        tables=(
            Sheet("Plans, best first", _columns(*RANKING), ranking(found)),
            Sheet("The first plan beside the second", _columns(*columns), rows),
            Sheet("Memory of the first plan's fullest stage", _columns("memory", "GB"), memory(best)),
        ),
        lists=(
            *((Lines("The plan asked about", asked),) if asked else ()),
            Lines("What the figures rest on", notes(found)),
        ),
    )


def _columns(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, number=title not in WORDS) for title in titles)


def _figure(found: PlanSearch) -> Any:
    """Draw a bar for each plan, its parts stacked."""
    go = needs("plotly.graph_objects")
    figure = go.Figure()
    names = [f"{place}. {layout(one.plan)}" for place, one in enumerate(found.plans, 1)]
    shown = [part for part in found.best.parts if any(one.parts[part] > 0 for one in found.plans)]
    for place, part in enumerate(shown):
        figure.add_bar(
            y=names,
            x=[one.parts[part] for one in found.plans],
            name=part.replace("_", " "),
            orientation="h",
            marker_color=figures.COLORS[place % len(figures.COLORS)],
            hovertemplate=part.replace("_", " ") + ": %{x:.3s}s<extra></extra>",
        )
    figure.update_layout(**figures.layout(xaxis="seconds of a step", yaxis=""), barmode="stack")
    figure.update_yaxes(autorange="reversed", showticklabels=True)
    return figure
