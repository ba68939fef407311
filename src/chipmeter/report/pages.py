"""The pages of each kind of result."""

from __future__ import annotations

import math

from chipmeter.comparison import Comparison
from chipmeter.cost import Estimate
from chipmeter.factory import FactoryPlan
from chipmeter.frontier.points import AXES, Frontier
from chipmeter.report import comparison, end_to_end, estimate, factory, figures, frontier
from chipmeter.report.numbers import UNKNOWN, decibels, si, significant
from chipmeter.report.page import Column, Drawing, Lines, Page, Sheet

_TEXT = Column
_SAYS = {"dollars": "money", "joules": "energy", "seconds": "time"}


def _numbers(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, number=True) for title in titles)


def frontier_page(result: Frontier) -> Page:
    """Lay out a frontier."""
    best = {axis: result.best(axis) for axis in AXES}
    sentences = [
        f"least {_SAYS[axis]}: {points[-1].chip.id} in {points[-1].format} ({decibels(points[-1].error.sqnr)} dB)"
        for axis, points in best.items()
        if points
    ]
    closest = max(result.points, key=lambda p: (not math.isnan(p.error.sqnr), p.error.sqnr))
    unit = result.points[0].cost.unit
    ends = end_to_end.headings(p.error for p in result.points)
    used = list(dict.fromkeys((p.unit.name, p.unit.evidence.grade, p.unit.evidence.source) for p in result.points))
    assumed = sorted({line for p in result.points for line in p.cost.assumptions})
    return Page(
        title=f"Error against cost: {frontier.title(result)}",
        verdict=f"Closest to exact: {closest.chip.id} in {closest.format} ({decibels(closest.error.sqnr)} dB); "
        + "; ".join(sentences)
        + ".",
        figures=tuple(
            Drawing(
                f"Error against {_SAYS[axis]}",
                figures.frontier_figure(result, axis),
                f"Symbols: {figures.formats_key(result.points)}.",
            )
            for axis in AXES
            if best[axis]
        ),
        tables=(
            Sheet(
                "Every point, closest first",
                (
                    _TEXT("chip"), _TEXT("format"), _TEXT("recipe"), *_numbers("SQNR dB", "90 %"),
                    *_numbers(*ends, f"$/M {unit}s", f"J/{unit}", f"time/{unit}"),
                ),
                [frontier.cells(p, ends) for p in sorted(result.points, key=lambda p: -p.error.sqnr)],
            ),
        ),
        lists=(
            Lines("What the figures rest on", frontier.notes(result, len(result.points))[1:] + assumed),
            Lines("Where the arithmetic is known from", [f"{name}: {grade}, {source}" for name, grade, source in used]),
            *((Lines("Left out", result.skipped),) if result.skipped else ()),
        ),
    )  # fmt: skip


def comparison_page(result: Comparison) -> Page:
    """Lay out a comparison."""
    unit = result.rows[0].cost.unit
    ends = end_to_end.headings([result.reference])
    fastest = min(result.rows, key=lambda row: row.cost.seconds / row.cost.units)
    priced = [row for row in result.rows if row.cost.dollars_per_million_units is not None and row.cost.fits]
    cheapest = min(priced, key=lambda row: row.cost.dollars_per_million_units or 0.0, default=None)
    verdict = f"Fastest: {fastest.chip.id} in {fastest.format}, {si(fastest.cost.seconds / fastest.cost.units, 's')} per {unit}."
    if cheapest is not None:
        verdict += (
            f" Cheapest with a public price: {cheapest.chip.id} in {cheapest.format}, "
            f"${significant(cheapest.cost.dollars_per_million_units or 0.0)} per million {unit}s."
        )
    return Page(
        title=comparison.title(result),
        verdict=verdict,
        figures=(Drawing(f"Seconds per {unit}", figures.comparison_figure(result)),),
        tables=(
            Sheet(
                "By chip and number format",
                (
                    _TEXT("chip"), _TEXT("format"), *_numbers("SQNR dB"), _TEXT("worst layer"),
                    *_numbers(*ends, f"time/{unit}", "memory", f"J/{unit}", f"$/M {unit}s"), _TEXT("limit"), _TEXT("bits"),
                ),
                [
                    [
                        row.chip.id,
                        row.format,
                        "-" if row.error is None else decibels(row.error.sqnr),
                        "-" if row.error is None else comparison.short_name(row.error.worst_layer),
                        *end_to_end.cells(row.error, ends),
                        *comparison.cost_cells(row.cost),
                        "-" if row.unit is None else row.unit.evidence.grade,
                    ]
                    for row in result.rows
                ],
            ),
        ),
        lists=(
            Lines("What the figures rest on", comparison.notes(result)),
            Lines("Assumptions", sorted({line for row in result.rows for line in row.cost.assumptions})),
        ),
    )  # fmt: skip


def estimate_page(result: Estimate) -> Page:
    """Lay out an estimate."""
    joules, dollars = result.joules_per_unit, result.dollars_per_million_units
    return Page(
        title=estimate.title(result),
        verdict=f"{si(result.seconds, 's')} a step, {significant(result.units_per_second)} {result.unit}s per second, limited by "
        f"{result.bottleneck}; {UNKNOWN if joules is None else significant(joules)} J per {result.unit}; "
        f"{UNKNOWN if dollars is None else '$' + significant(dollars)} per million {result.unit}s."
        + ("" if result.fits else " It does not fit the memory."),
        figures=(Drawing("Where the time goes", figures.estimate_figure(result)),),
        tables=(
            Sheet(
                "Results, with a nominal 90 % interval",
                (_TEXT("result"), *_numbers(*estimate.ENDS)),
                [[heading, *estimate.cells(one)] for _, heading, one in estimate.ranges(result)],
            ),
            Sheet(
                "Operations of one chip",
                (_TEXT("operation"), *_numbers("count", "time", "FLOP", "bytes"), _TEXT("limit"), _TEXT("evidence")),
                [
                    [
                        op.name,
                        str(op.count),
                        si(op.seconds, "s"),
                        si(op.flops, ""),
                        si(op.bytes, "B"),
                        op.limit,
                        op.grade,
                    ]
                    for op in result.ops
                ],
            ),
        ),
        lists=(Lines("Assumptions", estimate.notes(result)),),
    )


def factory_page(plan: FactoryPlan) -> Page:
    """Lay out a factory plan."""
    if not plan.feasible:
        return Page(
            title="AI factory: no plan keeps the limits",
            verdict="; ".join(plan.conflicts) or plan.notes[-1],
            lists=(Lines("Why", (*plan.conflicts, *plan.notes)),),
        )
    holds = ", ".join(f"{h.systems} x {h.option}" for h in plan.holdings) or "nothing for the whole time"
    hourly = dict.fromkeys(p.option for p in plan.placements if p.option not in {h.option for h in plan.holdings})
    by_hour = f"; by the hour {', '.join(hourly)}" if hourly else ""
    return Page(
        title=f"AI factory over {plan.months} months",
        verdict=f"{factory.dollars(plan.dollars)}: hold {holds}{by_hour}; {factory.proof(plan)}.",
        figures=(Drawing("Dollars spent by month", figures.factory_figure(plan)),),
        tables=(
            Sheet(
                "What runs where",
                (_TEXT("workload"), _TEXT("runs on"), *_numbers("share", "systems"), _TEXT("format"), _TEXT("how")),
                [
                    [p.workload, p.option, f"{p.share:.0%}", significant(p.systems), p.format, p.note]
                    for p in plan.placements
                ],
            ),
            Sheet(
                "Limits",
                (_TEXT("limit"), *_numbers("used", "of", "one more saves")),
                factory.limit_rows(plan),
            ),
        ),
        lists=(Lines("Alternatives and assumptions", factory.sentences(plan)),),
    )
