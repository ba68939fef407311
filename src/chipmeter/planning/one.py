"""One plan priced, or refused in words."""

from __future__ import annotations

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.plan import Plan
from chipmeter.planning.evaluate import in_full
from chipmeter.planning.nearest import nearest
from chipmeter.planning.records import Ranked, layout
from chipmeter.planning.rules import faults
from chipmeter.planning.site import Model, find_site


def price_plan(
    model: Model,
    plan: Plan,
    system: System | str | None = None,
    *,
    chip: Chip | str | None = None,
    price: PriceKind | Price = "on-demand",
    memory: float | None = None,
    software: str = "mbridge",
) -> Ranked:
    """Price a step of training under one plan; the parameters are those of `best_plan`.

    Raises
    ------
    ValueError
        If the plan does not work: every rule that it breaks, and the nearest plan that works.

    Examples
    --------
    >>> plan = Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5, context=2)
    >>> step = price_plan("llama-3.1-70b", plan, chip="h100")
    >>> step.low < step.seconds < step.high, len(step.stages)
    (True, 4)
    """
    site = find_site(model, chip, system, price, software, [plan.format], memory)
    plan = plan.kept_by(software)
    wrong = faults(site.model, site.device, plan)
    if not wrong:
        return in_full(site, plan)
    near = nearest(site.model, site.device, plan)
    works = "no plan for these chips works" if near is None else f"the nearest plan that works: {layout(near)}"
    raise ValueError(f"{'; '.join(wrong)}; {works}")
