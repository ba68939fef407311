"""`chipmeter compare`: error and cost of a model by chip and number format."""

from __future__ import annotations

import click

from chipmeter._threads import available_cores
from chipmeter.cli.options import json_option, names, print_json, print_table, report_option


@click.command()
@click.argument("model")
@click.option("--chips", "chip_names", callback=names, help="Chips, separated by commas, or 'all'.")
@click.option(
    "--formats", "format_names", callback=names, help="Number formats, separated by commas: bf16,fp8,mxfp8,..."
)
@click.option("--phase", help="prefill, decode or train; an encoder: encode or train.")
@click.option("--batch", type=int, default=32, show_default=True, help="Sequences per step.")
@click.option("--seq", type=int, help="New tokens per sequence.")
@click.option("--context", type=int, help="Tokens per sequence already in the cache.")
@click.option("--layers", type=int, help="How many layers to measure the error on.")
@click.option("--threads", type=int, help="Threads of the emulation; default all cores.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@report_option
@json_option
def compare(
    model: str,
    chip_names: list[str] | None,
    format_names: list[str] | None,
    phase: str | None,
    batch: int,
    seq: int | None,
    context: int | None,
    layers: int | None,
    threads: int | None,
    as_csv: bool,
    report_path: str | None,
    as_json: bool,
) -> None:
    """Compare chips and number formats on MODEL.

    MODEL is a folder with config.json and *.safetensors, a lone config.json, or a preset such as minilm or
    llama-3.1-8b. Numeric error is measured under each chip's bit-exact emulation; time, memory, energy and dollars are
    per token, or per sequence for an encoder.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from chipmeter.comparison import compare as run
    from chipmeter.report import comparison

    if as_csv and as_json:
        raise ValueError("give one of --csv and --json")
    columns = (TextColumn("{task.description:45}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
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
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.comparison_page(result), report_path)
    if as_json:
        print_json(comparison.data(result))
    elif as_csv:
        click.echo(comparison.csv_text(result), nl=False)
    else:
        print_table(comparison.table(result))
