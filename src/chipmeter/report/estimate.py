"""An estimate for people and for programs: low, expected and high of every result, and where the time goes."""

from __future__ import annotations

from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter.cost import BreakEven, Estimate, Range
from chipmeter.report.numbers import UNKNOWN, si, significant

ENDS = ("low", "expected", "high")


def ranges(result: Estimate) -> list[tuple[str, str, Range | None]]:
    """List the results with their keys and titles."""
    unit = result.unit
    return [
        ("seconds", "seconds", result.seconds_range),
        (f"{unit}s_per_second", f"{unit}s per second", result.units_per_second_range),
        ("joules_per_unit", f"board joules per {unit}", result.joules_per_unit_range),
        ("facility_joules_per_unit", f"joules at the meter per {unit}", result.facility_joules_per_unit_range),
        ("dollars_per_million_units", f"$ per million {unit}s", result.dollars_per_million_units_range),
    ]


def data(result: Estimate, even: BreakEven | None = None) -> dict[str, Any]:
    """Everything, as plain data; each result expected alone, and with its ends under ``ranges``."""
    found = ranges(result)
    out: dict[str, Any] = msgspec.to_builtins(result)
    out |= {key: None if one is None else one.expected for key, _, one in found}
    out |= {
        "mfu": result.mfu,
        "memory_bytes": result.memory.total,
        "fits": result.fits,
        "bottleneck": result.bottleneck,
        "ranges": {key: msgspec.to_builtins(one) for key, _, one in found},
    }
    return out | even_data(even)


def even_data(even: BreakEven | None) -> dict[str, Any]:
    """Lay out a break-even, if there is one, for JSON."""
    return {} if even is None else {"break_even": {**msgspec.to_builtins(even), "says": str(even)}}


def cells(one: Range | None) -> list[str]:
    """Write low, expected and high."""
    return [UNKNOWN] * 3 if one is None else [significant(getattr(one, end)) for end in ENDS]


def title(result: Estimate) -> str:
    """Say what was estimated."""
    return f"{result.model} on {result.tensor_parallel} x {result.chip}, {result.phase}, {result.formats.gemm}"


def notes(result: Estimate) -> list[str]:
    """List what it rests on."""
    outside = ["outside the calibrated range: the ranges are wider"] if result.outside else []
    return [*outside, *result.assumptions]


def table(result: Estimate, even: BreakEven | None = None) -> RenderableType:
    """Draw an estimate: operations, results with their ends, assumptions."""
    ops = Table(box=box.SIMPLE, title=title(result), title_justify="left")
    for heading in ("operation", "count", "time", "limit", "FLOP", "bytes", "evidence"):
        ops.add_column(heading, justify="left" if heading in ("operation", "limit", "evidence") else "right")
    for op in result.ops:
        ops.add_row(
            op.name, str(op.count), si(op.seconds, "s"), op.limit, si(op.flops, ""), si(op.bytes, "B"), op.grade
        )
    ends = Table(box=box.SIMPLE)
    ends.add_column("")
    for end in ENDS:
        ends.add_column(end, justify="right")
    for _, heading, one in ranges(result):
        ends.add_row(heading, *cells(one))
    facts = Text(
        f"{result.mfu:.1%} of peak; {si(result.memory.total, 'B')} of {si(result.memory.capacity, 'B')} on each chip, "
        f"{'fits' if result.fits else 'does not fit'}; limited by {result.bottleneck}"
    )
    said = [] if even is None else [Text(str(even), style="bold")]
    return Group(ops, ends, facts, *said, Text("\n".join(f"- {line}" for line in notes(result)), style="dim"))
