"""What makes a plan possible: rules as data, each a test over many plans at once and the sentence that says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans, schedule_codes
from chipmeter.cost.residency import fullest_stage, total_bytes
from chipmeter.cost.shape import Shape

Mask = NDArray[np.bool_]

UNEVEN = 3
"""Layers that a pipeline may lack for equal stages: the embedding, the output projection and a module that predicts
further tokens may each stand for one, as in Llama-3.1-405B's 126 layers on 16 x 8 stages, and DeepSeek-V3's 61 on 4 x 4."""

INTERLEAVED = int(schedule_codes(["interleaved"])[0])
ONE_STAGE = int(schedule_codes(["1f1b"])[0])


class Rule(NamedTuple):
    """One condition.

    Attributes
    ----------
    name : str
    says : str
        What must hold, with fields of the plan and of the model in braces.
    holds : callable
        From model and plans to a truth value for each plan.
    by_degrees : bool
        Whether it depends on degrees alone, and not on policies (schedule, virtual stages, recomputation, ZeRO).
    """

    name: str
    says: str
    holds: Callable[[Shape, Plans], Mask]
    by_degrees: bool = True


def _group(plans: Plans) -> Array:
    return plans.tensor * plans.pipeline * plans.context


def _whole(part: Array, whole: Array | float) -> Mask:
    return np.asarray(whole % part == 0)


def _kv_heads(model: Shape, plans: Plans) -> Mask:
    return _whole(plans.tensor, model.kv_heads) | _whole(np.asarray(float(model.kv_heads)), plans.tensor)


def _even(model: Shape, plans: Plans) -> Mask:
    stages = plans.pipeline * plans.virtual
    lacking = np.ceil(model.layers / stages) * stages - model.layers
    return np.asarray((stages > model.layers + UNEVEN) | (lacking <= UNEVEN))


def _experts(model: Shape, plans: Plans) -> Mask:
    return _whole(plans.expert, float(model.experts)) if model.experts else plans.expert == 1


def _scheduled(model: Shape, plans: Plans) -> Mask:
    interleaved = plans.schedule == INTERLEAVED
    without = (plans.pipeline > 1) | ((plans.schedule == ONE_STAGE) & (plans.virtual == 1))
    return np.asarray(((plans.virtual > 1) == interleaved) & without)


def _rounds(model: Shape, plans: Plans) -> Mask:
    return np.asarray((plans.schedule != INTERLEAVED) | (plans.microbatches % plans.pipeline == 0))


RULES: tuple[Rule, ...] = (
    Rule(
        "chips", "tensor {tensor} x pipeline {pipeline} x context {context} must divide the {chips} chips",
        lambda model, plans: _whole(_group(plans), plans.chips),
    ),
    Rule(
        "heads", "tensor {tensor} must divide the {model.heads} attention heads",
        lambda model, plans: _whole(plans.tensor, float(model.heads)),
    ),
    Rule("kv heads", "tensor {tensor} and the {model.kv_heads} key-value heads must divide one the other", _kv_heads),
    Rule(
        "widths", "tensor {tensor} must divide the feed-forward width {model.ffn}, and {model.shared} of shared experts",
        lambda model, plans: _whole(plans.tensor, float(model.ffn)) & _whole(plans.tensor, float(model.shared)),
    ),
    Rule(
        "stages", "pipeline {pipeline} has more stages than the model has layers, {model.layers}",
        lambda model, plans: plans.pipeline <= model.layers,
    ),
    Rule(
        "context", "twice context {context} must divide the {seq} tokens of a sequence, for causal attention in equal shares",
        lambda model, plans: (plans.context == 1) | _whole(2 * plans.context, plans.seq),
    ),
    Rule(
        "tokens", "tensor {tensor} must divide the tokens of a chip, {seq} / {context}, for sequence parallelism",
        lambda model, plans: ~plans.sequence_parallel | _whole(plans.tensor * plans.context, plans.seq),
    ),
    Rule("experts", "expert {expert} must divide the {model.experts} experts; 1 for a model without", _experts),
    Rule(
        "expert group", "expert {expert} must divide the chips of a stage, {chips} / {pipeline}",
        lambda model, plans: (plans.expert == 1) | _whole(plans.expert * plans.pipeline, plans.chips),
    ),
    Rule(
        "batch", "microbatch {micro:g} x the {data:g} replicas must divide the batch of {batch:g} sequences",
        lambda model, plans: _whole(plans.data * plans.micro, plans.batch),
    ),
    Rule(
        "virtual stages", "{pipeline} x {virtual} virtual stages are more than the model has layers, {model.layers}",
        lambda model, plans: (plans.virtual == 1) | (plans.pipeline * plans.virtual <= model.layers + UNEVEN), False,
    ),
    Rule(
        "equal stages",
        "{pipeline} x {virtual} stages must divide the {model.layers} layers, or up to 3 more where embedding, output "
        "projection and the like stand for layers", _even, False,
    ),
    Rule(
        "schedule",
        "schedule {schedule} does not go with pipeline {pipeline} and {virtual} virtual stages: several need "
        "'interleaved', one any other, and a pipeline of 1 takes '1f1b'", _scheduled, False,
    ),
    Rule(
        "microbatches", "schedule {schedule} on {pipeline} stages needs more than {microbatches:g} microbatches",
        lambda model, plans: plans.microbatches >= plans.least_microbatches, False,
    ),
    Rule("rounds", "pipeline {pipeline} must divide the {microbatches:g} microbatches to interleave", _rounds, False),
)  # fmt: skip
"""In the order in which a plan is told about them."""

MEMORY = "memory"


def legal(model: Shape, plans: Plans, rules: tuple[Rule, ...] = RULES) -> tuple[Mask, dict[str, int]]:
    """Find the plans that keep all rules, and count the others by the first rule that each breaks.

    >>> from chipmeter.workloads import preset
    >>> shape = Shape.of(preset("llama-3.1-8b"))
    >>> plans = Plans.of([Plan(chips=8, batch=8, seq=4096, tensor=t) for t in (1, 3, 8)])
    >>> kept, broken = legal(shape, plans)
    >>> kept.tolist(), broken
    ([True, False, True], {'chips': 1})
    """
    kept = np.ones(plans.shape, dtype=np.bool_)
    broken = {}
    left = kept.size
    for rule in rules:
        kept &= rule.holds(model, plans)
        now = int(np.count_nonzero(kept))
        if now < left:
            broken[rule.name] = left - now
        left = now
    return kept, broken


def faults(model: Shape, chip: Device, plan: Plan) -> tuple[str, ...]:
    """Say in words every rule that a plan breaks, the memory of a chip last; empty for a plan that works.

    >>> from chipmeter.cost.device import device
    >>> from chipmeter.workloads import preset
    >>> shape = Shape.of(preset("llama-3.1-8b"))
    >>> faults(shape, device("h100"), Plan(chips=9, batch=9, seq=8190, tensor=9))[0]
    'tensor 9 must divide the 32 attention heads'
    """
    plans = Plans.of([plan])
    cells = {name: getattr(plan, name) for name in plan.__struct_fields__}
    cells |= {"data": plan.data, "microbatches": plan.microbatches}
    found = [rule.says.format(model=model, **cells) for rule in RULES if not bool(rule.holds(model, plans).all())]
    needed = total_bytes(fullest_stage(model, plans)).item()
    if needed > chip.memory:
        found.append(f"needs {needed / 1e9:.1f} GB on the fullest chip, {chip.id} has {chip.memory / 1e9:.1f} GB")
    return tuple(found)
