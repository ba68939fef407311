"""Numbers for people: three significant digits, a unit that fits, a mark for what is assumed."""

from __future__ import annotations

import math

UNKNOWN = "unknown"
ABSENT = "-"

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def si(value: float | None, unit: str, missing: str = UNKNOWN) -> str:
    """Write a quantity with an SI prefix and three significant digits.

    >>> si(0.00123, "s"), si(81e9, "B"), si(None, "J"), si(0.0, "s")
    ('1.23 ms', '81.0 GB', 'unknown', '0 s')
    """
    if value is None:
        return missing
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    size, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s * 0.9995), _PREFIXES[-1])
    return f"{significant(value / size)} {prefix}{unit}"


def significant(value: float) -> str:
    """Write a number with three significant digits, trailing zeros kept.

    >>> significant(3.14159), significant(31.4), significant(314.159), significant(3141.59)
    ('3.14', '31.4', '314', '3140')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{decimals}f}"


def decibels(value: float) -> str:
    """Write decibels with one digit.

    >>> decibels(28.123), decibels(float("inf"))
    ('28.1', 'exact')
    """
    return "exact" if value == math.inf else f"{value:.1f}"
