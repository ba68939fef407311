"""`chipmeter units`: the matrix units, with their evidence."""

from __future__ import annotations

import click
import msgspec

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("pattern", default="")
@json_option
def units(pattern: str, as_json: bool) -> None:
    """List the matrix units whose name or alias contains PATTERN (default: all)."""
    from rich import box
    from rich.table import Table

    from chipmeter._names import unknown_name
    from chipmeter.matmul import aliases
    from chipmeter.matmul import units as every

    short: dict[str, list[str]] = {}
    for alias, name in aliases().items():
        short.setdefault(name, []).append(alias)
    found = [u for u in every().values() if any(pattern.lower() in n for n in (u.name, *short.get(u.name, ())))]
    if not found:
        raise unknown_name("unit", pattern, [*every(), *aliases()])
    if as_json:
        print_json(
            [
                {**msgspec.to_builtins(u), "model_kind": type(u.model).__name__, "aliases": short.get(u.name, [])}
                for u in found
            ]
        )
        return
    table = Table(box=box.SIMPLE, caption=f"{len(found)} units")
    for title in ("unit", "k", "model", "evidence", "also"):
        table.add_column(title, overflow="fold")
    for u in found:
        table.add_row(u.name, str(u.k), _model(u), u.evidence.grade, ", ".join(short.get(u.name, [])))
    print_table(table)


def _model(unit: object) -> str:
    """Write a model with its parameters in one line."""
    from chipmeter.matmul import Unit

    assert isinstance(unit, Unit)
    fields = msgspec.to_builtins(unit.model)
    inner = fields.get("step", fields)
    return f"{type(unit.model).__name__} " + " ".join(f"{k}={v}" for k, v in inner.items() if v not in (0, False))
