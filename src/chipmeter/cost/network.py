"""Seconds of a transfer between chips: the prices of the collective schedules, for the cost of whole programs."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from chipmeter.collectives.curves import Group, seconds_of
from chipmeter.collectives.timing import duration
from chipmeter.collectives.topology import rated
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array


def collective_seconds(
    chip: Device, op: str, size: float, ranks: float, spread: float | None = None, *, engine: bool = False
) -> float:
    """Time one collective of `size` bytes (the whole vector) over `ranks` chips, as its schedule is priced.

    Parameters
    ----------
    chip : Device
    op : {"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "send-recv"}
        Or with underscores.
    size : float
        Bytes of the full vector; for all-to-all, bytes that each rank sends.
    ranks : float
        Rounded.
    spread : float, optional
        Chips over which the group is strided: a group of 8 that takes every 4th chip spreads over 32. By default
        neighbours.
    engine : bool
        Whether a serving engine runs, whose all-reduce kernels take less latency than NCCL's.

    Examples
    --------
    >>> from chipmeter.cost.device import device
    >>> collective_seconds(device("h100"), "all-reduce", 2**30, 1)
    0.0
    >>> 0.004 < collective_seconds(device("h100"), "all-reduce", 2**30, 8) < 0.007
    True
    """
    n = max(1, round(ranks))
    if n == 1 or size <= 0:
        return 0.0
    stride = 1 if spread is None else max(1, int(spread // n))
    on, _ = _group(chip.id, chip.link, chip.network, chip.domain, n, stride, engine)
    return duration(op.replace("-", "_"), size, on, n)


def collective_times(
    chip: Device,
    op: str,
    size: npt.ArrayLike,
    ranks: npt.ArrayLike,
    spread: npt.ArrayLike | None = None,
    *,
    engine: bool = False,
) -> Array:
    """Time many collectives at once; arrays are broadcast. Each is what `collective_seconds` gives.

    Examples
    --------
    >>> from chipmeter.cost.device import device
    >>> one = collective_seconds(device("h100"), "all-gather", 2**24, 4, 32)
    >>> bool(collective_times(device("h100"), "all-gather", 2**24, [8, 4], 32)[1] == one)
    True
    """
    n = np.maximum(1, np.rint(np.asarray(ranks, np.float64))).astype(np.int64)
    stride = np.ones_like(n) if spread is None else np.maximum(1, np.asarray(spread, np.float64) // n).astype(np.int64)
    n, stride = np.broadcast_arrays(n, stride)
    kinds, which = np.unique((n << 32) | np.where(n > 1, stride, 1), return_inverse=True)
    groups = [
        _group(chip.id, chip.link, chip.network, chip.domain, kind >> 32, kind & 0xFFFFFFFF, engine)
        for kind in kinds.tolist()
    ]
    return seconds_of(op.replace("-", "_"), size, groups, which.reshape(n.shape))


@functools.lru_cache(maxsize=1 << 16)
def _group(chip: str, link: float, network: float, domain: int, ranks: int, stride: int, engine: bool) -> Group:
    """Links that a strided group sees of a device at its rates."""
    return rated(chip, link, network, domain, ranks * stride, engine=engine).spaced(stride), ranks
