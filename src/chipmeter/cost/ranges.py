"""Low, expected and high: how far a result may be off, and how the doubts of its inputs combine."""

from __future__ import annotations

import math

import msgspec

LEVEL = 0.9
"""Share of measurements that a nominal interval is meant to hold."""


class Range(msgspec.Struct, frozen=True):
    """A positive quantity with its nominal 90 % interval.

    Independent doubts multiply the quantity, so they add in quadrature on its logarithm, each side for itself.

    Attributes
    ----------
    low, expected, high : float

    Examples
    --------
    >>> seconds = Range(0.9, 1.0, 1.2)
    >>> rate = 100 / seconds
    >>> round(rate.low, 1), rate.expected, round(rate.high, 1)
    (83.3, 100.0, 111.1)
    """

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.expected <= self.high:
            raise ValueError(f"low, expected and high must ascend from 0, got {self.low}, {self.expected}, {self.high}")

    @classmethod
    def around(cls, expected: float, low: float = 0.0, high: float = 0.0) -> Range:
        """Put log bounds around a value.

        >>> Range.around(2.0, -0.1, 0.1).low < 2.0 < Range.around(2.0, -0.1, 0.1).high
        True
        """
        return cls(expected * math.exp(min(low, 0.0)), expected, expected * math.exp(max(high, 0.0)))

    @property
    def log(self) -> tuple[float, float]:
        """Bounds as logarithms of their ratio to the expected value: not above and not below zero."""
        if self.expected == 0:
            return 0.0, 0.0
        return math.log(max(self.low / self.expected, 1e-300)), math.log(self.high / self.expected)

    @property
    def sure(self) -> bool:
        """Whether the interval is a point."""
        return self.low == self.expected == self.high

    def __add__(self, other: Range) -> Range:
        """Add a quantity whose doubt goes the same way, as of two times on one machine: ends are added.

        >>> Range(1.0, 2.0, 3.0) + Range(0.5, 1.0, 4.0)
        Range(low=1.5, expected=3.0, high=7.0)
        """
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        """Scale by a number, or by another quantity of independent doubt."""
        if not isinstance(other, Range):
            return Range(self.low * other, self.expected * other, self.high * other)
        (low, high), (more_low, more_high) = self.log, other.log
        return Range.around(self.expected * other.expected, -math.hypot(low, more_low), math.hypot(high, more_high))

    __rmul__ = __mul__

    def __truediv__(self, other: Range | float) -> Range:
        """Divide by a number, or by another quantity of independent doubt."""
        return self * (1.0 / other)

    def __rtruediv__(self, other: float) -> Range:
        """Divide a number by the quantity: the ends change sides."""
        return Range(other / self.high, other / self.expected, other / self.low)

    def at_least(self, floor: float) -> Range:
        """Raise what lies below a bound that holds for certain."""
        return Range(max(self.low, floor), max(self.expected, floor), max(self.high, floor))
