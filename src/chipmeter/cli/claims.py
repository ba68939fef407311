"""`chipmeter claims`: public claims beside what specifications and prices give."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json, print_table


@click.command()
@click.argument("name", required=False)
@json_option
def claims(name: str | None, as_json: bool) -> None:
    """Recompute public claims from the catalogue; with NAME, one claim with its figures."""
    from chipmeter.claims import check, checks
    from chipmeter.report import claims as report

    if name is None:
        every = checks()
        if as_json:
            print_json(every)
        else:
            print_table(report.table(every))
        return
    one = check(name)
    if as_json:
        print_json(one)
    else:
        print_table(report.card(one))
