"""Tensor parallelism: the share of an operation that one chip executes, and the time of the all-reduces between."""

from __future__ import annotations

import math

import msgspec

from chipmeter.chips import Chip, Link
from chipmeter.collectives.timing import floor_seconds, time
from chipmeter.collectives.topology import rated
from chipmeter.cost.calibration import Efficiency
from chipmeter.evidence import Grade, weakest
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


def all_reduce_seconds(
    op: AllReduce, chips: int, chip: Chip, link: Link, formats: Formats, efficiency: Efficiency
) -> tuple[float, Grade]:
    """Time an all-reduce over a tensor-parallel group, as the schedule is priced that a serving engine would run there.

    Where the efficiency has a time per block, that holds the latency, and only what the bytes add is counted here.

    Parameters
    ----------
    op : AllReduce
    chips : int
        Size of the group; one chip takes no time.
    chip : Chip
    link : Link
        The scale-up network; its bandwidth is bytes/s of one chip in one direction.
    formats : Formats
    efficiency : Efficiency

    Returns
    -------
    float
        Seconds of all executions.
    Grade
        Of the price.

    Raises
    ------
    ValueError
        If the bandwidth of the link is not known.
    """
    if chips == 1:
        return 0.0, "documented"
    if link.bandwidth is None:
        raise ValueError(f"the bandwidth of {link.name} is not published, so tensor parallelism cannot be timed")
    rate, size, times = link.bandwidth.value, math.ceil(op.live_bytes(formats)), op.passes * op.count
    on = rated(chip.id, rate, rate, link.domain or chips, chips, engine=True)
    if efficiency.rated_links:
        return times * floor_seconds("all_reduce", size, on, chips), link.bandwidth.grade
    found = time(None, "all_reduce", size, system=on, ranks=chips)
    once = found.seconds
    if efficiency.block is not None:
        once -= time(found.algorithm, "all_reduce", 1, system=on, ranks=chips).seconds
    return times * max(once, 0.0), weakest(found.evidence.grade, link.bandwidth.grade)
