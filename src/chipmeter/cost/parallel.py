"""Tensor parallelism: the share of an operation that one chip executes, and the time of the all-reduces between."""

from __future__ import annotations

import math

import msgspec

from chipmeter.chips import Link
from chipmeter.cost.calibration import LinkRate
from chipmeter.workloads import Attention, Formats, Gemm, Op, Optimizer, Pointwise
from chipmeter.workloads.ops import AllReduce


def shard(op: Op, chips: int) -> Op:
    """Cut an operation to the share of one chip of a tensor-parallel group; sizes round up.

    >>> shard(Gemm(16, 4096, 14336, split="row"), 8).k
    1792
    """
    if chips == 1:
        return op
    if isinstance(op, Gemm):
        if op.split == "column":
            return msgspec.structs.replace(op, n=_share(op.n, chips))
        if op.split == "row":
            return msgspec.structs.replace(op, k=_share(op.k, chips))
        if op.split == "groups":
            return msgspec.structs.replace(op, m=_share(op.m, chips), groups=op.groups / chips)
        return op
    if isinstance(op, Attention):
        heads, kv_heads = _share(op.heads, chips), _share(op.kv_heads, chips)
        return msgspec.structs.replace(op, heads=heads, kv_heads=kv_heads)
    if isinstance(op, Pointwise) and op.split == "column":
        return msgspec.structs.replace(op, width=_share(op.width, chips))
    if isinstance(op, Optimizer):
        return msgspec.structs.replace(op, parameters=_share(op.parameters, chips))
    return op


def _share(size: int, chips: int) -> int:
    return math.ceil(size / chips)


def all_reduce_seconds(op: AllReduce, chips: int, link: Link, rate: LinkRate, formats: Formats) -> float:
    """Time an all-reduce over a group of chips: base + 2 (n - 1) step + 2 (n - 1) / n x bytes / bandwidth.

    Parameters
    ----------
    op : AllReduce
    chips : int
        Size of the group; one chip takes no time.
    link : Link
        The scale-up network; its bandwidth is bytes/s of one chip in one direction.
    rate : LinkRate
    formats : Formats

    Returns
    -------
    float
        Seconds of all executions.

    Raises
    ------
    ValueError
        If the bandwidth of the link is not known.
    """
    if chips == 1:
        return 0.0
    if link.bandwidth is None:
        raise ValueError(f"the bandwidth of {link.name} is not published, so tensor parallelism cannot be timed")
    steps = 2 * (chips - 1)
    wire = steps / chips * op.live_bytes(formats) / (rate.bandwidth * link.bandwidth.value)
    return op.passes * op.count * (rate.base + rate.step * steps + wire)
