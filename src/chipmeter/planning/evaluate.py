"""Seconds, bytes, joules and dollars of many plans at once, and of one in full."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chipmeter.cost.energy import PowerModel, power_model
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.predict import Predictions, training_steps
from chipmeter.cost.residency import fullest_stage, stage_bytes, total_bytes
from chipmeter.cost.result import joules_within
from chipmeter.cost.training import model_flops
from chipmeter.planning.records import Ranked
from chipmeter.planning.site import Site
from chipmeter.workloads import Formats

BUSY = ("linear", "head", "attention", "experts", "pointwise", "optimizer")
"""Parts in which a chip's arithmetic or memory works; in the others it waits."""


class Outcome(NamedTuple):
    """Of each plan: the predicted step, memory of the fullest stage, joules and dollars."""

    steps: Predictions
    memory: dict[str, Array]
    bytes: Array
    joules: Array | None
    dollars: Array | None


def evaluate(site: Site, plans: Plans) -> Outcome:
    """Price one step under every plan; shapes are those of the plans.

    Examples
    --------
    >>> from chipmeter.planning.site import find_site
    >>> site = find_site("llama-3.1-8b", "trn2", None, "reserved-3y", "neuron", ["bf16"])
    >>> found = evaluate(site, Plans.of([Plan(chips=8, batch=16, seq=8192, tensor=t) for t in (1, 8)]))
    >>> bool(found.bytes[0] > found.bytes[1]), found.joules is None
    (True, True)
    """
    steps = training_steps(site.model, site.device, plans, software=site.software)
    memory = fullest_stage(site.model, plans)
    power = power_model(site.chip, Formats.of(plans.format))
    return Outcome(
        steps,
        memory,
        total_bytes(memory),
        None if power is None else _joules(site, plans, steps, power),
        None if site.price is None else steps.seconds * plans.chips * (site.price.dollars_per_chip_hour / 3600.0),
    )


def _joules(site: Site, plans: Plans, steps: Predictions, power: PowerModel) -> Array:
    """Joules of the boards: what the products take by measured joules per FLOP where known, within idle and limit.

    While a chip waits for the network or a bubble it draws its idle power.
    """
    busy: Array = np.zeros(())
    for name in BUSY:
        busy = busy + steps.parts[name]
    busy = np.minimum(busy, steps.seconds)
    work: Array = busy * power.limit
    if power.per_flop is not None:
        flops = plans.batch * plans.seq * model_flops(site.model, plans.seq) * (1.0 + plans.passes / 3.0)
        work = np.clip(flops / plans.chips * power.per_flop.value, busy * power.idle, work)
    return np.asarray(plans.chips * (work + (steps.seconds - busy) * power.idle))


def in_full(site: Site, plan: Plan) -> Ranked:
    """Price one plan with everything that there is to say of it."""
    plans = Plans.of([plan])
    found = evaluate(site, plans)
    step = found.steps.one(0)
    ranks = np.arange(float(plan.pipeline))
    tokens = plan.batch * plan.seq
    joules = None if found.joules is None else float(found.joules[0])
    power = power_model(site.chip, Formats.of(plan.format))
    peak = plan.chips * site.device.rate(plan.format)
    return Ranked(
        chip=site.chip.id,
        plan=plan,
        seconds=step.seconds,
        low=step.low,
        high=step.high,
        parts=step.parts,
        memory={name: float(part.item()) for name, part in found.memory.items()},
        stages=tuple(total_bytes(stage_bytes(site.model, plans, ranks)).tolist()),
        capacity=site.device.memory,
        mfu=tokens * model_flops(site.model, plan.seq) / (step.seconds * peak),
        tokens_per_second=tokens / step.seconds,
        joules=joules,
        dollars=None if found.dollars is None else float(found.dollars[0]),
        joules_range=None if joules is None or power is None else joules_within(joules, step.range, plan.chips, power),
        dollars_range=None if site.paid is None else step.range * site.paid * (plan.chips / 3600.0),
    )
