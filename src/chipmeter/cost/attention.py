"""Seconds of fused attention: prefill by causal FLOPs and waves of query blocks, decode by the cache it reads.

All functions work on arrays of shapes at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array, Parameter

BLOCK = 128
"""Query rows that one core works on at a time."""

SHARED_HEADS = 32
"""Query heads per key-value head up to which one pass over the cache serves them all; beyond, kernels read it per
head, from the second-level cache where it fits (seen on A100, H100 and B200 tables)."""

PREFILL = [
    Parameter("launch_us", 8.0, 0.7),
    Parameter("compute", 0.5, 0.7),
    Parameter("memory", 0.4, 0.7),
    Parameter("blend", 2.0, 0.7),
    Parameter("block_us", 0.5, 1.5),
    Parameter("tail", 0.5, 1.0),
]
"""Constants of prefill: ``compute`` and ``memory`` are times beyond full speed as shares of it, ``block_us`` what a
block of queries adds, ``tail`` how much of a last, half-empty wave is waited for."""

DECODE = [
    Parameter("launch_us", 6.0, 0.7),
    Parameter("memory", 0.3, 0.7),
    Parameter("group_us", 5.0, 1.0),
    Parameter("single_us", 1.5, 1.0),
    Parameter("token_ns", 3.0, 1.5),
    Parameter("blend", 2.0, 0.7),
    Parameter("compute", 1.0, 1.0),
    Parameter("reread", 0.5, 1.0),
    Parameter("chunk", 1.0, 1.5),
    Parameter("head_us", 0.05, 1.5),
    Parameter("wide_us", 1.5, 1.0),
]
"""Constants of decode: ``group_us``, ``single_us``, ``wide_us`` are what a block of heads adds with grouped, single and
too many heads per key-value head; ``token_ns`` the latency of one cached token, ``chunk`` times 64 tokens the shortest
piece of a split cache, ``reread`` the cost of each further read of the cache."""


def prefill_seconds(
    values: Mapping[str, float],
    chip: Device,
    format: str,
    cache_width: float,
    batch: Array,
    heads: Array,
    kv_heads: Array,
    head_dim: Array,
    queries: Array,
    keys: Array,
) -> Array:
    """Time causal attention of `queries` new tokens on `keys` tokens.

    Parameters
    ----------
    values : mapping of str to float
        Constants; see `PREFILL`.
    chip : Device
    format : str
        In which the products are computed.
    cache_width : float
        Bytes of a cached element.
    batch, heads, kv_heads, head_dim, queries, keys : ndarray, shape (rows,)

    Returns
    -------
    ndarray, shape (rows,)
    """
    rate, cores = chip.rate(format), float(chip.cores)
    flops = 2.0 * batch * heads * queries * (2.0 * keys - queries) * head_dim
    blocks = batch * heads * np.ceil(queries / BLOCK)
    slow = 1.0 + values["compute"]
    longest = keys * 2.0 * BLOCK * head_dim * cores / rate * slow
    waste = np.minimum(np.ceil(blocks / cores) * cores / blocks, 4.0) - 1.0
    compute = flops / rate * slow * (1.0 + values["tail"] * waste) + longest
    compute = compute + blocks / cores * values["block_us"] * 1e-6
    moved = (
        batch * queries * head_dim * 8.0 * (heads + kv_heads) + batch * keys * kv_heads * 4.0 * head_dim * cache_width
    )
    memory = moved / chip.bandwidth * (1.0 + values["memory"])
    q = 1.0 + values["blend"]
    return values["launch_us"] * 1e-6 + (compute**q + memory**q) ** (1.0 / q)


def decode_seconds(
    values: Mapping[str, float],
    chip: Device,
    cache_width: float,
    batch: Array,
    heads: Array,
    kv_heads: Array,
    head_dim: Array,
    keys: Array,
) -> Array:
    """Time attention of one new token per sequence on a cache of `keys` tokens.

    Parameters
    ----------
    values : mapping of str to float
        Constants; see `DECODE`.
    chip : Device
    cache_width : float
        Bytes of a cached element.
    batch, heads, kv_heads, head_dim, keys : ndarray, shape (rows,)

    Returns
    -------
    ndarray, shape (rows,)
    """
    cores = float(chip.cores)
    group = heads / kv_heads
    wide = group > SHARED_HEADS
    cache = 2.0 * batch * keys * kv_heads * head_dim * cache_width
    rereads = np.where(wide, np.maximum(1.0, values["reread"] * group), 1.0)
    memory = (
        cache / chip.bandwidth * (1.0 + values["memory"]) * rereads + batch * heads * head_dim * 4.0 / chip.bandwidth
    )
    blocks = batch * np.where(wide, heads, kv_heads)
    waves = blocks / cores
    each = np.where(wide, values["wide_us"], np.where(group > 1, values["group_us"], values["single_us"]))
    dealt = np.where(waves < 1, 0.0, np.where(group > 1, np.ceil(waves), waves))
    issue = (each * dealt + values["head_us"] * batch * heads / cores / 8.0) * 1e-6
    pieces = np.maximum(1.0, np.minimum(cores / blocks, keys / values["chunk"] / 64.0))
    serial = values["token_ns"] * 1e-9 * keys / pieces
    flops = 4.0 * batch * keys * kv_heads * head_dim * np.maximum(group, 16.0)
    compute = flops / chip.rate("bf16") * (1.0 + values["compute"])
    q = 1.0 + values["blend"]
    return values["launch_us"] * 1e-6 + (memory**q + compute**q + issue**q + serial**q) ** (1.0 / q)
