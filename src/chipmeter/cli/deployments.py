"""The serving half of `chipmeter plan`: deployments within limits on both times, as a table or JSON."""

from __future__ import annotations

from typing import Any

import click

from chipmeter.cli.options import elsewhere, print_json, print_table


def show(
    model: str, chips: tuple[int, ...], objective: str | None, software: str | None, load: dict[str, Any],
    where: dict[str, Any], against: str | None, saving: float, as_json: bool,
) -> None:  # fmt: skip
    """Search and print."""
    from functools import partial

    import msgspec
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from chipmeter.cost import break_even
    from chipmeter.planning import best_serving
    from chipmeter.planning.serving import READERS_BUSY
    from chipmeter.report.estimate import even_data

    if len(chips) > 1:
        raise click.UsageError("give one number of --chips to serve")
    if load["prompt"] is None or load["answer"] is None:
        raise click.UsageError("give both --prompt and --answer to serve")
    search = partial(
        best_serving, model, chips=chips[0], objective=objective or "tokens_per_second", engine=software or "vllm",  # type: ignore[arg-type]
        **load,
    )  # fmt: skip
    found = search(**where)
    even = None if against is None else break_even(found.best, search(**elsewhere(against, where)).best, saving)
    if as_json:
        rows = [{**msgspec.to_builtins(one), "layout": one.layout} for one in found.deployments]
        print_json({**msgspec.to_builtins(found), "deployments": rows, **even_data(even)})
        return
    title = f"{found.model} on {found.chips:,} x {found.chip}, {found.prompt:,} tokens in, {found.answer:,} out"
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    table.add_column("deployment")
    for name in (
        "tokens/s",
        "90 % interval",
        "between tokens",
        "90 % interval",
        "to the first",
        "90 % interval",
        "cache holds",
        "$/M tokens",
    ):
        table.add_column(name, justify="right")
    for one in found.deployments:
        table.add_row(
            one.layout,
            f"{one.tokens_per_second.expected:,.0f}",
            f"{one.tokens_per_second.low:,.0f}-{one.tokens_per_second.high:,.0f}",
            f"{one.tpot.seconds * 1e3:.1f} ms",
            f"{one.tpot.low * 1e3:.1f}-{one.tpot.high * 1e3:.1f}",
            f"{one.ttft.seconds:.2f} s",
            f"{one.ttft.low:.2f}-{one.ttft.high:.2f}",
            f"{one.room:,.0f}",
            "unknown" if one.dollars_per_million_tokens is None else f"${one.dollars_per_million_tokens.expected:.3g}",
        )
    notes = [f"{found.examined:,} layouts and loads examined"]
    notes += [f"{count} layouts broke {name!r}" for name, count in found.broken.items()]
    if any(one.tpot.outside for one in found.deployments):
        notes.append("outside what was measured: the interval is wider")
    if any(one.readers for one in found.deployments):
        notes.append(
            f"copies that only read prompts are busy for {READERS_BUSY:.0%} of the time; the runs behind their times state no pools"
        )
    notes.append("requests never cease; limits hold for the expected times")
    said = [] if even is None else [Text(str(even), style="bold")]
    print_table(Group(table, *said, Text("\n".join(f"- {line}" for line in notes), style="dim")))
