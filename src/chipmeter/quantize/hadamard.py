"""The 16-point Hadamard transform with signs, which spreads outliers before FP4."""

from __future__ import annotations

import numpy as np

from chipmeter.quantize.rules import Floats

POINTS = 16


def hadamard(x: Floats, signs: int) -> Floats:
    """Transform each 16 consecutive numbers of the last axis: (x * signs) H / 4, H the Sylvester matrix.

    In float32: the four stages of the fast transform (distance 1, 2, 4, 8), one rounding per addition, then a quarter.

    Parameters
    ----------
    x : ndarray of float32, shape (..., 16 n)
    signs : int
        Bit i set: the i-th number of every 16 is negated first.

    Examples
    --------
    >>> hadamard(np.float32([4] + [0] * 15), 1)[:3]
    array([-1., -1., -1.], dtype=float32)
    """
    return _stages((x.reshape(-1, POINTS) * _signs(signs)).astype(np.float32)).reshape(x.shape)


def inverse_hadamard(x: Floats, signs: int) -> Floats:
    """Undo `hadamard`, up to the rounding of float32: the same transform, the signs last.

    >>> inverse_hadamard(hadamard(np.arange(16, dtype=np.float32), 0b1010), 0b1010)[:4]
    array([0., 1., 2., 3.], dtype=float32)
    """
    return (_stages(x.reshape(-1, POINTS)) * _signs(signs)).reshape(x.shape)


def _signs(mask: int) -> Floats:
    return np.where(mask >> np.arange(POINTS) & 1, np.float32(-1), np.float32(1))


def _stages(y: Floats) -> Floats:
    for distance in (1, 2, 4, 8):
        pairs = y.reshape(len(y), -1, 2, distance)
        y = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(len(y), POINTS)
    return y * np.float32(0.25)
