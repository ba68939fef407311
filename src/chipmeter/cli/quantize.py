"""`chipmeter quantize`: a whole checkpoint, file to file."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option(
    "--recipe", "recipes", multiple=True, required=True, help="RECIPE, or PATTERN=RECIPE; 'keep' leaves a tensor alone."
)
@click.option("--overwrite", is_flag=True, help="Replace files at DST.")
@click.option("--threads", type=int, help="Default CHIPMETER_NUM_THREADS, else 1.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@json_option
def quantize(
    source: str,
    destination: str,
    recipes: tuple[str, ...],
    overwrite: bool,
    threads: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Quantise the matrices of the safetensors checkpoint SRC into DST and print each tensor's error.

    SRC is a file or a folder of shards. A pattern such as 'layers.*.mlp=mxfp8' stands for whole parts of a tensor's
    name; the last --recipe that matches counts. A run that was killed goes on where it stopped when it is given again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from chipmeter.quantize.convert import quantize_checkpoint

    if as_csv and as_json:
        raise ValueError("give one of --csv and --json")
    columns = (TextColumn("{task.description:50}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading the checkpoint", total=1.0)
        rows = quantize_checkpoint(
            source,
            destination,
            recipes,
            overwrite=overwrite,
            threads=threads,
            progress=lambda what, share: bar.update(task, description=what[-50:], completed=share),
        )
    if as_json:
        print_json(rows)
        return
    titles = ("tensor", "dtype", "shape", "recipe", "bits", "SQNR dB", "max error", "clipped", "to zero", "bytes")
    cells = [
        (
            row.name,
            row.dtype,
            "x".join(map(str, row.shape)),
            row.recipe or "keep",
            f"{row.bits:.3f}",
            "" if row.sqnr is None else f"{row.sqnr:.2f}",
            "" if row.max_error is None else f"{row.max_error:.3g}",
            str(row.clipped),
            str(row.flushed),
            str(row.nbytes),
        )
        for row in rows
    ]
    if as_csv:
        import csv
        import io

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([titles, *cells])
        click.echo(text.getvalue(), nl=False)
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for title in titles:
        table.add_column(title, justify="left" if title in ("tensor", "dtype", "recipe") else "right", overflow="fold")
    for line in cells:
        table.add_row(*map(escape, line))
    print_table(table)
