"""Board power while one kind of operation repeats: between idle and limit by how busy arithmetic and memory are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array

GEMM_TERMS = ("one", "compute", "memory", "time", "tiles", "depth", "knee", "square", "rows")
ATTENTION_TERMS = ("one", "compute", "memory", "time", "blocks", "group", "batch", "memory_square", "square")
"""Features of the logistic model; fractions and times enter as logarithms."""


def gemm_terms(chip: Device, format: str, width: float, m: Array, n: Array, k: Array, seconds: Array) -> Array:
    """Describe what loads the board in a matrix product: (rows, terms) in the order of `GEMM_TERMS`."""
    flops = 2.0 * m * n * k
    moved = width * (m * k + k * n) + 2.0 * m * n + (m * k * (2.0 + width) if width < 2 else 0.0)
    busy = np.log(flops / seconds / chip.rate(format))
    tiles = np.minimum(np.log(np.ceil(m / 128) * np.ceil(n / 128) / chip.cores), 0.0)
    return np.stack(
        [
            np.ones(len(m)),
            busy,
            np.log(moved / seconds / chip.bandwidth),
            np.log(seconds * 1e5),
            tiles,
            np.log(k / 4096),
            np.maximum(busy + 2.0, 0.0),
            busy**2 / 10,
            np.log(np.minimum(m, 128.0) / 128.0),
        ],
        axis=1,
    )


def attention_terms(
    chip: Device, format: str, flops: Array, moved: Array, seconds: Array, batch: Array, heads: Array, kv_heads: Array
) -> Array:
    """Describe what loads the board in attention: (rows, terms) in the order of `ATTENTION_TERMS`."""
    busy, streaming = np.log(flops / seconds / chip.rate(format)), np.log(moved / seconds / chip.bandwidth)
    return np.stack(
        [
            np.ones(len(batch)),
            busy,
            streaming,
            np.log(seconds * 1e5),
            np.log(batch * kv_heads / chip.cores),
            np.log(heads / kv_heads),
            np.log(batch / 64),
            streaming**2 / 10,
            busy**2 / 10,
        ],
        axis=1,
    )


def board_watts(values: Mapping[str, float], chip: Device, terms: Array, names: tuple[str, ...]) -> Array:
    """Watts of the board: ``idle + (limit - idle) / (1 + exp(-terms @ weights))``, so never outside those bounds.

    Parameters
    ----------
    values : mapping of str to float
        A weight per term.
    chip : Device
        Its limit and idle power must be known.
    terms : ndarray, shape (rows, terms)
    names : tuple of str

    Raises
    ------
    ValueError
        If the power limit of the chip is not published.
    """
    if chip.limit is None or chip.idle is None:
        raise ValueError(f"no power limit of {chip.id} is published, so its power stays unknown")
    load = terms @ np.array([values[name] for name in names])
    share: Array = 1.0 / (1.0 + np.exp(-np.clip(load, -30, 30)))
    return chip.idle + (0.99 * chip.limit - chip.idle) * share


def fit_watts(chip: Device, terms: Array, names: tuple[str, ...], watts: Array) -> dict[str, float]:
    """Fit the weights of `board_watts` on measured watts: robust, on the logarithm, pulled towards zero."""
    from scipy.optimize import least_squares

    def residuals(weights: Array) -> Array:
        predicted = board_watts(dict(zip(names, weights, strict=True)), chip, terms, names)
        return np.concatenate([np.log(predicted / watts) / 0.1, weights[1:] * 0.3])

    found = least_squares(residuals, np.zeros(len(names)), loss="soft_l1").x
    return dict(zip(names, found.tolist(), strict=True))
