"""Robust least squares on the logarithm of measured quantities, and the error bars that the residuals give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FOLDS = 4


class Parameter(NamedTuple):
    """A positive constant to fit: where the search starts, and how far (in log units) it may wander unpunished."""

    name: str
    start: float
    spread: float


def fit(
    parameters: Sequence[Parameter],
    predict: Callable[[Mapping[str, float]], Array],
    measured: Array,
    *,
    scale: float = 0.05,
    pull: float = 0.7,
) -> dict[str, float]:
    """Find the constants that bring predictions closest to measurements.

    Least squares of ``log(predicted / measured) / scale`` under the soft-L1 loss, so that a slipped row costs its
    distance and not the square of it, plus ``pull * log(value / start) / spread`` for each constant: what the rows
    do not determine stays at its prior.

    Parameters
    ----------
    parameters : sequence of Parameter
    predict : callable
        From constants by name to predictions, (n,) positive.
    measured : ndarray, shape (n,)
        Positive.
    scale : float
        Log error that counts as small.
    pull : float
        Weight of the prior.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(1.0, 9.0)
    >>> found = fit([Parameter("slope", 1.0, 3.0)], lambda c: c["slope"] * x, 2.5 * x)
    >>> round(found["slope"], 2)
    2.5
    """
    from scipy.optimize import least_squares

    names = [p.name for p in parameters]
    start = np.log([p.start for p in parameters])
    weight = pull / np.array([p.spread for p in parameters])
    target = np.log(measured)

    def named(vector: Array) -> dict[str, float]:
        return dict(zip(names, np.exp(np.clip(vector, -60, 60)).tolist(), strict=True))

    def residuals(vector: Array) -> Array:
        with np.errstate(over="ignore", divide="ignore"):
            error = (np.log(predict(named(vector))) - target) / scale
        return np.concatenate([np.nan_to_num(error, nan=1e6, posinf=1e6, neginf=-1e6), (vector - start) * weight])

    return named(least_squares(residuals, start, loss="soft_l1", max_nfev=80).x)


def held_out_errors(
    refit: Callable[[NDArray[np.bool_]], Callable[[NDArray[np.bool_]], Array]], measured: Array
) -> Array:
    """Log errors, measured over predicted, of rows that the constants were not fitted on: one fold of four at a time.

    `refit` takes the rows to fit on and returns the predictor of other rows. Rows are dealt to folds by a fixed seed.
    """
    fold = np.random.default_rng(7).permutation(len(measured)) % FOLDS
    errors = np.zeros(len(measured))
    for number in range(min(FOLDS, len(measured))):
        test = fold == number
        errors[test] = np.log(measured[test] / refit(~test)(test))
    return errors


def conformal(errors: Array, level: float = 0.9) -> tuple[float, float]:
    """Bounds that `level` of new log errors fall between, by split conformal prediction.

    The quantiles at (n + 1) / n of the level asked for, so that few rows give wide bounds. Fewer than 10 errors give
    twice the largest seen.

    >>> import numpy as np
    >>> low, high = conformal(np.linspace(-0.1, 0.1, 201))
    >>> round(low, 3), round(high, 3)
    (-0.09, 0.09)
    """
    n = len(errors)
    if n == 0:
        return -0.7, 0.7
    if n < 10:
        widest = 2 * float(np.max(np.abs(errors)))
        return -max(widest, 0.1), max(widest, 0.1)
    tail = max(0.0, (1 - level) / 2 - 0.5 / n)
    return float(np.quantile(errors, tail)), float(np.quantile(errors, 1 - tail))


def widen(low: float, high: float, by: float) -> tuple[float, float]:
    """Widen log bounds by another independent source of error, in quadrature.

    >>> widen(-0.3, 0.4, 0.0)
    (-0.3, 0.4)
    """
    return -math.hypot(low, by), math.hypot(high, by)
