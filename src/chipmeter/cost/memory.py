"""Device memory that a step needs on each chip, by part."""

from __future__ import annotations

import math

import msgspec

from chipmeter.chips import Chip
from chipmeter.cost.calibration import Efficiency
from chipmeter.cost.parallel import shard
from chipmeter.workloads import Architecture, Formats, Workload, bytes_per_element
from chipmeter.workloads.training import adapter_parameters


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on each chip, and whether they fit.

    Attributes
    ----------
    weights, kv_cache, activations, gradients, optimizer, runtime : float
        Bytes by part; `runtime` is what driver and libraries take.
    capacity : float
        Bytes of memory that the chip has.
    """

    weights: float
    kv_cache: float
    activations: float
    gradients: float
    optimizer: float
    runtime: float
    capacity: float

    @property
    def total(self) -> float:
        """All parts together."""
        return self.weights + self.kv_cache + self.activations + self.gradients + self.optimizer + self.runtime

    @property
    def fits(self) -> bool:
        """Whether the parts fit the chip."""
        return self.total <= self.capacity


def weight_bytes(model: Architecture, formats: Formats) -> float:
    """Count the bytes of all weights: matrices in the weight format; embedding table, norms and biases unquantised.

    >>> from chipmeter.workloads import preset
    >>> weight_bytes(preset("llama-3.1-8b"), Formats.of("bf16")) / 2
    8030261248.0
    """
    halves = (model,) if model.encoder is None else (model, model.encoder)
    all_weights = [weight for half in halves for weight in half.weights]
    matrices = sum(weight.matrices * weight.n * weight.k for weight in all_weights if weight.role != "embed")
    rest = model.parameters - matrices
    return matrices * bytes_per_element(formats.weight) + rest * bytes_per_element(formats.activation)


def footprint(
    workload: Workload, chip: Chip, formats: Formats, efficiency: Efficiency, tensor_parallel: int = 1
) -> Footprint:
    """Count the memory of a step on each chip of a tensor-parallel group.

    Weights, gradients and optimizer state divide evenly. The cache divides by key-value heads and is replicated
    beyond their number; a compressed (latent) cache is replicated on every chip. In inference the activations are the
    residual stream and the largest operation; in training every layer's inputs are kept, of one microbatch, or with full
    recomputation a layer's first input and one layer's share. Gradients take 4 bytes and AdamW with 32-bit master weights
    12 bytes per parameter that is trained.

    Examples
    --------
    >>> from chipmeter.chips import chip
    >>> from chipmeter.cost.calibration import efficiency
    >>> from chipmeter.workloads import preset, workload
    >>> step = workload(preset("llama-3.1-8b"), "decode", batch=32, context=4095)
    >>> h100 = chip("h100")
    >>> used = footprint(step, h100, Formats.of("bf16"), efficiency(h100))
    >>> round(used.kv_cache / 2**30), used.fits
    (16, True)
    """
    model, t = workload.model, tensor_parallel
    cache_share = 1.0 if model.kv_rank else math.ceil(model.kv_heads / t) / model.kv_heads
    train = workload.phase == "train"
    if train:
        kept = float(_kept_elements(model))
        if workload.recompute == "full":
            kept = model.hidden * model.layers + kept / max(model.layers, 1)
        rows = workload.tokens / workload.accumulate
        activations = rows * kept / t * bytes_per_element(formats.activation)
    else:
        stream = workload.tokens * model.hidden * bytes_per_element(formats.activation)
        activations = stream + max(shard(op, t).live_bytes(formats) for op in workload.ops)
    trained = 0 if not train else adapter_parameters(model, workload.lora) if workload.lora else model.parameters
    adapters = trained * bytes_per_element(formats.activation) if workload.lora else 0.0
    return Footprint(
        weights=(weight_bytes(model, formats) + adapters) / t,
        kv_cache=workload.kv_elements * bytes_per_element(formats.kv) * cache_share,
        activations=activations,
        gradients=4.0 * trained / t if train else 0.0,
        optimizer=12.0 * trained / t if train else 0.0,
        runtime=efficiency.runtime.value,
        capacity=chip.memory.value,
    )


def _kept_elements(model: Architecture) -> int:
    """Count the activations that the backward pass of one token needs.

    Per layer: five rows of the residual's width (norm inputs, projection inputs), queries, keys, values and attention
    results, and the feed-forward part's inner rows; then the logits and their gradient in 32 bits.
    """
    inner = 3 if model.gated else 2
    attention = model.heads * (model.head_dim + model.value_dim) + model.kv_heads * (model.head_dim + model.value_dim)
    dense = inner * model.ffn
    expert = model.active_experts * (model.hidden + inner * model.expert_ffn) + inner * model.shared_ffn
    layers = (
        model.layers * (5 * model.hidden + attention) + len(model.dense_layers) * dense + len(model.moe_layers) * expert
    )
    return layers + (4 * model.vocab if model.kind == "decoder" else 0)
