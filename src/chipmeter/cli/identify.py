"""`chipmeter identify`: the unit behind a matrix product."""

from __future__ import annotations

from dataclasses import asdict

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("spec")
@click.option("--types", help="Types a.b.c.d, for example f16.f16.f32.f32 (a or a.d for short).")
@click.option("--scale", help="Type of block scales that a function takes: ue8m0 or ue4m3.")
@click.option("--scale-block", type=int, default=0, help="Elements of K per block scale.")
@json_option
def identify(spec: str, types: str | None, scale: str | None, scale_block: int, as_json: bool) -> None:
    """Find the unit whose bits SPEC gives, and show the probes.

    SPEC is unit:NAME (an emulated unit, its label hidden), numpy:float32, torch:cuda, torch:cpu, or module:function.
    """
    from rich import box
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from chipmeter.identification import identify as run
    from chipmeter.identification import open_source

    probed = open_source(spec, types, scale=scale, scale_block=scale_block).device
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("identify", total=1.0)
        found = run(
            probed.matmul,
            probed.types,
            addend=probed.addend,
            scale=probed.scale,
            scale_block=probed.scale_block,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    if as_json:
        print_json({**asdict(found), "summary": found.summary})
    else:
        table = Table(box=box.SIMPLE, title=found.summary, title_justify="left")
        for title in ("property", "observed", "shown by"):
            table.add_column(title, overflow="fold")
        for probe in found.probes:
            table.add_row(probe.name, probe.value, probe.shown_by)
        print_table(table)
        click.echo(f"{found.outputs} outputs compared with each of {sum(map(len, found.classes))} units")
        for near in found.nearest:
            click.echo(f"not {near.unit}: {near.mismatches} of {near.compared} outputs differ")
            for p in near.properties:
                click.echo(f"  {p.name} there: {p.value}")
            click.echo(f"  {near.example}")
