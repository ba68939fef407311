"""Seconds of a training step under a plan: the parts at full speed, ready to be weighed by fitted constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np

from chipmeter.cost.attention import prefill_seconds
from chipmeter.cost.constants import constants
from chipmeter.cost.device import Device
from chipmeter.cost.distinct import Value, once_each
from chipmeter.cost.fitting import Array
from chipmeter.cost.gemm import gemm_seconds
from chipmeter.cost.network import collective_times
from chipmeter.cost.plan import Plans
from chipmeter.cost.shape import Shape

PARTS = (
    "linear", "head", "attention", "experts", "pointwise", "tensor", "context", "expert_traffic", "pipeline",
    "bubble", "data", "shard", "optimizer", "launch",
)  # fmt: skip

HEAD_FORMAT = "bf16"
"""Number format of the output projection, whatever the other products are in."""

PRIORS: dict[str, tuple[float, float]] = {
    "linear": (1.05, 0.1), "head": (1.0, 0.3), "attention": (1.2, 0.2), "experts": (1.3, 0.3),
    "pointwise": (1.0, 0.3), "tensor": (0.4, 0.7), "context": (0.3, 0.7), "expert_traffic": (0.7, 0.6),
    "pipeline": (0.3, 0.8), "bubble": (0.9, 0.15), "data": (0.2, 0.8), "shard": (0.3, 0.8),
    "optimizer": (1.2, 0.25), "launch": (1.5, 0.8),
}  # fmt: skip
"""Weight of each part before any row is seen, and how far (in log units) it may move."""


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
    return float(causal_seconds(chip, batch, heads, kv_heads, dim, seq))


def causal_seconds(chip: Device, batch: Value, heads: Value, kv_heads: Value, dim: Value, seq: Value) -> Value:
    """Time causal attention of whole sequences, forward; the sizes need only broadcast."""
    if chip.array:
        return 2.0 * batch * heads * seq * seq * dim / chip.rate("bf16")
    found, _ = constants(chip.id, "attention", "prefill_bf16_bf16")
    sizes = (np.asarray(size, dtype=np.float64) for size in (batch, heads, kv_heads, dim, seq, seq))
    return prefill_seconds(found.values, chip, "bf16", 2.0, *sizes)


class Products(NamedTuple):
    """Seconds of a layer's products: forward, for the gradient of the input, and for that of the weights."""

    forward: Array
    inputs: Array
    weights: Array

    def all(self, passes: Value) -> Array:
        """Of a step in which the forward pass runs `passes` times."""
        return passes * self.forward + self.inputs + self.weights


Shapes = Sequence[tuple[Value, Value, Value]]


def both_ways(chip: Device, format: str, groups: Sequence[Shapes], *, adapters: bool = False) -> list[Products]:
    """Time groups of products forward and backward; each is (rows, outputs, inputs), which broadcast.

    All are timed in one call, in which each distinct shape counts once.
    """
    shape = np.broadcast_shapes(*(np.shape(size) for group in groups for one in group for size in one))
    sizes = np.empty((3, sum(map(len, groups)), *shape))
    for place, one in enumerate(one for group in groups for one in group):
        for column, size in zip(sizes[:, place], one, strict=True):
            column[...] = size
    m, n, k = sizes
    ways = np.array([(m, m, k), (n, k, n), (k, n, m)])
    if adapters:
        ways = ways[:, :2]
    times = once_each(lambda m, n, k: product_seconds(chip, format, m, n, k), *ways)
    found, start = [], 0
    for group in groups:
        own = times[:, start : start + len(group)].sum(axis=1)
        found.append(Products(own[0], own[1], np.zeros_like(own[0]) if adapters else own[2]))
        start += len(group)
    return found


class Layers(NamedTuple):
    """Products of one layer by what they belong to; see `layer_products`."""

    attention: Shapes
    dense: Shapes
    shared: Shapes


def layer_products(model: Shape, tokens: Value, tensor: Value) -> Layers:
    """List (rows, outputs, inputs) of the products of one layer on one chip of a tensor group.

    >>> from chipmeter.workloads import preset
    >>> layer_products(Shape.of(preset("llama-3.1-8b")), 4096.0, 8.0).dense[0]
    (4096.0, 3584.0, 4096.0)
    """
    t, h, d = tensor, float(model.hidden), float(model.head_dim)
    if model.latent:
        low = float(model.query_rank or h)
        attention = [
            (tokens, low, h),
            (tokens, model.heads * (d + model.rope) / t, low),
            (tokens, h, model.heads * d / t),
            (tokens, float(model.latent + model.rope), h),
            (tokens, 2 * model.heads * d / t, float(model.latent)),
        ]
    else:
        wide = (model.heads / t + 2 * np.maximum(model.kv_heads / t, 1.0)) * d
        attention = [(tokens, wide, h), (tokens, h, model.heads * d / t)]
    up = float(model.mats - 1)
    dense, shared = (
        [(tokens, up * width / t, h), (tokens, h, width / t)] if width else [] for width in (model.ffn, model.shared)
    )
    return Layers(attention, dense, shared)


def step_parts(model: Shape, chip: Device, plans: Plans) -> dict[str, Array]:
    """Seconds of each part of one step on the busiest chip, before weights.

    Linear layers, the output projection and experts are timed as their products forward, for the input's gradient
    and for the weight's; attention as 3.5 times its forward pass (2.5 backward). Traffic is the least that each kind
    of parallelism moves, as if none of it were hidden: the weights say how much is.

    Parameters
    ----------
    model : Shape
    chip : Device
    plans : Plans
        Their columns need only broadcast: what depends on degrees alone is not repeated for every policy.

    Returns
    -------
    dict of str to ndarray
        In the order of `PARTS`; shapes broadcast to that of the plans.
    """
    tokens = plans.micro * plans.seq / plans.context
    layers, micro = model.layers / plans.pipeline, plans.microbatches
    passes = layers * micro
    moe = model.moe_layers / plans.pipeline * micro
    dense = passes - moe
    t, h, d = plans.tensor, float(model.hidden), float(model.head_dim)
    share = 1.0 + plans.passes
    kv_heads = np.maximum(model.kv_heads / t, 1.0)

    layer = layer_products(model, tokens, t)
    counted = [(layer.attention, passes), (layer.dense, dense), (layer.shared, moe)]
    counted = [(shapes, count) for shapes, count in counted if shapes and np.any(count)]
    groups = [shapes for shapes, _ in counted]
    local = np.maximum(1.0, model.experts / plans.expert)
    if model.moe_layers:
        rows = local * (np.ceil(tokens / t * model.active / local / 128.0) * 128.0)
        groups.append([(rows, (model.mats - 1.0) * model.moe_ffn, h), (rows, h, float(model.moe_ffn))])
    output, alike = [(tokens, model.vocab / t, h)], plans.format == HEAD_FORMAT
    times = both_ways(chip, plans.format, [*groups, output] if alike else groups, adapters=plans.adapters)
    head = times.pop() if alike else both_ways(chip, HEAD_FORMAT, [output], adapters=plans.adapters)[0]
    linear: Value = 0.0
    put_off: Value = 0.0
    experts: Value = 0.0
    for (_, count), time in zip(counted, times, strict=False):
        linear = linear + count * time.all(share)
        put_off = put_off + count * time.weights
    if model.moe_layers:
        experts = moe * times[-1].all(share) + 3 * moe * local * model.expert_weights * 2.0 / chip.bandwidth
        put_off = put_off + moe * times[-1].weights
    seen = causal_seconds(chip, plans.micro, model.heads / t, kv_heads, d, plans.seq) / plans.context
    attention = (2.5 + share) * passes * seen
    width = 16.0 * h / np.where(plans.sequence_parallel, t, 1.0) + 4.0 * model.heads * d / t
    inner = dense * 3.0 * model.mats * model.ffn / t + moe * (6.0 * model.active * (h + model.moe_ffn) / t)
    pointwise = (share + 2.0) * tokens * 2.0 * (passes * width + inner) / chip.bandwidth
    tensor = (1.0 + share) * 2.0 * passes * collective_times(chip, "all-reduce", tokens * h * 2.0, t)
    cached = float(model.latent + model.rope) if model.latent else 2.0 * kv_heads * d
    context = 3.0 * passes * collective_times(
        chip, "all-gather", plans.micro * plans.seq * cached * 2.0, plans.context, t * plans.context
    )  # fmt: skip
    routed = tokens / t * model.active * h * 2.0
    traffic: Value = 0.0
    if model.moe_layers:
        traffic = 4.0 * moe * collective_times(chip, "all-to-all", routed, plans.expert, plans.expert * t)
    # Stages are as far apart as there are chips in one; each microbatch crosses forward and back.
    pair = np.minimum(plans.pipeline, 2.0)
    sends = 2.0 * micro * plans.virtual * collective_times(
        chip, "send-recv", tokens * h * 2.0 / t, pair, pair * plans.chips / plans.pipeline
    )  # fmt: skip
    work = linear + attention + experts + pointwise + 0.3 * tensor + 0.5 * traffic
    idle = np.maximum(work - plans.filled * put_off, 0.0)
    parts = {
        "linear": linear,
        "head": micro * head.all(share),
        "attention": attention,
        "experts": experts,
        "pointwise": pointwise,
        "tensor": tensor,
        "context": context,
        "expert_traffic": traffic,
        "pipeline": sends,
        "bubble": idle * (plans.pipeline - 1) / (micro * plans.virtual),
        **_replica_parts(model, chip, plans),
        "launch": 45e-6 * passes,
    }
    return {name: np.asarray(part, dtype=np.float64) for name, part in parts.items()}


def _replica_parts(model: Shape, chip: Device, plans: Plans) -> dict[str, Array]:
    """Time what replicas exchange, and the optimizer, by what is divided over them.

    Per parameter: gradients reduced and 16 bits of new parameters gathered; without division gradients are reduced
    to all. Divided gradients are reduced for every microbatch, divided parameters gathered twice as well;
    experts stay where they are.
    """
    t, replicas = plans.tensor, plans.data * plans.context
    apart, zero = t * replicas, plans.zero
    stays = model.dense_weights / (t * plans.pipeline) + model.vocab * model.hidden / t
    goes = model.moe_layers * model.experts * model.expert_weights / (plans.expert * plans.pipeline)
    trained = 0.01 if plans.adapters else 1.0
    gather = collective_times(chip, "all-gather", stays * 2.0, replicas, apart)
    routed = collective_times(chip, "all-gather", goes * 2.0, np.maximum(1.0, replicas * t / plans.expert), apart)
    sent = plans.gradient_bytes
    data = trained * np.where(zero == 0, sent, sent / 2.0 + 1.0) * (routed + np.where(zero == 3, 0.0, gather))
    every = np.where(zero == 3, (2.0 + trained) * plans.microbatches, trained * (plans.microbatches - 1.0)) * gather
    updated = trained * (stays + goes) * 30.0 / np.where((zero == 0) | (plans.data == 1), 1.0, replicas)
    return {
        "data": data,
        "shard": np.where(zero >= 2, every, 0.0),
        "optimizer": updated / chip.bandwidth,
    }


@overload
def model_flops(model: Shape, seq: float, *, causal: bool = True) -> float: ...
@overload
def model_flops(model: Shape, seq: Array, *, causal: bool = True) -> Array: ...
def model_flops(model: Shape, seq: Value, *, causal: bool = True) -> Value:
    """FLOPs that training spends on one token, forward and backward, without recomputation.

    ``6 x active parameters + 12 x layers x heads x width x seq``, the attention part halved where it counts as causal.
    """
    pairs = 12.0 * model.layers * model.heads * model.head_dim * seq
    return 6.0 * model.active_parameters + pairs / (2.0 if causal else 1.0)
