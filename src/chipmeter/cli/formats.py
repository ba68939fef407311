"""`chipmeter formats`: the number formats."""

from __future__ import annotations

from typing import Any

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@json_option
def formats(as_json: bool) -> None:
    """List the number formats: layout, range, special values."""
    from rich import box
    from rich.table import Table

    from chipmeter.formats import FORMATS, FloatFormat, IntegerFormat

    rows: list[dict[str, Any]] = []
    for fmt in FORMATS.values():
        row: dict[str, Any] = {"name": fmt.name, "aliases": list(fmt.aliases), "bits": fmt.bits}
        if isinstance(fmt, FloatFormat):
            row |= {
                "layout": f"{int(fmt.signed)}-{fmt.exponent_bits}-{fmt.mantissa_bits}",
                "bias": fmt.bias,
                "max": fmt.max,
                "smallest": fmt.smallest,
                "infinity": fmt.infinity,
                "nan": fmt.nan,
            }
        elif isinstance(fmt, IntegerFormat):
            row |= {"layout": "integer", "max": fmt.max, "smallest": 1}
        else:
            row |= {"layout": "table", "max": max(fmt.values), "smallest": min(v for v in fmt.values if v > 0)}
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    table = Table(box=box.SIMPLE)
    for title in ("name", "bits", "layout", "bias", "max", "smallest", "infinity", "nan", "aliases"):
        table.add_column(title, overflow="fold")
    for row in rows:
        cells = [row.get(key, "") for key in ("name", "bits", "layout", "bias", "max", "smallest", "infinity", "nan")]
        table.add_row(*(f"{c:.6g}" if isinstance(c, float) else str(c) for c in cells), ", ".join(row["aliases"]))
    print_table(table)
