"""`chipmeter factory`: what to own, what to rent, what runs where."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json, print_table, report_option


@click.command()
@click.argument("plan", type=click.Path(dir_okay=False))
@report_option
@json_option
@click.pass_context
def factory(ctx: click.Context, plan: str, report_path: str | None, as_json: bool) -> None:
    """Plan an AI factory from PLAN (a TOML file): systems to own and rent, and what runs where, at the least cost.

    Exit status 1 when no plan keeps the limits.
    """
    from chipmeter.factory import plan_factory

    found = plan_factory(plan)
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.factory_page(found), report_path)
    if as_json:
        print_json(found)
    else:
        from chipmeter.report import factory as report

        print_table(report.table(found))
    if not found.feasible:
        ctx.exit(1)
