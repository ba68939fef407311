"""One-byte codes turned over."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter._threads import split

PANEL = 1 << 17
"""Elements that stay in the cache while something else is done to them."""


def turned_codes(codes: AnyArray, threads: int) -> AnyArray:
    """Copy a matrix of bytes in its transposed order.

    >>> turned_codes(np.uint8([[1, 2, 3]]), 1).tolist()
    [[1], [2], [3]]
    """
    raw = np.ascontiguousarray(codes).view(np.uint8)
    out = _recycle.empty((raw.shape[1], raw.shape[0]), np.dtype(np.uint8))
    split(lambda i, j: _kernels.transpose_u8(raw[:, i:j], out[i:j]), len(out), threads, max(16, PANEL // len(raw)))
    return out.view(codes.dtype)
