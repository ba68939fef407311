"""Time of a collective, priced from the steps of the same schedule that is executed for bits."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chipmeter.collectives import contention, symbolic, tuning
from chipmeter.collectives.pricing import Floats, Plan, Quote, plan, quote
from chipmeter.collectives.schedule import Schedule
from chipmeter.collectives.topology import Topology, topology
from chipmeter.collectives.tuning import Choice
from chipmeter.evidence import Evidence


@dataclass(frozen=True)
class Timing:
    """What a collective takes, and why.

    Parameters
    ----------
    operation, algorithm, protocol, system : str
    ranks : int
    bytes : int
        Of the full vector, as nccl-tests counts: for all_gather and reduce_scatter all blocks, for all_to_all what one
        rank sends, its own block included.
    seconds, low, high : float
        The time, and the interval that holds 90 % of measurements.
    steps : int
        Steps of the schedule, one after the other.
    algbw, busbw : float
        Bytes/s in the convention of nccl-tests: bytes / time, and that times the factor of `bus_factor`.
    bottleneck : str
        "latency", or the level whose links take longest.
    evidence : Evidence
    """

    operation: str
    algorithm: str
    protocol: str
    system: str
    ranks: int
    bytes: int
    seconds: float
    low: float
    high: float
    steps: int
    algbw: float
    busbw: float
    bottleneck: str
    evidence: Evidence


def bus_factor(operation: str, ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth, as nccl-tests defines it.

    >>> bus_factor("all_reduce", 8), bus_factor("all_gather", 8), bus_factor("broadcast", 8)
    (1.75, 0.875, 1.0)
    """
    if operation == "all_reduce":
        return 2 * (ranks - 1) / ranks
    return (ranks - 1) / ranks if operation in ("all_gather", "reduce_scatter", "all_to_all") else 1.0


def _shape(on: Topology, ranks: int) -> tuple[int, ...]:
    """Ranks of a node, or the sides of the torus that the ranks fill."""
    top = on.reach(ranks)
    level = on.levels[top]
    unit = on.unit(top)
    if level.kind == "torus" and top == 0:
        return tuple(contention.sides(level.axes, ranks))
    return (unit,) if top else ()


@functools.lru_cache(maxsize=1 << 14)
def quotes(on: Topology, operation: str, ranks: int, algorithm: str | None = None) -> tuple[Quote, ...]:
    """Price what the library chooses among, or one algorithm under each protocol.

    Raises
    ------
    ValueError
        If an argument is not one of those accepted; see `time`.
    """
    _check(operation, ranks)
    if algorithm is None:
        wanted = tuning.choices(on, operation, ranks)
    else:
        wanted = tuple(Choice(algorithm, p) for p in _protocols(on, algorithm))
    return tuple(quote(counted(on, operation, ranks, c.algorithm), on, operation, c) for c in wanted)


@functools.lru_cache(maxsize=1 << 10)
def counted(on: Topology, operation: str, ranks: int, algorithm: str) -> Plan:
    """Count the steps of an algorithm on the links of a topology."""
    return plan(symbolic.symbolic(operation, algorithm, ranks, _shape(on, ranks)), on)


def floor_seconds(operation: str, size: float, on: Topology, ranks: int) -> float:
    """Least time that the links allow at their full rate and without latency, over what the library chooses among.

    >>> floor_seconds("all_gather", 450e9, topology("h100"), 8)
    0.875
    """
    _check(operation, ranks)
    plans = [counted(on, operation, ranks, c.algorithm) for c in tuning.choices(on, operation, ranks)]
    return size * min(sum(max(stage) for stage in one.stages) for one in plans)


def _protocols(on: Topology, algorithm: str) -> tuple[str, ...]:
    return ("Simple",) if algorithm in ("nvls", "nvls_tree", "pat") else tuning.protocols(on)


def seconds(
    operation: str,
    sizes: npt.ArrayLike,
    on: Topology,
    ranks: int,
    algorithm: str | None = None,
    *,
    spread: int | None = None,
) -> Floats:
    """Time many sizes at once: what the cost of whole programs calls.

    Parameters
    ----------
    operation : str
    sizes : array_like of float
        Bytes of the full vector; 0 takes no time.
    on : Topology
    ranks : int
        1 takes no time.
    algorithm : str, optional
    spread : int, optional
        Ranks over which the group is strided: a group of 8 that takes every 4th rank spreads over 32.

    Returns
    -------
    ndarray of float64, of the shape of `sizes`

    Examples
    --------
    >>> t = seconds("all_reduce", [2**10, 2**30], topology("h100"), 8)
    >>> bool(t[0] < 30e-6), bool(3e-3 < t[1] < 6e-3)
    (True, True)
    """
    size = np.asarray(sizes, dtype=np.float64)
    if ranks == 1:
        return np.zeros(size.shape)
    near = on if spread is None else on.spaced(max(1, spread // ranks))
    times, _ = best(quotes(near, operation, ranks, algorithm), size)
    return np.where(size > 0, times, 0.0)


def best(found: Sequence[Quote], size: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Least time over what is considered at each size; ties keep the first."""
    table = [np.where((q.choice.least <= size) & (size < q.choice.most), q.seconds(size), np.inf) for q in found]
    which = np.argmin(np.stack(table), axis=0)
    times = np.take_along_axis(np.stack(table), which[None], axis=0)[0]
    for bound in bounds(found):
        # Chosen by size alone: a longer vector is never quicker than the longest under the algorithm before.
        times = np.where(size >= bound, np.maximum(times, floor_at(found, bound)), times)
    return times, which


def bounds(found: Sequence[Quote]) -> list[float]:
    """List the sizes below which something is considered."""
    return sorted({q.choice.most for q in found if math.isfinite(q.choice.most)})


def floor_at(found: Sequence[Quote], size: float) -> float:
    """Longest time at the bounds up to a size, each under what is considered just below it."""
    return max(
        min(q.at(bound) for q in found if q.choice.least < bound <= q.choice.most)
        for bound in bounds(found)
        if bound <= size
    )


def duration(operation: str, size: float, on: Topology, ranks: int, *, spread: int | None = None) -> float:
    """Time one size: what `seconds` gives, without arrays, for searches that ask millions of times.

    Examples
    --------
    >>> duration("all_reduce", 2.0**30, topology("h100"), 8) == float(seconds("all_reduce", 2**30, topology("h100"), 8))
    True
    """
    if ranks == 1 or size <= 0:
        return 0.0
    near = on if spread is None else on.spaced(max(1, spread // ranks))
    least, floor, bounded = math.inf, 0.0, False
    found = quotes(near, operation, ranks)
    for one in found:
        if one.choice.least <= size < one.choice.most:
            least = min(least, one.at(size))
        bounded |= size >= one.choice.most
    if bounded:
        floor = floor_at(found, size)
    return max(least, floor)


def choose(operation: str, bytes: int, *, system: str | Topology, ranks: int | None = None) -> tuple[str, str]:
    """Name the algorithm and protocol that the system's library takes.

    Parameters
    ----------
    operation : str
    bytes : int
    system : str or Topology
    ranks : int, optional
        By default all chips of the system.

    Examples
    --------
    >>> choose("all_reduce", 2**30, system="h100", ranks=8)
    ('nvls', 'Simple')
    >>> choose("all_reduce", 2**10, system="h100", ranks=8)
    ('ring', 'LL')
    """
    found = time(None, operation, bytes, system=system, ranks=ranks)
    return found.algorithm, found.protocol


def time(
    schedule: Schedule | str | None,
    operation: str | None = None,
    bytes: int = 0,
    *,
    system: str | Topology,
    ranks: int | None = None,
) -> Timing:
    """Price a collective.

    Parameters
    ----------
    schedule : Schedule, str or None
        A schedule (of one's own too), the name of an algorithm, or None for what the library would choose.
    operation : str, optional
        One of `symbolic.OPERATIONS`; a schedule knows its own.
    bytes : int
        Of the full vector, as nccl-tests counts.
    system : str or Topology
        A system or chip of the catalogue, or one's own topology.
    ranks : int, optional
        By default all of the system, or of the schedule.

    Returns
    -------
    Timing

    Raises
    ------
    UnknownNameError
        If the system, operation or algorithm is unknown; the message lists the nearest.
    ValueError
        If there are fewer than 2 ranks, no bytes, or no path between the ranks.

    Examples
    --------
    >>> t = time("ring", "all_reduce", 2**30, system="p5.48xlarge", ranks=8)
    >>> t.steps, t.bottleneck, 250e9 < t.busbw < 450e9
    (14, 'NVLink4', True)
    """
    own = schedule if isinstance(schedule, Schedule) else None
    name = operation or (own.operation if own else "")
    symbolic.check_operation(name)
    if own is not None and own.operation != name:
        raise ValueError(f"schedule {own.name!r} is of {own.operation}, not of {name}")
    count = ranks if ranks is not None else own.ranks if own else default_ranks(system)
    _check(name, count)
    if own is not None and own.ranks != count:
        raise ValueError(f"schedule {own.name!r} is for {own.ranks} ranks, not for {count}")
    size = _size(bytes)
    on = topology(system, count) if isinstance(system, str) else system
    if own is None:
        found = quotes(on, name, count, schedule if isinstance(schedule, str) else None)
    else:
        steps = plan(own, on)
        found = tuple(quote(steps, on, name, Choice(own.name, p)) for p in _protocols(on, own.name))
    return _timing(found, name, count, size, on)


def _timing(found: tuple[Quote, ...], operation: str, ranks: int, size: int, on: Topology) -> Timing:
    times, which = best(found, np.array([float(size)]))
    one, took = found[int(which[0])], float(times[0])
    book = tuning.book()
    return Timing(
        operation, one.choice.algorithm, one.choice.protocol, on.name, ranks, size, took,
        took * math.exp(one.low), took * math.exp(one.high), one.steps, size / took,
        size / took * bus_factor(operation, ranks),
        "latency" if one.latency > one.wire * size else one.bottleneck,
        Evidence(one.grade, book.source, book.date),
    )  # fmt: skip


def default_ranks(system: str | Topology) -> int:
    """Ranks of a whole system."""
    on = topology(system) if isinstance(system, str) else system
    sizes = [level.size for level in on.levels if level.size]
    if not sizes:
        raise ValueError(f"ranks must be given: {on.name} does not say how many it has")
    return max(sizes)


def _check(operation: str, ranks: int) -> None:
    symbolic.check_operation(operation)
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {ranks!r}")


def _size(value: object) -> int:
    try:
        size = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"bytes must be an integer, got {value!r}") from None
    if size < 1:
        raise ValueError(f"bytes must be at least 1, got {size}")
    return size
