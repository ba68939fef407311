"""`chipmeter compare`: error and cost of a model by chip and number format."""

from __future__ import annotations

from typing import Any

import click

from chipmeter._threads import available_cores
from chipmeter.cli.options import json_option, print_json, print_table, progress_bar, report_option, workload_options


@click.command()
@click.argument("model")
@workload_options
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@report_option
@json_option
def compare(
    model: str, threads: int | None, as_csv: bool, report_path: str | None, as_json: bool, **workload: Any
) -> None:
    """Compare chips and number formats on MODEL.

    MODEL is a folder with config.json and *.safetensors, a lone config.json, or a preset such as minilm or
    llama-3.1-8b. Numeric error is measured under each chip's bit-exact emulation; time, memory, energy and dollars are
    per token, or per sequence for an encoder.
    """
    from chipmeter.comparison import compare as run
    from chipmeter.report import comparison

    if as_csv and as_json:
        raise ValueError("give one of --csv and --json")
    with progress_bar("reading the model") as progress:
        result = run(model, threads=available_cores() if threads is None else threads, progress=progress, **workload)
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.comparison_page(result), report_path)
    if as_json:
        print_json(comparison.data(result))
    elif as_csv:
        click.echo(comparison.csv_text(result), nl=False)
    else:
        print_table(comparison.table(result))
