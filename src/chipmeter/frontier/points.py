"""The records of a frontier, and which of its points no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from chipmeter.chips import Chip
from chipmeter.comparison import NumericError
from chipmeter.cost import Estimate
from chipmeter.matmul import Unit
from chipmeter.workloads import Architecture

Axis = Literal["dollars", "joules", "seconds"]
"""What a point costs per unit of work."""

AXES: tuple[Axis, ...] = get_args(Axis)


@dataclass(frozen=True)
class Point:
    """One chip, number format and recipe.

    Attributes
    ----------
    chip, format : str
    recipe : str
        How operands are quantised, or the format that they are cast to.
    unit : Unit
        The matrix unit whose bits were computed.
    error : NumericError
    low, high : float
        Decibels: 90 % confidence interval of the SQNR over layers and rows that were not sampled.
    cost : Estimate
    """

    chip: Chip
    format: str
    recipe: str
    unit: Unit
    error: NumericError
    low: float
    high: float
    cost: Estimate

    def spends(self, axis: Axis) -> float | None:
        """Dollars, joules or seconds per unit of work; None where it is unknown."""
        if axis == "seconds":
            return self.cost.seconds / self.cost.units
        if axis == "joules":
            return self.cost.joules_per_unit
        price = self.cost.dollars_per_million_units
        return None if price is None else price / 1e6


@dataclass(frozen=True)
class Frontier:
    """The result of `frontier`.

    Attributes
    ----------
    model : Architecture
    data : str
        What the error was measured on.
    synthetic : bool
        Whether weights or activations were made up.
    points : tuple of Point
    skipped : tuple of str
        Chips and formats that were asked for and are not there, one line each.
    """

    model: Architecture
    data: str
    synthetic: bool
    points: tuple[Point, ...]
    skipped: tuple[str, ...]

    def best(self, axis: Axis) -> tuple[Point, ...]:
        """List the Pareto set, dearest first: points than which none has less error for the same spending or less.

        Points whose spending is unknown, that do not fit the memory, or whose error is NaN (something overflowed), are
        left out.
        """
        sound = [p for p in self.points if p.cost.fits and not math.isnan(p.error.sqnr)]
        known = [(p, spent) for p in sound if (spent := p.spends(axis)) is not None]
        kept = pareto([(spent, -p.error.sqnr) for p, spent in known])
        return tuple(sorted((known[i][0] for i in kept), key=lambda p: p.spends(axis) or 0.0, reverse=True))

    def plot(self, axis: Axis = "dollars") -> object:
        """Draw error against spending as a plotly figure (needs ``pip install chipmeter[report]``)."""
        from chipmeter.report.figures import frontier_figure

        return frontier_figure(self, axis)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other point equals or betters on both coordinates (less is better) and betters on one.

    >>> pareto([(1.0, 5.0), (2.0, 4.0), (2.0, 6.0), (3.0, 4.0)])
    [0, 1]
    """
    kept = []
    least = float("inf")
    last: tuple[float, float] | None = None
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if points[i][1] < least or points[i] == last:
            kept.append(i)
            least, last = min(least, points[i][1]), points[i]
    return sorted(kept)
