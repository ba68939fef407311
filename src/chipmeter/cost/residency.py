"""Bytes that training keeps on each chip: parameters, gradients, optimizer state and activations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.distinct import Value
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.shape import Shape

Flag = bool | NDArray[np.bool_]

MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations", "workspace", "runtime")

RUNTIME = 1.6e9
"""Bytes of driver, communicators and workspaces on each chip (0.4 to 1 GB, 0.2 to 2 GB, 0.03 to 0.3 GB; assumed)."""

FRAGMENTS = 1.03
"""What the allocator takes for a byte asked for: 3 to 8 % more without expandable segments."""


def classic_activations(model: Shape, plan: Plan, *, recompute: str, sequence_parallel: bool) -> float:
    """Bytes of activations of the first pipeline stage, for a layer with dropout, GELU and stored scores.

    Korthikanti et al. 2022, equations 1 to 6: ``s b h (34 + 5 a s / h)`` per layer, split over the tensor group where
    parallel; selective recomputation drops the scores, full keeps the layer's input only. A stage of an interleaved
    pipeline holds ``1 + (p - 1) / (p v)`` times the layers of one device, times p stages in flight.

    Parameters
    ----------
    model : Shape
    plan : Plan
    recompute : {"none", "selective", "full"}
    sequence_parallel : bool
    """
    t = float(plan.tensor)
    sbh = plan.seq * plan.micro * model.hidden
    scores = 0.0 if recompute != "none" else 5.0 * model.heads * plan.seq / model.hidden / t
    if recompute == "full":
        layer = sbh * 2.0 / (t if sequence_parallel else 1.0)
    elif sequence_parallel:
        layer = sbh * (34.0 / t + scores)
    else:
        layer = sbh * (10.0 + 24.0 / t + scores)
    p, v = float(plan.pipeline), float(plan.virtual)
    ahead = 1.0 + (p - 1.0) / (p * v) if v > 1 else 1.0
    return layer * model.layers * ahead


def static_bytes(model: Shape, plan: Plan, per_parameter: float = 18.0) -> float:
    """Bytes of parameters, gradients and optimizer state on one chip; embedding shared with the output projection.

    18 bytes: 2 of weight, 4 of gradient, 12 of master weight and two moments.
    """
    tied = model.parameters - (0 if model.tied else model.vocab * model.hidden)
    return per_parameter * tied / (plan.tensor * plan.pipeline)


def layer_activations(model: Shape, tokens: Value, tensor: Value, *, sequence_parallel: Flag = True) -> Value:
    """Bytes that one layer keeps for its backward pass with fused attention and no dropout.

    Inputs and results of the two norms, queries, keys, values, the attention's result, gate, up and their product:
    ``8 h + 2 (a + 2 g) d + 2 a d + 2 x mats x f`` bytes per token in 16 bits, and the rows sent to experts. Without
    sequence parallelism the first of them are whole on each chip of the tensor group.
    """
    d = float(model.head_dim)
    heads = 2.0 * (model.heads + 2 * model.kv_heads) * d + 2.0 * model.heads * d
    inner = model.active * model.moe_ffn + model.shared if model.experts else model.ffn
    routed = 2.0 * model.active * model.hidden
    whole = 8.0 * model.hidden / np.where(sequence_parallel, tensor, 1.0)
    return tokens * (whole + (heads + routed + 2.0 * model.mats * inner) / tensor)


def stage_bytes(model: Shape, plans: Plans, rank: Value) -> dict[str, Array]:
    """Peak bytes on each chip of the pipeline stage of a rank, by part.

    Per parameter without division 2 bytes of weight, 4 or 2 of gradient, 12 of master weight and two moments; ZeRO 1 divides the
    last over the replicas, 2 the gradients too; 3 divides 4 of weight, gradients and 8, and gathers two layers in 16 bits.
    Experts are divided by expert parallelism, their state over the replicas of an expert; none is gathered. The
    first stage holds the embedding, the last the output projection and logits with their loss in 32 bits and
    gradient. A stage of unequal ones has the most layers that any has. What a compiler fuses away is not counted: a
    plan that is said to fit must fit.

    Parameters
    ----------
    model : Shape
    plans : Plans
    rank : float or ndarray
        From 0 to stages less 1.

    Returns
    -------
    dict of str to ndarray
        Of `MEMORY_PARTS`.
    """
    t, p = plans.tensor, plans.pipeline
    tokens = plans.micro * plans.seq / plans.context
    layers = np.ceil(model.layers / (p * plans.virtual)) * plans.virtual
    share = layers / model.layers
    first, last = rank == 0, rank == p - 1
    table = float(model.vocab * model.hidden)
    tables = table * np.where(p == 1, 1 if model.tied else 2, np.maximum(first, last))
    dense = (model.dense_weights * share + tables) / t
    routed = model.moe_layers * model.experts * model.expert_weights * share / plans.expert
    replicas = plans.data * plans.context
    alike = np.maximum(1.0, replicas * t / plans.expert)
    zero, trained = plans.zero, 0.01 if plans.adapters else 1.0

    def divided(bytes: Value, over: Flag) -> Array:
        return np.asarray(bytes * (dense / np.where(over, replicas, 1.0) + routed / np.where(over, alike, 1.0)))

    gathered = 4.0 * model.dense_weights / model.layers / t + 4.0 * table / t
    act = layer_activations(model, tokens, t, sequence_parallel=plans.sequence_parallel)
    inputs = 2.0 * tokens * model.hidden / np.where(plans.sequence_parallel, t, 1.0)
    kept = layers * plans.in_flight(np.asarray(rank)) * (inputs + plans.kept * (act - inputs))
    working = np.where(plans.kept == 0.0, 1.5 * act, 0.0)
    weights = np.where(zero == 3, 4.0 * dense / replicas + 2.0 * routed, 2.0 * (dense + routed))
    state = np.where(zero == 3, 8.0, 12.0)
    parts = {
        "weights": weights,
        "gradients": trained * divided(plans.gradient_bytes, zero >= 2),
        "optimizer": trained * divided(state, zero >= 1),
        "activations": kept + working,
        "workspace": np.where(zero == 3, gathered, 0.0) + tokens * model.vocab / t * 10.0 * last,
    }
    return {**{name: FRAGMENTS * part for name, part in parts.items()}, "runtime": np.asarray(RUNTIME)}


def fullest_stage(model: Shape, plans: Plans) -> dict[str, Array]:
    """Peak bytes by part on the stage that needs most: the first, which holds most activations, or the last, with logits."""
    first, last = stage_bytes(model, plans, 0.0), stage_bytes(model, plans, plans.pipeline - 1.0)
    fuller = total_bytes(last) > total_bytes(first)
    return {name: np.where(fuller, last[name], first[name]) for name in first}


def total_bytes(parts: dict[str, Array]) -> Array:
    """Add up the parts."""
    return np.asarray(sum(parts.values()))
