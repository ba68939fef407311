"""`chipmeter chips`: the catalogue."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json, print_table


class _Chips(click.Group):
    """Tell who names a chip right after `chips` where the name goes."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(
                f"unknown command {args[0]!r} of chips; one chip is printed by: chips show {args[0]}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Chips, invoke_without_command=True)
@json_option
@click.pass_context
def chips(ctx: click.Context, as_json: bool) -> None:
    """List the chips of the catalogue; `chips show CHIP` gives every figure with its source."""
    if ctx.invoked_subcommand is None:
        from chipmeter.chips import show

        if as_json:
            print_json(show.catalogue_data())
        else:
            print_table(show.catalogue_table())


@chips.command("show")
@click.argument("name")
@json_option
def show_chip(name: str, as_json: bool) -> None:
    """Show every figure of one chip: value, evidence grade, source, date, conflicts, systems and prices."""
    from chipmeter.chips import show

    if as_json:
        print_json(show.chip_data(name))
    else:
        print_table(show.chip_card(name))
