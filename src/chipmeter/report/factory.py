"""A factory plan for people: the verdict, what is held, what runs where, what limits it, and the alternatives."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chipmeter.factory.plan import FactoryPlan
from chipmeter.report.numbers import si, significant


def table(plan: FactoryPlan) -> RenderableType:
    """Draw a plan."""
    if not plan.feasible:
        lines = ["No plan keeps the limits."]
        lines += [f"Conflict: {conflict}" for conflict in plan.conflicts] + list(plan.notes)
        return Text("\n".join(lines))
    parts: list[RenderableType] = [
        Text(f"{dollars(plan.dollars)} over {plan.months} months, {proof(plan)}", style="bold"),
        _holdings(plan),
        _placements(plan),
    ]
    if plan.limits:
        parts.append(_limits(plan))
    parts.append(_months(plan))
    parts.append(Text("\n".join(sentences(plan))))
    return Group(*parts)


def dollars(value: float) -> str:
    """Write dollars with a size word.

    >>> dollars(3013030.0), dollars(950.0)
    ('$3.01 M', '$950')
    """
    for size, word in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"${significant(value / (1e3 if word == ' k' else size))}{word}"
    return f"${value:,.0f}"


def proof(plan: FactoryPlan) -> str:
    """Say how sure it is that no plan is cheaper."""
    return "proved optimal" if plan.optimal else f"within {plan.gap:.2%} of the optimum"


def sentences(plan: FactoryPlan) -> list[str]:
    """Say what the plan nearly was, what would change it, and what it assumes."""
    lines = []
    if plan.second is not None:
        systems = ", ".join(
            f"{count} x {name}" if count else f"{name} by the hour" for name, count in plan.second.systems.items()
        )
        extra = plan.second.dollars - plan.dollars
        lines.append(f"Second best: {systems} for {dollars(plan.second.dollars)}, {dollars(extra)} more.")
    lines += [
        f"{name} has no known price: it would enter the plan below ${value:,.2f} per system-hour."
        for name, value in plan.break_even.items()
    ]
    spent = plan.by_month["plan"][-1] if plan.by_month.get("plan") else plan.dollars
    if spent - plan.dollars > 0.005 * plan.dollars:
        lines.append(
            f"Spent by month {plan.months}: {dollars(spent)}; what owned systems are worth then, "
            f"{dollars(spent - plan.dollars)}, is credited."
        )
    own, rent = plan.by_month.get("own"), plan.by_month.get("rent")
    if own and rent:
        month = next((i + 1 for i, (a, b) in enumerate(zip(own, rent, strict=True)) if a <= b), None)
        lines.append(
            f"Owning everything has cost less than renting everything from month {month} on."
            if month
            else f"Renting everything costs less than owning everything for all {plan.months} months."
        )
    return lines + [f"Note: {note}." for note in plan.notes]


def _grid(*columns: tuple[str, str]) -> Table:
    t = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, justify in columns:
        t.add_column(title, justify="right" if justify == "right" else "left", overflow="fold")
    return t


def _holdings(plan: FactoryPlan) -> Table:
    t = _grid(("hold", ""), ("systems", "right"), ("dollars", "right"), ("evidence", ""), ("figures from", ""))
    for h in plan.holdings:
        t.add_row(h.option, str(h.systems), dollars(h.dollars), h.grade, h.source)
    return t


def _placements(plan: FactoryPlan) -> Table:
    t = _grid(("workload", ""), ("runs on", ""), ("share", "right"), ("systems", "right"), ("format", ""), ("how", ""))
    for p in plan.placements:
        t.add_row(p.workload, p.option, f"{p.share:.0%}", significant(p.systems), p.format, p.note)
    return t


def _limits(plan: FactoryPlan) -> Table:
    t = _grid(("limit", ""), ("used", "right"), ("of", "right"), ("one more saves", "right"))
    for row in limit_rows(plan):
        t.add_row(*row)
    return t


def limit_rows(plan: FactoryPlan) -> list[list[str]]:
    """Write each limit: what is used, what is allowed, and what one thousand more would save."""
    rows = []
    for use in plan.limits:
        worth = f"{dollars(use.shadow_price * 1e3)} per k{use.unit}" if use.shadow_price > 1e-9 else "nothing"
        rows.append([use.limit, _amount(use.used, use.unit), _amount(use.most, use.unit), worth])
    return rows


def _amount(value: float, unit: str) -> str:
    return dollars(value) if unit == "$" else si(value, unit)


def _months(plan: FactoryPlan) -> Table:
    shown = sorted({1, 3, 6, *range(12, plan.months + 1, 12), plan.months})
    t = _grid(("spent by month", ""), *((str(month), "right") for month in shown if month <= plan.months))
    words = {"plan": "this plan", "rent": "renting everything", "own": "owning everything"}
    for name, spent in plan.by_month.items():
        t.add_row(words[name], *(dollars(spent[month - 1]) for month in shown if month <= plan.months))
    return t
