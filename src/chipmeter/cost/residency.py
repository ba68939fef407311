"""Bytes that training keeps on each chip: parameters, gradients, optimizer state and activations."""

from __future__ import annotations

from chipmeter.cost.shape import Shape
from chipmeter.cost.training import Plan

RUNTIME = 1.6e9
"""Bytes of driver, communicators and workspaces on each chip (0.4 to 1 GB, 0.2 to 2 GB, 0.03 to 0.3 GB; assumed)."""

FRAGMENTS = 1.03
"""What the allocator takes for a byte asked for: 3 to 8 % more without expandable segments."""

KEPT = {"none": 1.0, "selective": 1.0, "selective op": 0.53, "selective layer": 0.56, "full": 0.0}
"""Share of a layer's activations that a recomputation policy keeps beyond the layer's input. The two of torchtitan: half
of the matrix results, every second layer; set so that Llama-3-8B on 8 H100 takes the published 82 GiB."""


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


def layer_activations(model: Shape, tokens: float, tensor: float) -> float:
    """Bytes that one layer keeps for its backward pass with fused attention and no dropout.

    Inputs of the two norms and of the projections, queries, keys, values, the attention's result, gate, up and their
    product: ``10 h + 2 (a + 2 g) d + 2 a d + 2 x mats x f`` bytes per token in 16 bits.
    """
    d = float(model.head_dim)
    wide = 10.0 * model.hidden + 2.0 * (model.heads + 2 * model.kv_heads) * d + 2.0 * model.heads * d
    inner = model.active * model.moe_ffn + model.shared if model.experts else model.ffn
    return tokens * (wide + 2.0 * model.mats * inner) / tensor


def sharded_peak(model: Shape, plan: Plan, policy: str) -> float:
    """Peak bytes on one chip of a step with parameters sharded over all replicas (FSDP, ZeRO-3).

    32-bit parameters, gradients and two moments divided over the chips; two layers gathered in 16 bits; activations
    by policy; logits with their loss in 32 bits and their gradient. What a compiler fuses away is not counted: a plan
    that is said to fit must fit.

    Parameters
    ----------
    model : Shape
    plan : Plan
    policy : str
        A key of `KEPT`.
    """
    tokens = plan.micro * plan.seq / plan.context
    state = 16.0 * model.parameters / plan.chips
    gathered = (
        2.0 * 2.0 * model.dense_weights / model.layers / plan.tensor + 4.0 * model.vocab * model.hidden / plan.tensor
    )
    layers = model.layers / plan.pipeline
    held = max(1.0, min(plan.microbatches, plan.pipeline))
    inputs = 2.0 * tokens * model.hidden / plan.tensor
    kept = KEPT.get(policy, 1.0) * layer_activations(model, tokens, plan.tensor)
    working = layer_activations(model, tokens, plan.tensor) * 1.5 if policy == "full" else 0.0
    logits = tokens * model.vocab / plan.tensor * 10.0
    return RUNTIME + FRAGMENTS * (state + gathered + layers * held * (inputs + kept) + working + logits)
