"""Prices of many groups at once: the quotes of a schedule as plain numbers, evaluated over arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chipmeter.collectives.pricing import Floats
from chipmeter.collectives.timing import bounds, floor_at, quotes
from chipmeter.collectives.topology import Topology

Group = tuple[Topology, int]
"""A topology and the ranks that take part."""

_NEVER = (0.0, 0.0, 0.0, np.inf, np.inf)


@functools.lru_cache(maxsize=1 << 16)
def _lines(operation: str, on: Topology, ranks: int) -> tuple[Floats, Floats]:
    """For each algorithm and protocol: latency, seconds per byte, ramp, least and most bytes; and for each bound: it, floor."""
    if ranks == 1:
        return np.array([(0.0, 0.0, 0.0, 0.0, np.inf)]), np.empty((0, 2))
    found = quotes(on, operation, ranks)
    lines = [(q.latency, q.wire, q.ramp, q.choice.least, q.choice.most) for q in found]
    return np.array(lines), np.array([(b, floor_at(found, b)) for b in bounds(found)]).reshape(-1, 2)


def seconds_of(operation: str, sizes: npt.ArrayLike, groups: Sequence[Group], which: npt.ArrayLike) -> Floats:
    """Time one collective in each of many groups: what searches over thousands of layouts call.

    The steps of each group's schedules are counted once and kept; an array of sizes then costs a few vector operations
    for each algorithm that the library chooses among.

    Parameters
    ----------
    operation : str
    sizes : array_like of float
        Bytes of the full vector; 0 takes no time.
    groups : sequence of (Topology, int)
        Distinct groups: topology (`Topology.spaced` for strided ranks) and ranks; 1 rank takes no time.
    which : array_like of int
        For each size, the index of its group; broadcast against `sizes`.

    Returns
    -------
    ndarray of float64
        What `duration` gives for each.

    Examples
    --------
    >>> from chipmeter.collectives import duration, topology
    >>> on = topology("h100")
    >>> found = seconds_of("all_reduce", [2.0**20, 2.0**30], [(on, 8), (on.spaced(8), 4)], [0, 1])
    >>> bool(found[1] == duration("all_reduce", 2.0**30, on.spaced(8), 4))
    True
    """
    size, index = np.broadcast_arrays(np.asarray(sizes, np.float64), np.asarray(which, np.intp))
    found = [_lines(operation, on, ranks) for on, ranks in groups]
    most = max((len(lines) for lines, _ in found), default=0)
    best = np.full(size.shape, np.inf)
    for k in range(most):
        column = np.array([lines[k] if k < len(lines) else _NEVER for lines, _ in found])
        latency, wire, ramp, least, bound = column[index.ravel()].T.reshape(5, *size.shape)
        moved = wire * size
        time = latency + moved + ramp * np.sqrt(latency * moved)
        best = np.where((least <= size) & (size < bound), np.minimum(best, time), best)
    for k in range(max((len(floors) for _, floors in found), default=0)):
        column = np.array([floors[k] if k < len(floors) else (np.inf, 0.0) for _, floors in found])
        bound, floor = column[index.ravel()].T.reshape(2, *size.shape)
        best = np.where(size >= bound, np.maximum(best, floor), best)
    return np.where(size > 0, best, 0.0)
