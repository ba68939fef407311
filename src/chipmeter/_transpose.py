"""Matrices copied in their transposed order, at the speed of a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._threads import split

_ROWS = 1 << 9
"""Rows of the result below which another thread costs more than it saves."""


def transposed(a: NDArray[Any], threads: int = 1) -> NDArray[Any]:
    """Copy a matrix in its transposed order.

    Parameters
    ----------
    a : ndarray (m, n)
        Aligned elements of one or four bytes are turned over by a kernel, others by NumPy.
    threads : int

    Returns
    -------
    ndarray (n, m)
        C-contiguous, of the same dtype.

    Examples
    --------
    >>> transposed(np.uint8([[1, 2, 3]])).tolist()
    [[1], [2], [3]]
    """
    if a.itemsize not in (1, 4) or a.dtype.kind == "O" or not a.flags.aligned:
        return np.ascontiguousarray(a.T)
    if a.strides[1] != a.itemsize or a.strides[0] < 0 or a.strides[0] % a.itemsize:
        a = np.ascontiguousarray(a)
    out = _recycle.empty((a.shape[1], a.shape[0]), a.dtype)
    if a.itemsize == 1:
        codes, turned_codes = a.view(np.uint8), out.view(np.uint8)
        split(lambda i, j: _kernels.transpose_u8(codes[:, i:j], turned_codes[i:j]), len(out), threads, _ROWS)
    else:
        words, turned_words = a.view(np.uint32), out.view(np.uint32)
        split(lambda i, j: _kernels.transpose_u32(words[:, i:j], turned_words[i:j]), len(out), threads, _ROWS)
    return out


def contiguous(a: NDArray[Any]) -> NDArray[Any]:
    """Give an array of the same shape and numbers in C order: itself if it is.

    >>> contiguous(np.eye(2, 3).T).flags.c_contiguous
    True
    """
    if a.ndim == 2 and not a.flags.c_contiguous and a.strides[0] == a.itemsize <= a.strides[1]:
        return transposed(a.T)
    return np.ascontiguousarray(a).reshape(a.shape)
