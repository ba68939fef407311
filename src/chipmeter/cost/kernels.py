"""One operation of a workload timed by the formulas that were fitted on measured kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chipmeter.chips import Chip
from chipmeter.cost.attention import decode_seconds, prefill_seconds
from chipmeter.cost.constants import Constants, constants
from chipmeter.cost.device import device
from chipmeter.cost.gemm import gemm_seconds
from chipmeter.workloads import Attention, Formats, Gemm, bytes_per_element

_VARIANTS: dict[str, tuple[str, ...]] = {
    "nvfp4": ("nvfp4", "fp8", "bf16"),
    "mxfp4": ("nvfp4", "fp8", "bf16"),
    "fp8": ("fp8", "bf16"),
    "mxfp8": ("fp8", "bf16"),
    "mxfp6": ("fp8", "bf16"),
    "int8": ("fp8", "bf16"),
}

DECODE_QUERIES = 8
"""New tokens of a sequence up to which kernels for decoding are used."""


def gemm_constants(chip: Chip, formats: Formats) -> tuple[Constants, bool]:
    """Find the constants of matrix products, and whether they are another chip's or format's."""
    return constants(chip.id, "gemm", *_VARIANTS.get(formats.gemm, ("bf16",)))


def attention_constants(op: Attention, chip: Chip, formats: Formats) -> tuple[Constants, bool]:
    """Find the constants of attention, and whether they are another chip's or format's."""
    cache = "fp8" if bytes_per_element(formats.kv) <= 1 else "bf16"
    phase = "decode" if op.queries <= DECODE_QUERIES else "prefill"
    return constants(chip.id, "attention", f"{phase}_bf16_{cache}", f"{phase}_bf16_bf16")


def gemm_bodies(ops: Sequence[Gemm], chip: Chip, formats: Formats) -> list[tuple[float, bool]]:
    """Seconds of one execution of each without its launch, and whether arithmetic takes the longer part.

    Groups (experts, heads) run as one kernel whose rows are padded to whole tiles in each group.

    >>> from chipmeter.chips import chip
    >>> ((seconds, by_compute),) = gemm_bodies([Gemm(8192, 8192, 8192)], chip("h100"), Formats.of("bf16"))
    >>> by_compute, 1.1e12 / 989e12 < seconds < 1.1e12 / 600e12
    (True, True)
    """
    if not ops:
        return []
    on, stored = device(chip), bytes_per_element(formats.weight)
    found, _ = gemm_constants(chip, formats)
    m, n, k, groups = (
        np.array(sizes, dtype=np.float64) for sizes in zip(*((op.m, op.n, op.k, op.groups) for op in ops), strict=True)
    )
    each = m / groups
    padded = groups * np.where(each > 64, np.ceil(each / 128.0) * 128.0, np.maximum(each, 1.0))
    time = gemm_seconds(found.values, on, formats.gemm, np.where(groups > 1, padded, m), n, k, stored)
    others = np.maximum(groups - 1.0, 0.0) * n * k * stored / on.bandwidth
    memory = time.memory + others * (1.0 + found.values["memory"])
    bodies = np.maximum(time.total - time.launch, memory)
    return list(zip(bodies.tolist(), (time.compute >= memory).tolist(), strict=True))


def attention_body(op: Attention, chip: Chip, formats: Formats, format: str) -> tuple[float, bool] | None:
    """Seconds of one execution without its launch, and whether arithmetic takes the longer part; None if not described."""
    if op.shared_kv or op.head_dim != op.value_dim or not op.causal or (op.window or op.keys) < op.keys:
        return None
    on, width = device(chip), bytes_per_element(formats.kv)
    batch, heads, kv_heads, dim, queries, keys = (
        np.array([float(size)]) for size in (op.batch, op.heads, op.kv_heads, op.head_dim, op.queries, op.keys)
    )
    found, _ = attention_constants(op, chip, formats)
    if op.queries <= DECODE_QUERIES:
        total = decode_seconds(found.values, on, width, batch, heads, kv_heads, dim, keys)[0]
        return float(total) - found.values["launch_us"] * 1e-6, False
    total = prefill_seconds(found.values, on, format, width, batch, heads, kv_heads, dim, queries, keys)[0]
    flops = op.flops / (op.count * op.passes)
    floor = flops / on.rate(format)
    return max(float(total) - found.values["launch_us"] * 1e-6, floor), True
