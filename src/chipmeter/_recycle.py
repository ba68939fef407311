"""Large results reuse the memory of large results that are gone.

The system hands a big allocation out page by page and clears every page: for a cast of 64 MiB that costs as much as
the cast. Freed blocks of at least `SMALLEST` bytes are therefore kept, up to `CAPACITY` bytes in all, and given to
the next result they fit. A block returns only when the last array or view that uses it is gone.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 4 << 20
CAPACITY = 256 << 20
ALIGNMENT = 64
"""Bytes of a cache line: a vector that lies in two costs two loads."""

_lock = threading.Lock()
_free: list[NDArray[np.uint8]] = []


class _Lease:
    """Owns a block while any array refers to it; its end puts the block back."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        with _lock:
            if sum(b.nbytes for b in _free) + self.block.nbytes <= CAPACITY:
                _free.append(self.block)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate an uninitialised C-contiguous array, like `numpy.empty`, from a kept block where one fits.

    >>> empty((2, 3), np.dtype(np.float32)).shape
    (2, 3)
    """
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    with _lock:
        fits = [i for i, b in enumerate(_free) if size <= b.nbytes <= 2 * size]
        block = _free.pop(min(fits, key=lambda i: _free[i].nbytes)) if fits else None
    if block is None:
        block = _bytes(size)
    return np.asarray(_Lease(block))[:size].view(dtype).reshape(shape)


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate as `empty` does, at the start of a cache line also where the array is small: for what kernels read again and again.

    >>> aligned((2, 3), np.dtype(np.float32)).ctypes.data % ALIGNMENT
    0
    """
    size = math.prod(shape) * dtype.itemsize
    return empty(shape, dtype) if size >= SMALLEST else _bytes(size).view(dtype).reshape(shape)


def _bytes(size: int) -> NDArray[np.uint8]:
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]
