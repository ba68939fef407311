"""The plan that works and is nearest to one that does not."""

from __future__ import annotations

import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.residency import fullest_stage, total_bytes
from chipmeter.cost.shape import Shape
from chipmeter.planning.rules import faults
from chipmeter.planning.space import Space, Tally, blocks

POLICY, VIRTUAL = 0.25, 0.5
"""What another policy counts beside a doubling of a degree, and what a doubling of the virtual stages does."""


def distance(plans: Plans, asked: Plan) -> Array:
    """Tell how far plans are from one: doublings of each degree, and policies that differ.

    >>> plans = Plans.of([Plan(chips=8, batch=8, seq=4096, tensor=t) for t in (2, 4)])
    >>> distance(plans, Plan(chips=8, batch=8, seq=4096, tensor=4, zero=3)).tolist()
    [1.5, 0.5]
    """
    one = Plans.of([asked])
    far: Array = np.zeros(())
    for name in ("tensor", "pipeline", "context", "expert", "micro"):
        far = far + np.abs(np.log2(getattr(plans, name) / getattr(one, name)))
    far = far + VIRTUAL * np.abs(np.log2(plans.virtual / one.virtual))
    far = far + POLICY * np.abs(plans.zero - one.zero) + POLICY * (plans.schedule != one.schedule)
    return np.asarray(far + POLICY * (plans.recompute != one.recompute) + np.abs(plans.passes - one.passes))


def nearest(model: Shape, chip: Device, asked: Plan) -> Plan | None:
    """Find the plan for the same chips, batch and tokens that works and is nearest: itself if it works; None if none does.

    >>> from chipmeter.cost.device import device
    >>> from chipmeter.workloads import preset
    >>> shape = Shape.of(preset("llama-3.1-8b"))
    >>> nearest(shape, device("h100"), Plan(chips=8, batch=8, seq=4096, tensor=3, zero=3)).tensor
    4
    """
    if not faults(
        model, chip, asked
    ):  # it may lie beyond what is searched: tensor parallelism across fast domains does
        return asked
    chips, batch, seq = int(asked.chips), int(asked.batch), int(asked.seq)
    together = tuple({asked.sequence_parallel: None, True: None})
    space = Space(
        format=(asked.format,),
        adapters=asked.adapters,
        gradient_bytes=asked.gradient_bytes or Plans.gradient_bytes,
        sequence_parallel=together,
    )
    best: tuple[float, float] = (np.inf, np.inf)
    found = None
    for plans, kept in blocks(model, chip, chips, batch, seq, space, Tally()):
        needed = total_bytes(fullest_stage(model, plans))
        far = np.where(kept & (needed <= chip.memory), distance(plans, asked), np.inf)
        place = np.unravel_index(np.lexsort((np.broadcast_to(needed, far.shape).ravel(), far.ravel()))[0], far.shape)
        value = (float(far[place]), float(np.broadcast_to(needed, far.shape)[place]))
        if value < best and value[0] < np.inf:
            best, found = value, plans.plan(*(int(index) for index in place))
    return found
