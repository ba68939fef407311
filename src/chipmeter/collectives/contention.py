"""Contention: how loaded the busiest link of each level is in one step, counted from the step's own messages."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from chipmeter.collectives.schedule import Round, Transfer
from chipmeter.collectives.topology import Level, Topology

Ranks = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class Load:
    """What one step asks of a topology, for messages of one byte.

    Parameters
    ----------
    seconds : tuple of float
        For each level, the time in which its busiest link carries its messages.
    crossing : tuple of float
        For each level, its share of the messages on a chunk's way: of all messages where chunks visit all links in turn
        (a ring), else 1 for the outermost level that the step uses.
    """

    seconds: tuple[float, ...]
    crossing: tuple[float, ...]


def load(step: Round, topology: Topology, ranks: int) -> Load:
    """Count the messages of a symbolic step on the links of a topology.

    Parameters
    ----------
    step : Round
    topology : Topology
    ranks : int

    Returns
    -------
    Load

    Notes
    -----
    A port of level l belongs to the unit that the level below has joined (a node's network cards together), since all
    channels and rails of a unit share the work. The cost is one pass over the messages, whatever the pattern.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from chipmeter.collectives.topology import topology
    >>> ring = Round("shift", 1, Fraction(1, 32), 31, size=32)
    >>> inner, outer = load(ring, topology("h100"), 32).seconds
    >>> round(inner * 450e9, 9), round(outer * 8 * 50e9, 9)
    (1.0, 1.0)
    """
    # What a message weighs and how often it is sent does not change the count; nor does its direction, links being alike
    # both ways. Only a ring that goes round may use all links of a torus or mesh at once.
    rings = step.pattern == "shift" and step.distance == 1 and (step.repeat > 1 or step.size == 2)
    pattern = "up" if step.pattern == "down" else step.pattern
    shape = Round(pattern, step.distance, Fraction(0), 1, False, step.size, step.stride, step.limit, step.pairs)
    return _load(shape, topology, ranks, rings)


@functools.lru_cache(maxsize=4096)
def _load(step: Round, topology: Topology, ranks: int, rings: bool) -> Load:
    if step.pattern == "direct":
        return _direct(step, topology, ranks)
    source, target = _messages(step, ranks)
    return _count(source, target, topology, ranks, ring=rings)


def load_of(messages: tuple[Transfer, ...], topology: Topology, ranks: int, weights: dict[int, float]) -> Load:
    """Count the messages of one step of a user's schedule; each weighs the share of the vector that its chunk is."""
    source = np.array([t.source for t in messages], dtype=np.int64)
    target = np.array([t.target for t in messages], dtype=np.int64)
    shares = np.array([weights[t.chunk] for t in messages])
    following = bool(np.all((target - source) % ranks == 1))
    return _count(source, target, topology, ranks, ring=following, shares=shares)


def _messages(step: Round, ranks: int) -> tuple[Ranks, Ranks]:
    """Sender and receiver of every message of a step."""
    places, d = min(step.limit or step.size, step.size), step.distance
    if step.pattern == "pairs":
        pairs = np.array(step.pairs, dtype=np.int64).reshape(-1, 2)
        place, to = pairs[:, 0], pairs[:, 1]
    elif step.pattern == "up":
        place = np.arange(d, places, 2 * d, dtype=np.int64)
        to = place - d
    else:
        place = np.arange(places, dtype=np.int64)
        to = (place + d) % places if step.pattern == "shift" else place ^ d
        kept = (to < places) & (to != place)
        place, to = place[kept], to[kept]
    block = step.size * step.stride
    first = (np.arange(0, ranks, block)[:, None] + np.arange(min(step.stride, ranks))).reshape(-1, 1)
    source, target = (first + place * step.stride).reshape(-1), (first + to * step.stride).reshape(-1)
    there = (source < ranks) & (target < ranks)
    return source[there], target[there]


def _count(
    source: Ranks,
    target: Ranks,
    topology: Topology,
    ranks: int,
    *,
    ring: bool,
    shares: Weights = None,
) -> Load:
    left = np.ones(source.size, dtype=bool)
    seconds, part = [], []
    for index, level in enumerate(topology.levels):
        inside = left.copy() if not level.size else left & (source // level.size == target // level.size)
        left &= ~inside
        unit = topology.unit(index)
        a, b = source[inside] // unit, target[inside] // unit
        w = None if shares is None else shares[inside]
        part.append(a.size / max(source.size, 1))
        seconds.append(_busiest(a, b, w, level, unit, ranks, ring=ring) if a.size else 0.0)
    if not ring:
        top = max((i for i, share in enumerate(part) if share), default=0)
        part = [float(i == top) for i in range(len(part))]
    return Load(tuple(seconds), tuple(part))


def _busiest(a: Ranks, b: Ranks, w: Weights, level: Level, unit: int, ranks: int, *, ring: bool) -> float:
    """Seconds per byte of the busiest link; a and b are units."""
    port = max(float(np.bincount(a, w).max()), float(np.bincount(b, w).max()))
    rate = level.bandwidth * min(unit, ranks)
    units = min(level.size or ranks, ranks) // unit
    if level.kind == "switch":
        return port / rate
    if ring:
        # As many rings as the links allow run side by side, each with its part of every message.
        return port / (rate * _usable(level, unit, units))
    if level.kind == "mesh":
        links = np.unique(np.stack([a, b]), axis=1, return_inverse=True)[1].reshape(-1)
        return float(np.bincount(links, w).max()) * ((level.size // unit) - 1) / rate
    return _torus(a, b, np.ones(a.size) if w is None else w, level) * 2 * len(level.axes) / rate


def _usable(level: Level, unit: int, units: int) -> float:
    """Share of a unit's links that lead to units which take part."""
    if level.kind == "mesh":
        return max(units - 1, 1) / max(level.size // unit - 1, 1)
    left, links = units, 0
    for k in sorted(level.axes, reverse=True):
        here = min(k, left)
        left = -(-left // here)
        links += 0 if here == 1 else 1 if here == 2 or here < k or not level.wraps else 2
    return max(links, 1) / (2 * len(level.axes))


def _torus(a: Ranks, b: Ranks, w: npt.NDArray[np.float64], level: Level) -> float:
    """Weight on the busiest link when messages go along the last axis first, each the shorter way round."""
    worst, stride, count = 0.0, 1, math.prod(level.axes)
    at = a.copy()
    for k in reversed(level.axes):
        here, there = at // stride % k, b // stride % k
        away = there - here
        if level.wraps:
            away = (away + k // 2) % k - k // 2
        for sign in (1, -1):
            hops = away * sign
            links = np.zeros(int(at.max()) + count + 1)
            spot = here.copy()
            base = at - here * stride
            for hop in range(int(hops.max(initial=0))):
                moving = hops > hop
                np.add.at(links, (base + spot * stride)[moving], w[moving])
                spot = np.where(moving, (spot + sign) % k, spot)
            worst = max(worst, float(links.max()))
        at = at + (there - here) * stride
        stride *= k
    return worst


def _direct(step: Round, topology: Topology, ranks: int) -> Load:
    """Every place to every other of its group: counted by how many places of a group each domain holds."""
    rank = np.arange(ranks, dtype=np.int64)
    member = rank // step.stride % step.size < (step.limit or step.size)
    rank = rank[member]
    group = rank // (step.size * step.stride) * step.stride + rank % step.stride
    seconds: list[float] = []
    below = np.ones(rank.size, dtype=np.int64)
    for index, level in enumerate(topology.levels):
        unit = topology.unit(index)
        joined = _together(group, rank // level.size if level.size else np.zeros_like(rank))
        port = float(np.bincount(rank // unit, joined - below).max())
        below = joined
        rate = level.bandwidth * min(unit, ranks)
        share = 1.0
        if port and level.kind == "torus":
            # Mean way along each axis times messages, over the two links of that axis.
            usual = [k for k in sides(level.axes, -(-int(min(level.size or ranks, ranks)) // unit)) if k > 1]
            share = len(usual) / len(level.axes) / max([1.0, *(k / 4 if level.wraps else k / 3 for k in usual)])
        elif port and level.kind == "mesh":
            share = _usable(level, unit, int(joined.max()) // unit)
        seconds.append(port / (rate * share))
    top = max((i for i, s in enumerate(seconds) if s), default=0)
    return Load(tuple(seconds), tuple(float(i == top) for i in range(len(seconds))))


def _together(group: Ranks, domain: Ranks) -> Ranks:
    """For each rank, how many of its group are in its domain."""
    key = group * (int(domain.max()) + 1) + domain
    _, at, counts = np.unique(key, return_inverse=True, return_counts=True)
    found: Ranks = counts[at].astype(np.int64)
    return found


def sides(axes: tuple[int, ...], units: int) -> list[int]:
    """Sides of the part of a torus that the first units fill."""
    found = []
    for k in reversed(axes):
        found.append(min(k, units))
        units = -(-units // k)
    return found
