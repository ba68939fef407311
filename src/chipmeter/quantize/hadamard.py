"""The 16-point Hadamard transform with signs, which spreads outliers before FP4."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels, _recycle
from chipmeter._threads import split
from chipmeter.quantize.rules import Floats

POINTS = 16
_GRAIN = 1 << 12
"""Groups below which another thread costs more than it saves."""


def hadamard(x: Floats, signs: int, *, threads: int = 1) -> Floats:
    """Transform each 16 consecutive numbers of the last axis: (x * signs) H / 4, H the Sylvester matrix.

    In float32: the four stages of the fast transform (distance 1, 2, 4, 8), one rounding per addition, then a quarter.
    NaN is the positive quiet one.

    Parameters
    ----------
    x : ndarray of float32, shape (..., 16 n)
    signs : int
        Bit i set: the i-th number of every 16 is negated first.
    threads : int

    Examples
    --------
    >>> hadamard(np.float32([4] + [0] * 15), 1)[:3]
    array([-1., -1., -1.], dtype=float32)
    """
    return _transform(x, signs, False, threads)


def inverse_hadamard(x: Floats, signs: int, *, threads: int = 1) -> Floats:
    """Undo `hadamard`, up to the rounding of float32: the same transform, the signs last.

    >>> inverse_hadamard(hadamard(np.arange(16, dtype=np.float32), 0b1010), 0b1010)[:4]
    array([0., 1., 2., 3.], dtype=float32)
    """
    return _transform(x, signs, True, threads)


def _transform(x: Floats, signs: int, inverse: bool, threads: int) -> Floats:
    flat = np.ascontiguousarray(x).reshape(-1, POINTS)
    out = _recycle.empty(flat.shape, np.dtype(np.float32))

    def work(i: int, j: int) -> None:
        _kernels.hadamard_f32(flat[i:j].reshape(-1), out[i:j].reshape(-1), signs, inverse)

    split(work, len(flat), threads, _GRAIN)
    return out.reshape(x.shape)
