"""`chipmeter frontier`: error against cost for every chip, number format and recipe."""

from __future__ import annotations

import click

from chipmeter._threads import available_cores
from chipmeter.cli.options import json_option, names, print_json, print_table, report_option


@click.command()
@click.argument("model")
@click.option("--chips", "chip_names", callback=names, help="Chips, separated by commas, or 'all'.")
@click.option("--formats", "format_names", callback=names, help="Number formats, separated by commas.")
@click.option("--phase", help="prefill, decode or train; an encoder: encode or train.")
@click.option("--batch", type=int, default=32, show_default=True, help="Sequences per step.")
@click.option("--seq", type=int, help="New tokens per sequence.")
@click.option("--context", type=int, help="Tokens per sequence already in the cache.")
@click.option("--layers", type=int, help="How many layers to measure the error on.")
@click.option("--threads", type=int, help="Threads of the emulation; default all cores.")
@click.option("--every", is_flag=True, help="Print every point, not only those that no other beats.")
@click.option(
    "--store", "store_path", type=click.Path(dir_okay=False), help="Keep measurements there; a run goes on with them."
)
@report_option
@json_option
def frontier(
    model: str,
    chip_names: list[str] | None,
    format_names: list[str] | None,
    phase: str | None,
    batch: int,
    seq: int | None,
    context: int | None,
    layers: int | None,
    threads: int | None,
    every: bool,
    store_path: str | None,
    report_path: str | None,
    as_json: bool,
) -> None:
    """Set the error of each chip's arithmetic on MODEL against dollars, joules and seconds.

    MODEL is as for compare. Prints the points that no other beats: for the same error or less, none costs less.
    """
    from contextlib import ExitStack

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from chipmeter.frontier import Store
    from chipmeter.frontier import frontier as run
    from chipmeter.report import frontier as report

    columns = (TextColumn("{task.description:45}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with ExitStack() as stack:
        store = None if store_path is None else stack.enter_context(Store(store_path))
        bar = stack.enter_context(Progress(*columns, console=console, transient=True, disable=not console.is_terminal))
        task = bar.add_task("reading the model", total=1.0)
        result = run(
            model,
            chips=chip_names,
            formats=format_names,
            phase=phase,
            batch=batch,
            seq=seq,
            context=context,
            layers=layers,
            threads=available_cores() if threads is None else threads,
            store=store,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.frontier_page(result), report_path)
    if as_json:
        print_json(report.data(result))
    else:
        print_table(report.table(result, every=every))
