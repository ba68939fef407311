"""One plan priced, or refused in words."""

from __future__ import annotations

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.plan import Plan
from chipmeter.planning.evaluate import in_full
from chipmeter.planning.nearest import nearest
from chipmeter.planning.records import Ranked, layout
from chipmeter.planning.rules import faults
from chipmeter.planning.site import Model, find_site
from chipmeter.workloads import Workload


def price_plan(
    model: Model | Workload,
    plan: Plan,
    system: System | str | None = None,
    *,
    chip: Chip | str | None = None,
    price: PriceKind | Price = "on-demand",
    memory: float | None = None,
    software: str = "mbridge",
) -> Ranked:
    """Price a step of training under one plan, as `best_plan` prices all that work.

    Parameters
    ----------
    model : str, path, Decoder, Shape or Workload
        As for `best_plan`; a workload must have the plan's batch and tokens.
    plan : Plan
        Its degrees, policies, chips, batch and tokens.
    system, chip, price, memory, software
        As for `best_plan`: one of `system` and `chip` is needed, `memory` is in bytes.

    Returns
    -------
    Ranked
        Seconds, dollars and joules of a step with their ranges, memory by part.

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
    >>> sum(step.memory.values()) < step.capacity, step.dollars_range.low < step.dollars < step.dollars_range.high
    (True, True)
    """
    if isinstance(model, Workload):
        model = _trained(model, plan)
    site = find_site(model, chip, system, price, software, [plan.format], memory)
    plan = plan.kept_by(software)
    wrong = faults(site.model, site.device, plan)
    if not wrong:
        return in_full(site, plan)
    near = nearest(site.model, site.device, plan)
    works = "no plan for these chips works" if near is None else f"the nearest plan that works: {layout(near)}"
    raise ValueError(f"{'; '.join(wrong)}; {works}")


def _trained(workload: Workload, plan: Plan) -> Model:
    """Return the model of a workload of training that is as large as the plan."""
    if workload.phase != "train":
        raise ValueError(f"expected a workload of training, got one of {workload.phase}; best_serving plans serving")
    if (workload.batch, workload.seq) != (plan.batch, plan.seq):
        raise ValueError(
            f"the workload has batch {workload.batch} and seq {workload.seq}, the plan {plan.batch} and {plan.seq}; "
            "give both the same"
        )
    return workload.model
