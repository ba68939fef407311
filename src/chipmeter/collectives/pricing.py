"""Pricing: a schedule counted on a topology, and the constants of its fabrics put to what was counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chipmeter.collectives import contention, tuning
from chipmeter.collectives.schedule import Schedule
from chipmeter.collectives.topology import Topology
from chipmeter.collectives.tuning import Choice
from chipmeter.evidence import Grade, weakest

US = 1e-6
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """A schedule on a topology before constants: steps and seconds per byte for each level at its full rate.

    Parameters
    ----------
    hops : tuple of float
        Steps on a chunk's way, by the level they cross.
    stages : tuple of tuple of float
        For each round (for each run of pipelined ones) and level, the seconds per byte of its busiest link.
    steps : int
    ranks : int
    """

    hops: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    steps: int
    ranks: int


def plan(schedule: Schedule, on: Topology) -> Plan:
    """Count a schedule's steps on the links of a topology.

    Parameters
    ----------
    schedule : Schedule
        By its rounds, or, if it has none, by its messages; chunks are of equal size.
    on : Topology

    Raises
    ------
    ValueError
        If the topology has no path between so many ranks.
    """
    n, levels = schedule.ranks, len(on.levels)
    on.reach(n)
    hops, stages = [0.0] * levels, []
    if not schedule.rounds:
        weights = dict.fromkeys(range(schedule.chunks), 1.0 / schedule.chunks)
        for messages in schedule.by_step():
            one = contention.load_of(tuple(messages), on, n, weights)
            hops = [h + c for h, c in zip(hops, one.crossing, strict=True)]
            stages.append(one.seconds)
        return Plan(tuple(hops), tuple(stages), schedule.steps, n)
    streaming: bool | None = None
    for step in schedule.rounds:
        one = contention.load(step, on, n)
        hops = [h + step.repeat * c for h, c in zip(hops, one.crossing, strict=True)]
        share = float(step.fraction) * (1 if step.pipelined else step.repeat)
        stage = tuple(share * s for s in one.seconds)
        if step.pipelined and streaming is step.reduces:
            # Rounds that stream one way are in flight together: a port serves one of them.
            stage = tuple(map(max, stages.pop(), stage))
        stages.append(stage)
        streaming = step.reduces if step.pipelined else None
    return Plan(tuple(hops), tuple(stages), schedule.steps, n)


@dataclass(frozen=True)
class Quote:
    """One algorithm and protocol, priced for any number of bytes: latency + wire x bytes + ramp x their geometric mean.

    Parameters
    ----------
    choice : Choice
    latency : float
        Seconds.
    wire : float
        Seconds per byte.
    ramp : float
    steps : int
    bottleneck : str
        The level whose links take longest.
    low, high : float
        Bounds of log(measured / predicted).
    grade : str
    """

    choice: Choice
    latency: float
    wire: float
    ramp: float
    steps: int
    bottleneck: str
    low: float
    high: float
    grade: Grade

    def at(self, size: float) -> float:
        """Time one `size` in bytes."""
        moved = self.wire * size
        return self.latency + moved + self.ramp * math.sqrt(self.latency * moved)

    def seconds(self, size: Floats) -> Floats:
        """Time `size` bytes."""
        moved = self.wire * size
        return self.latency + moved + self.ramp * np.sqrt(self.latency * moved)


def quote(counted: Plan, on: Topology, operation: str, choice: Choice, fits: tuning.Fits | None = None) -> Quote:
    """Put the constants of the fabrics, by default the packaged ones, to what was counted."""
    low = high = extra = start = ramp = own = 0.0
    rate: list[float] = []
    hop, first, borrowed = 0.0, True, False
    used = [i for i in range(len(on.levels)) if counted.hops[i] or any(stage[i] for stage in counted.stages)]
    inner = next((i for i in used if not on.levels[i].name.startswith("DMA")), used[0])
    for index, level in enumerate(on.levels):
        if index not in used:
            rate.append(1.0)
            continue
        name, moved = tuning.fabric(level.name, on.library)
        fit, alike = tuning.fit_of(name, operation, fits)
        constants, stand_in = tuning.protocol_of(fit, choice.algorithm, choice.protocol)
        # Copies inside a chip overlap in rings over several; two ranks alone reach what was measured of them.
        rate.append(constants.reach if index == inner or not level.name.startswith("DMA") else 1.0)
        hop += counted.hops[index] * constants.hop * US
        if index != inner and name != "network" and not name.endswith("EFA"):
            continue
        start += constants.start * US
        ramp, own = max(ramp, constants.ramp), max(own, constants.own / level.bandwidth) if first else own
        low, high = min(low, fit.low), max(high, fit.high)
        first = False
        here = min(counted.ranks, level.size or counted.ranks)
        growth = tuning.GROWTH * max(0.0, math.log2(here / (fit.ranks or here)))
        foreign = moved or alike or not fit.rows
        borrowed |= foreign
        extra = max(extra, growth + (tuning.TRANSFER if foreign else tuning.TRANSFER / 2 if stand_in else 0.0))
    totals = [0.0] * len(on.levels)
    wire = own / counted.ranks
    for stage in counted.stages:
        slow = [s / r for s, r in zip(stage, rate, strict=True)]
        wire += max(slow)
        totals[slow.index(max(slow))] += max(slow)
    grade: Grade = "assumed" if borrowed else "inferred"
    return Quote(
        choice, start + hop, wire, ramp, counted.steps, on.levels[totals.index(max(totals))].name,
        low - extra, high + extra, weakest(grade, *(on.levels[i].grade for i in used)),
    )  # fmt: skip
