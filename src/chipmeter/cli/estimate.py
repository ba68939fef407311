"""`chipmeter estimate`: time, memory, energy and dollars of one step, with what they rest on."""

from __future__ import annotations

from typing import Any

import click

from chipmeter.cli.options import json_option, print_json, print_table, report_option


@click.command()
@click.argument("model")
@click.option("--chip", help="A chip of the catalogue.")
@click.option("--system", help="A system one rents: gives the chip, its network and the price.")
@click.option("--phase", help="prefill, decode or train; an encoder: encode or train.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences per step.")
@click.option("--seq", type=int, help="New tokens per sequence.")
@click.option("--context", type=int, help="Tokens per sequence already in the cache.")
@click.option("--format", "number_format", default="bf16", show_default=True, help="Number format of matrix operands.")
@click.option("--tensor-parallel", type=int, help="Chips that share each layer; default the fewest that fit.")
@click.option("--price", default="on-demand", show_default=True, help="Kind of price: on-demand, capacity-block, ...")
@report_option
@json_option
def estimate(
    model: str,
    chip: str | None,
    system: str | None,
    phase: str | None,
    batch: int,
    seq: int | None,
    context: int | None,
    number_format: str,
    tensor_parallel: int | None,
    price: Any,
    report_path: str | None,
    as_json: bool,
) -> None:
    """Estimate one step of MODEL on a chip or system: the breakdown by operation, and every assumption."""
    import msgspec
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from chipmeter.cost import estimate as run
    from chipmeter.report.numbers import si

    result = run(
        model, chip, system=system, phase=phase, batch=batch, seq=seq, context=context, format=number_format,
        tensor_parallel=tensor_parallel, price=price,
    )  # fmt: skip
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.estimate_page(result), report_path)
    totals = {
        "seconds": result.seconds,
        f"{result.unit}s_per_second": result.units_per_second,
        "mfu": result.mfu,
        "memory_bytes": result.memory.total,
        "fits": result.fits,
        "joules_per_unit": result.joules_per_unit,
        "dollars_per_million_units": result.dollars_per_million_units,
        "bottleneck": result.bottleneck,
    }
    if as_json:
        print_json({**msgspec.to_builtins(result), **totals})
        return
    summary = Table.grid(padding=(0, 2))
    for name, value in totals.items():
        text = "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        summary.add_row(name.replace("_", " "), text)
    ops = Table(
        box=box.SIMPLE,
        title=f"{result.model} on {result.tensor_parallel} x {result.chip}, {result.phase}, {number_format}",
        title_justify="left",
    )
    for title in ("operation", "count", "time", "limit", "FLOP", "bytes", "evidence"):
        ops.add_column(title, justify="left" if title in ("operation", "limit", "evidence") else "right")
    for op in result.ops:
        ops.add_row(
            op.name, str(op.count), si(op.seconds, "s"), op.limit, si(op.flops, ""), si(op.bytes, "B"), op.grade
        )
    print_table(
        Group(ops, summary, Text("\n".join(f"- {line}" for line in ("", *result.assumptions) if line), style="dim"))
    )
