"""Error of an approximation against the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import float64_array


def sqnr(truth: ArrayLike, approximation: ArrayLike) -> float:
    """Signal-to-quantisation-noise ratio in dB, 20 log10(norm(truth) / norm(truth - approximation)), over the whole array.

    inf where both agree exactly; nan where either holds NaN or infinity, or where the truth is all zero and the
    approximation is not. Computed in float64.

    >>> round(sqnr([3.0, 4.0], [3.0, 4.5]), 3)
    20.0
    """
    x, y = float64_array(truth, "truth"), float64_array(approximation, "approximation")
    if x.shape != y.shape:
        raise ValueError(f"shapes differ: {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    with np.errstate(over="ignore"):
        difference = x - y
    if not difference.any():
        return float("inf")
    return 20.0 * (_log10_norm(x) - _log10_norm(difference)) if x.any() else float("nan")


def _log10_norm(x: NDArray[np.float64]) -> float:
    """Return log10 of the Euclidean norm; the squares of very large and very small numbers would leave float64."""
    top = float(np.abs(x).max())
    return float(np.log10(top) + np.log10(np.linalg.norm(x / top)))
