"""`chipmeter validate`: predictions beside measurements, and beside what a constant rate would have given."""

from __future__ import annotations

from pathlib import Path

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--slices", is_flag=True, help="Show every slice of every table.")
@click.option("--rows", type=click.Path(path_type=Path), help="Also write every row's prediction to this CSV file.")
@json_option
def validate(folder: Path | None, slices: bool, rows: Path | None, as_json: bool) -> None:
    """Predict every row of the measured tables in FOLDER (default: a few that come with chipmeter)."""
    import msgspec
    from rich import box
    from rich.table import Table

    from chipmeter.validate.run import report, write_rows

    result, found = report(folder)
    if rows is not None:
        write_rows(rows, found)
    if as_json:
        print_json(msgspec.to_builtins(result))
        return
    table = Table(box=box.SIMPLE)
    table.add_column("table")
    titles = ["n", "coverage", "median error", "mean error", "bias", "in 90% interval"]
    titles += ["pairs right", "outside range", "null median"]
    for title in titles:
        table.add_column(title, justify="right")
    for one in result.tables:
        for part in (one, *(one.slices if slices else ())):
            errors = (part.median_abs_error, part.mean_abs_error, part.bias)
            trust = (part.interval_coverage, part.pairs_right, part.outside, part.null_median_abs_error)
            table.add_row(
                part.name if part is one else f"  {part.name}",
                str(part.n),
                *(f"{share:.1%}" for share in (part.coverage, *errors, *trust)),
            )
    print_table(table)
    if result.skipped:
        click.echo(f"nothing to predict in: {', '.join(result.skipped)}", err=True)
