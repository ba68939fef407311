"""`chipmeter frontier`: error against cost for every chip, number format and recipe."""

from __future__ import annotations

from typing import Any

import click

from chipmeter._threads import available_cores
from chipmeter.cli.options import json_option, print_json, print_table, progress_bar, report_option, workload_options


@click.command()
@click.argument("model")
@workload_options
@click.option("--every", is_flag=True, help="Print every point, not only those that no other beats.")
@click.option(
    "--store", "path", type=click.Path(dir_okay=False), help="Keep measurements there; a run goes on with them."
)
@report_option
@json_option
def frontier(
    model: str, threads: int | None, every: bool, path: str | None, report_path: str | None, as_json: bool, **workload: Any
) -> None:  # fmt: skip
    """Set the error of each chip's arithmetic on MODEL against dollars, joules and seconds.

    MODEL is as for compare. Prints the points that no other beats: for the same error or less, none costs less.
    """
    from contextlib import nullcontext

    from chipmeter.frontier import Store
    from chipmeter.frontier import frontier as run
    from chipmeter.report import frontier as report

    cores = available_cores() if threads is None else threads
    with nullcontext() if path is None else Store(path) as store, progress_bar("reading the model") as progress:
        result = run(model, threads=cores, store=store, progress=progress, **workload)
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.frontier_page(result), report_path)
    if as_json:
        print_json(report.data(result))
    else:
        print_table(report.table(result, every=every))
