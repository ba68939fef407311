"""Seconds of a training step under a plan: the parts at full speed, ready to be weighed by fitted constants."""

from __future__ import annotations

import msgspec
import numpy as np

from chipmeter.cost.attention import prefill_seconds
from chipmeter.cost.constants import constants
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.gemm import gemm_seconds
from chipmeter.cost.network import collective_seconds
from chipmeter.cost.shape import Shape

PARTS = (
    "linear", "head", "attention", "experts", "pointwise", "tensor", "context", "expert_traffic", "pipeline",
    "bubble", "data", "shard", "optimizer", "launch",
)  # fmt: skip

PRIORS: dict[str, tuple[float, float]] = {
    "linear": (1.05, 0.1), "head": (1.0, 0.3), "attention": (1.2, 0.2), "experts": (1.3, 0.3),
    "pointwise": (1.0, 0.3), "tensor": (0.4, 0.7), "context": (0.3, 0.7), "expert_traffic": (0.7, 0.6),
    "pipeline": (0.3, 0.8), "bubble": (0.9, 0.15), "data": (0.2, 0.8), "shard": (0.3, 0.8),
    "optimizer": (1.2, 0.25), "launch": (1.5, 0.8),
}  # fmt: skip
"""Weight of each part before any row is seen, and how far (in log units) it may move."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is laid out; `sharded` gathers the parameters for every microbatch, as FSDP and ZeRO-3 do.

    Attributes
    ----------
    chips, batch, micro, seq : int
        Chips in all, sequences per step and per microbatch, tokens of each.
    tensor, pipeline, virtual, context, expert : int
        Degrees of each kind of parallelism; `virtual` stages per pipeline rank.
    recompute : float
        Further forward passes in the backward pass: 1 for full recomputation.
    adapters : bool
        Whether only low-rank adapters are trained, so that weights need no gradients.
    """

    chips: int
    batch: float
    seq: int
    micro: float = 1.0
    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    context: int = 1
    expert: int = 1
    recompute: float = 0.0
    sharded: bool = False
    adapters: bool = False
    format: str = "bf16"

    @property
    def data(self) -> float:
        """Replicas that see different sequences."""
        return max(1.0, self.chips / (self.tensor * self.pipeline * self.context))

    @property
    def microbatches(self) -> float:
        """Microbatches that each replica works through in a step."""
        return max(1.0, self.batch / (self.data * self.micro))


def product_seconds(chip: Device, format: str, m: Array, n: Array, k: Array) -> Array:
    """Time matrix products: by tiles and waves on chips with cores, by padded folds on systolic arrays.

    On a systolic array rows below the array's depth take as long as a full load, and n and k count up to the next
    multiple of its size.
    """
    edge = chip.array
    if edge:
        padded = 2.0 * np.maximum(m, 64.0) * np.ceil(n / edge) * edge * np.ceil(k / edge) * edge
        return np.maximum(padded / chip.rate(format), (m * k + k * n + m * n) * 2.0 / chip.bandwidth)
    variants = {"nvfp4": ("nvfp4", "fp8", "bf16"), "fp8": ("fp8", "bf16"), "mxfp8": ("fp8", "bf16")}
    found, _ = constants(chip.id, "gemm", *variants.get(format, ("bf16",)))
    return gemm_seconds(found.values, chip, format, m, n, k).total


def attention_forward(chip: Device, batch: float, heads: float, kv_heads: float, dim: float, seq: float) -> float:
    """Time causal attention of whole sequences, forward."""
    if chip.array:
        return 2.0 * batch * heads * seq * seq * dim / chip.rate("bf16")
    found, _ = constants(chip.id, "attention", "prefill_bf16_bf16")
    one = (np.array([x]) for x in (batch, heads, kv_heads, dim, seq, seq))
    return float(prefill_seconds(found.values, chip, "bf16", 2.0, *one)[0])


def step_parts(model: Shape, chip: Device, plan: Plan) -> dict[str, float]:
    """Seconds of each part of one step on the busiest chip, before weights.

    Linear layers, the output projection and experts are timed as their products forward, for the input's gradient
    and for the weight's; attention as 3.5 times its forward pass (2.5 backward). Traffic is the least that each kind
    of parallelism moves, as if none of it were hidden: the weights say how much is.

    Parameters
    ----------
    model : Shape
    chip : Device
    plan : Plan

    Returns
    -------
    dict of str to float
        In the order of `PARTS`.
    """
    tokens = plan.micro * plan.seq / plan.context
    layers, micro = model.layers / plan.pipeline, plan.microbatches
    passes = layers * micro
    moe = model.moe_layers / plan.pipeline * micro
    dense = passes - moe
    t, h, d = float(plan.tensor), float(model.hidden), float(model.head_dim)
    query = model.heads * (d + model.rope) / t
    if model.latent:
        low = float(model.query_rank or h)
        shapes = [(tokens, low, h, passes), (tokens, query, low, passes), (tokens, h, model.heads * d / t, passes)]
        shapes += [
            (tokens, model.latent + model.rope, h, passes),
            (tokens, 2 * model.heads * d / t, model.latent, passes),
        ]
    else:
        wide = (model.heads / t + 2 * max(model.kv_heads / t, 1.0)) * d
        shapes = [(tokens, wide, h, passes), (tokens, h, model.heads * d / t, passes)]
    up = model.mats - 1
    if model.ffn and dense:
        shapes += [(tokens, up * model.ffn / t, h, dense), (tokens, h, model.ffn / t, dense)]
    if model.shared and moe:
        shapes += [(tokens, up * model.shared / t, h, moe), (tokens, h, model.shared / t, moe)]
    linear = _both_ways(chip, plan, plan.format, shapes)
    head = _both_ways(chip, plan, "bf16", [(tokens, model.vocab / t, h, micro)])
    experts = 0.0
    if moe:
        local = max(1.0, model.experts / plan.expert)
        rows = tokens / t * model.active
        each = np.ceil(rows / local / 128.0) * 128.0
        grouped = [(local * each, up * model.moe_ffn, h, moe), (local * each, h, model.moe_ffn, moe)]
        experts = _both_ways(chip, plan, plan.format, grouped)
        experts += 3 * moe * local * model.expert_weights * 2.0 / chip.bandwidth
    share = 1.0 + plan.recompute
    seen = (
        attention_forward(chip, plan.micro, model.heads / t, max(model.kv_heads / t, 1.0), d, plan.seq) / plan.context
    )
    attention = (2.5 + share) * passes * seen
    width = 16.0 * h / t + 4.0 * model.heads * d / t
    inner = dense * 3.0 * model.mats * model.ffn / t + moe * (6.0 * model.active * (h + model.moe_ffn) / t)
    pointwise = (share + 2.0) * tokens * 2.0 * (passes * width + inner) / chip.bandwidth
    tensor = (2.0 + share - 1.0) * 2.0 * passes * collective_seconds(chip, "all-reduce", tokens * h * 2.0, t)
    cached = 2.0 * max(model.kv_heads / t, 1.0) * d if not model.latent else float(model.latent + model.rope)
    context = 3.0 * passes * collective_seconds(
        chip, "all-gather", plan.micro * plan.seq * cached * 2.0, plan.context, t * plan.context
    )  # fmt: skip
    routed = tokens / t * model.active * h * 2.0
    traffic = 4.0 * moe * collective_seconds(chip, "all-to-all", routed, plan.expert, plan.expert * (max(1, t)))
    # Stages are as far apart as there are chips in one; each microbatch crosses forward and back.
    stages = min(plan.pipeline, 2.0)
    sends = 2.0 * micro * plan.virtual * collective_seconds(
        chip, "send-recv", tokens * h * 2.0 / t, stages, stages * plan.chips / plan.pipeline
    )  # fmt: skip
    work = linear + attention + experts + pointwise + 0.3 * tensor + 0.5 * traffic
    stays = model.dense_weights / (t * plan.pipeline) + model.vocab * h / t
    goes = model.moe_layers * model.experts * model.expert_weights / (plan.expert * plan.pipeline)
    local_weights = stays + goes
    trained = 0.01 if plan.adapters else 1.0
    replicas, apart = plan.data * plan.context, t * plan.data * plan.context
    reduce = trained * 3.0 * collective_seconds(chip, "all-gather", stays * 2.0, replicas, apart)
    reduce += (
        trained * 3.0 * collective_seconds(chip, "all-gather", goes * 2.0, max(1.0, replicas * t / plan.expert), apart)
    )
    gathers = (2.0 + trained) * micro * collective_seconds(chip, "all-gather", stays * 2.0, replicas, apart)
    return {
        "linear": linear,
        "head": head,
        "attention": attention,
        "experts": experts,
        "pointwise": pointwise,
        "tensor": tensor,
        "context": context,
        "expert_traffic": traffic,
        "pipeline": sends,
        "bubble": work * (plan.pipeline - 1) / (micro * plan.virtual),
        "data": 0.0 if plan.sharded else reduce,
        "shard": gathers if plan.sharded else 0.0,
        "optimizer": trained * local_weights * 30.0 / (1.0 if plan.data == 1 else replicas) / chip.bandwidth,
        "launch": 45e-6 * passes,
    }


def _both_ways(chip: Device, plan: Plan, format: str, shapes: list[tuple[float, float, float, float]]) -> float:
    """Time products forward and backward; each is (rows, outputs, inputs, executions)."""
    m, n, k, count = (np.array(column, dtype=np.float64) for column in zip(*shapes, strict=True))
    forward = product_seconds(chip, format, m, n, k)
    inputs = product_seconds(chip, format, m, k, n)
    weights = 0.0 if plan.adapters else product_seconds(chip, format, k, n, m)
    return float(np.sum(count * ((1.0 + plan.recompute) * forward + inputs + weights)))


def model_flops(model: Shape, seq: int, *, causal: bool = True) -> float:
    """FLOPs that training spends on one token, forward and backward, without recomputation.

    ``6 x active parameters + 12 x layers x heads x width x seq``, the attention part halved where it counts as causal.
    """
    pairs = 12.0 * model.layers * model.heads * model.head_dim * seq
    return 6.0 * model.active_parameters + pairs / (2.0 if causal else 1.0)
