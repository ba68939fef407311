"""`chipmeter verify`: recordings against the emulation."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("directory")
@click.option("--all", "every", is_flag=True, help="List rows without mismatches too.")
@json_option
def verify(directory: str, every: bool, as_json: bool) -> None:
    """Emulate every recording under DIRECTORY (index.json beside npz files) and count differing bits.

    Exit status 1 if any output differs. Rows that the emulation does not support are counted apart, never as passed.
    """
    from rich import box
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from chipmeter.verify import verify as run

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verify", total=1.0)
        report = run(directory, progress=lambda what, share: bar.update(task, description=what, completed=share))
    rows = report.rows
    if as_json:
        print_json(
            {
                "rows": [
                    {"name": r.name, "compared": r.compared, "mismatches": r.mismatches, "unsupported": r.unsupported}
                    for r in rows
                ]
            }
        )
    else:
        shown = [r for r in rows if every or r.mismatches]
        table = Table(box=box.SIMPLE)
        for title in ("row", "compared", "mismatches", "unsupported", "note"):
            table.add_column(title, justify="left" if title in ("row", "note") else "right", overflow="fold")
        for r in shown:
            table.add_row(r.name, str(r.compared), str(r.mismatches), str(r.unsupported), r.first_mismatch or r.note)
        if shown:
            print_table(table)
        passed = sum(1 for r in rows if r.compared and not r.mismatches)
        click.echo(
            f"{len(rows)} rows: {passed} agree, {sum(1 for r in rows if r.mismatches)} differ, "
            f"{sum(1 for r in rows if r.unsupported)} not supported; {sum(r.compared for r in rows)} outputs compared, "
            f"{sum(r.mismatches for r in rows)} mismatches"
        )
    if any(r.mismatches for r in rows):
        raise click.exceptions.Exit(1)
