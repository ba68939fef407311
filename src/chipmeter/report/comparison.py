"""A comparison for people and for programs: rich table, JSON-able data, CSV."""

from __future__ import annotations

import csv
import io
import platform
import re
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter._tiers import tier
from chipmeter._version import __version__
from chipmeter.comparison import Comparison, NumericError, Row
from chipmeter.cost import Estimate
from chipmeter.report import end_to_end
from chipmeter.report.numbers import ABSENT, UNKNOWN, decibels, si, significant

ASSUMED_SHARE = 0.1
"""Share of the time that may rest on assumed figures before the time itself is marked as assumed."""


_SHORT = {"sequence": "seq", "token": "token"}


def table(result: Comparison) -> RenderableType:
    """Draw a comparison: a row per chip and number format, then what the figures rest on."""
    first = result.rows[0].cost
    ends = end_to_end.headings([result.reference])
    per = _SHORT[first.unit]
    t = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title(result),
        title_justify="left",
        title_style="bold",
    )
    t.add_column("chip", no_wrap=True)
    t.add_column("format", no_wrap=True)
    t.add_column("SQNR dB", justify="right", no_wrap=True)
    t.add_column("worst layer", no_wrap=True, max_width=34)
    for heading in (*ends, f"time/{per}", "memory", f"J/{per}", f"$/M {per}"):
        t.add_column(heading, justify="right", no_wrap=True)
    t.add_column("limit", no_wrap=True)
    t.add_column("bits", no_wrap=True)
    t.add_row("cpu", "fp32", *_error_cells(result.reference, ends), *([ABSENT] * 5), "documented")
    for i, row in enumerate(result.rows):
        repeated = i > 0 and result.rows[i - 1].chip is row.chip
        if not repeated:
            t.add_section()
        t.add_row(
            "" if repeated else row.chip.id + (f" x{row.cost.tensor_parallel}" if row.cost.tensor_parallel > 1 else ""),
            row.format,
            *_error_cells(row.error, ends),
            *cost_cells(row.cost),
            ABSENT if row.unit is None else row.unit.evidence.grade,
        )
    return Group(t, Text("\n".join(notes(result)), style="dim"))


def title(result: Comparison) -> str:
    """Say what was compared."""
    first = result.rows[0].cost
    step = f"batch {first.batch} x {first.seq} tokens" + (f" after {first.context}" if first.context else "")
    return f"{result.model.name}: {first.phase}, {step}; chipmeter {__version__}, {tier()}"


def _error_cells(error: NumericError | None, ends: Sequence[str]) -> list[str]:
    if error is None:
        return [ABSENT] * (2 + len(ends))
    worst = f"{short_name(error.worst_layer)} {decibels(error.worst_sqnr)}"
    return [decibels(error.sqnr), worst, *end_to_end.cells(error, ends)]


def cost_cells(cost: Estimate) -> list[str]:
    """Write time, memory, energy, dollars and limit."""
    guessed = cost.assumed_share > ASSUMED_SHARE

    def mark(ingredient: str) -> str:
        return "~" if guessed or cost.grades.get(ingredient) == "assumed" else ""

    price = cost.dollars_per_million_units
    other = cost.price is not None and cost.price.kind != "on-demand"
    return [
        ("~" if guessed else "") + si(cost.seconds / cost.units, "s"),
        si(cost.memory.total, "B") + ("" if cost.fits else "!"),
        UNKNOWN if cost.joules_per_unit is None else mark("joules") + significant(cost.joules_per_unit),
        UNKNOWN if price is None else mark("dollars") + significant(price) + ("*" if other else ""),
        cost.bottleneck.removesuffix(" bandwidth"),
    ]


def notes(result: Comparison) -> list[str]:
    """Say what the figures rest on."""
    costs = [row.cost for row in result.rows]
    lines = [
        f"Error: {result.data}.",
        "SQNR: against exact arithmetic, all layers pooled; bits: the evidence grade of the arithmetic.",
        *end_to_end.notes(end_to_end.headings([result.reference])),
        "Operands: fp8 and int8 with a scale per token and output channel; MX by the round-up rule; bias in float32.",
        "Cost: one step at a time on the fewest chips that hold it; $ at the lowest public on-demand price, fully used.",
        (
            f"~ over {ASSUMED_SHARE:.0%} of the time, or the power or price, is assumed (chipmeter estimate says what); "
            "unknown: nobody has published it."
        ),
    ]
    if any(cost.price is not None and cost.price.kind != "on-demand" for cost in costs):
        kinds = sorted({cost.price.kind for cost in costs if cost.price is not None and cost.price.kind != "on-demand"})
        lines.append(f"* no public on-demand price: {', '.join(kinds)}.")
    if any(not cost.fits for cost in costs):
        lines.append("! does not fit the memory of the chips counted.")
    lines += [f"Left out: {line}." for line in result.skipped]
    return lines


def short_name(tensor: str) -> str:
    """Shorten a layer's name to what tells layers apart.

    >>> short_name("encoder.layer.5.attention.output.dense"), short_name("model.layers.31.mlp.down_proj.weight")
    ('5.attention.output', '31.mlp.down_proj')
    """
    tail = re.sub(r"^.*?\.(?=\d+\.)", "", tensor)
    return re.sub(r"\.(dense|weight)(?=\.|$)", "", tail)


def data(result: Comparison) -> dict[str, Any]:
    """Give the comparison as JSON-able data, in SI units; None is unknown or not computed."""
    return {
        "chipmeter": __version__,
        "tier": tier(),
        "machine": platform.machine(),
        "model": result.model.name,
        "data": result.data,
        "synthetic": result.synthetic,
        "reference": _error_data(result.reference),
        "rows": [_row_data(row) for row in result.rows],
        "skipped": list(result.skipped),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity (an exact result has no noise to name in decibels) and no NaN (what overflowed)."""
    return value if value is not None and abs(value) < float("inf") else None


def _error_data(error: NumericError | None) -> dict[str, Any]:
    if error is None:
        return dict.fromkeys(("sqnr_db", "worst_sqnr_db", "worst_layer", "cosine", "worst_cosine"))
    return {
        "sqnr_db": _finite(error.sqnr),
        "worst_sqnr_db": _finite(error.worst_sqnr),
        "worst_layer": error.worst_layer,
        "cosine": _finite(error.cosine),
        "worst_cosine": _finite(error.worst_cosine),
        **end_to_end.data(error),
    }


def _row_data(row: Row) -> dict[str, Any]:
    cost = row.cost
    return {
        "chip": row.chip.id,
        "chips": cost.tensor_parallel,
        "format": row.format,
        "unit": None if row.unit is None else row.unit.name,
        "unit_grade": None if row.unit is None else row.unit.evidence.grade,
        "recipe": row.recipe,
        **_error_data(row.error),
        "work_unit": cost.unit,
        "seconds_per_unit": cost.seconds / cost.units,
        "units_per_second": cost.units_per_second,
        "memory_bytes": cost.memory.total,
        "fits": cost.fits,
        "assumed_share_of_seconds": cost.assumed_share,
        "joules_per_unit": cost.joules_per_unit,
        "dollars_per_million_units": cost.dollars_per_million_units,
        "price_kind": None if cost.price is None else cost.price.kind,
        "price_date": None if cost.price is None else cost.price.date,
        "bottleneck": cost.bottleneck,
        "grades": dict(cost.grades),
        "assumptions": list(cost.assumptions),
    }


def csv_text(result: Comparison) -> str:
    """Give the rows as CSV, one column per scalar of `data`; an empty cell is unknown or not computed."""
    rows = data(result)["rows"]
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in ("grades", "assumptions")]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
