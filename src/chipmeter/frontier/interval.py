"""How far the error of the layers that were measured may be from that of all layers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

RESAMPLES = 2000


def interval(layers: Mapping[str, float], level: float = 0.9) -> tuple[float, float]:
    """Bootstrap the pooled SQNR over layers.

    Layers are drawn with replacement and their error powers averaged; the generator is seeded, so the same layers give
    the same interval. It says how much depends on which layers were drawn, not how far other inputs would differ.

    Parameters
    ----------
    layers : mapping of str to float
        Decibels by layer.
    level : float
        Share of resamples inside.

    Returns
    -------
    low, high : float
        Decibels.

    Examples
    --------
    >>> interval({"a": 30.0, "b": 30.0})
    (30.0, 30.0)
    >>> low, high = interval({"a": 28.0, "b": 30.0, "c": 32.0})
    >>> 28 <= low < 29.7 < high <= 32
    True
    """
    power = 10 ** (-np.fromiter(layers.values(), np.float64) / 10)
    drawn = np.random.default_rng(0).integers(0, power.size, (RESAMPLES, power.size))
    means = power[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    with np.errstate(divide="ignore"):
        return round(float(-10 * np.log10(high)), 9), round(float(-10 * np.log10(low)), 9)
