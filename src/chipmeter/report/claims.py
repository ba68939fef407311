"""Claims for people: one table of verdicts, or one claim with its figures; and the docs page."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter.claims import Check, Finding
from chipmeter.report.numbers import significant


def table(checks: Iterable[Check]) -> RenderableType:
    """Draw all claims: what was said, the verdict and why."""
    t = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    t.add_column("claim", overflow="fold", ratio=2)
    t.add_column("verdict", no_wrap=True)
    t.add_column("why", overflow="fold", ratio=5)
    t.add_column("figures", no_wrap=True)
    for check in checks:
        name = Text.assemble((check.claim.id, "bold"), f"\n{check.claim.title}")
        t.add_row(name, check.verdict, check.why, check.grade)
    return t


def card(check: Check) -> RenderableType:
    """Draw one claim with the figures computed for it and how."""
    claim = check.claim
    head = Text.assemble(
        (f"{claim.id}: {check.verdict}\n", "bold"),
        f"{check.why}\n\nSaid: {claim.said}\n{claim.who}, {claim.date}; {claim.source} ({claim.grade})",
    )
    t = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    t.add_column("figure", overflow="fold")
    t.add_column("value", justify="right", no_wrap=True)
    t.add_column("computed from", overflow="fold")
    t.add_column("evidence", no_wrap=True)
    for finding in check.findings:
        t.add_row(finding.what, quantity(finding), finding.how, finding.grade)
    left_open = "".join(f"\nNot stated: {item}." for item in claim.unstated)
    assumed = "".join(f"\nAssumed: {item}." for item in check.assumptions)
    return Group(head, t, Text((left_open + assumed).strip()))


def markdown(checks: Iterable[Check]) -> str:
    """Write all claims as a Markdown page body."""
    parts = []
    for check in checks:
        claim = check.claim
        rows = "\n".join(f"| {f.what} | {quantity(f)} | {f.how} | {f.grade} |" for f in check.findings)
        parts.append(
            f"## {claim.title}\n\n**{check.verdict.capitalize()}**: {check.why}\n\n"
            f"Said: {claim.said} {claim.who}, {claim.date}; {claim.source} ({claim.grade}). "
            f"Not stated: {'; '.join(claim.unstated)}.\n\n"
            f"| figure | value | computed from | evidence |\n| --- | ---: | --- | --- |\n{rows}\n\n"
            f"Assumed: {'; '.join(check.assumptions)}.\n"
        )
    return "\n".join(parts)


def quantity(finding: Finding) -> str:
    """Write a finding's value with its unit.

    >>> quantity(Finding(what="a", value=19.579, unit="billion $/year", how="b", grade="inferred"))
    '19.6 billion $/year'
    """
    return f"{significant(finding.value)} {finding.unit}".strip()
