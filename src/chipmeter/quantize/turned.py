"""A quantised matrix turned over: its codes are a quarter of the numbers that it was made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter._threads import split, thread_count
from chipmeter.quantize.tensor import QuantizedTensor

PANEL = 1 << 17
"""Elements that stay in the cache while something else is done to them."""


def turned(q: QuantizedTensor, threads: int | None) -> QuantizedTensor:
    """Transpose a quantised matrix; blocks that ran down columns run along rows, and the other way round."""

    def over(a: AnyArray | None) -> AnyArray | None:
        return None if a is None else np.ascontiguousarray(a.T)

    return replace(
        q,
        codes=_transposed(q.codes.view(np.uint8), thread_count(threads)).view(q.codes.dtype),
        scales=np.ascontiguousarray(q.scales.T).reshape(q.scales.shape[::-1]),
        zero_points=over(q.zero_points),
        minimums=over(q.minimums),
        axis=1 - q.axis,
    )


def _transposed(codes: NDArray[np.uint8], threads: int) -> NDArray[np.uint8]:
    """Turn one-byte codes over."""
    out = _recycle.empty((codes.shape[1], codes.shape[0]), np.dtype(np.uint8))
    grain = max(16, PANEL // codes.shape[0])
    split(lambda i, j: _kernels.transpose_u8(codes[:, i:j], out[i:j]), len(out), threads, grain)
    return out
