"""A quantised matrix turned over: its codes are a quarter of the numbers that it was made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._threads import thread_count
from chipmeter.quantize.tensor import QuantizedTensor
from chipmeter.quantize.turned_codes import turned_codes


def turned(q: QuantizedTensor, threads: int | None) -> QuantizedTensor:
    """Transpose a quantised matrix; blocks that ran down columns run along rows, and the other way round."""
    workers = thread_count(threads)
    return replace(
        q,
        codes=turned_codes(q.codes, workers),
        scales=turned_codes(q.scales, workers) if q.scales.ndim == 2 and q.scales.itemsize == 1 else _over(q.scales),
        zero_points=None if q.zero_points is None else _over(q.zero_points),
        minimums=None if q.minimums is None else _over(q.minimums),
        axis=1 - q.axis,
    )


def _over(a: AnyArray) -> AnyArray:
    return np.ascontiguousarray(a.T).reshape(a.shape[::-1])
