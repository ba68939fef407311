"""A quantised matrix turned over: its codes are a quarter of the numbers that it was made of."""

from __future__ import annotations

from dataclasses import replace

from chipmeter._threads import thread_count
from chipmeter._transpose import contiguous, transposed
from chipmeter.quantize.tensor import QuantizedTensor


def turned(q: QuantizedTensor, threads: int | None) -> QuantizedTensor:
    """Transpose a quantised matrix; blocks that ran down columns run along rows, and the other way round."""
    workers = thread_count(threads)
    return replace(
        q,
        codes=transposed(q.codes, workers),
        scales=contiguous(q.scales.T),
        zero_points=None if q.zero_points is None else contiguous(q.zero_points.T),
        minimums=None if q.minimums is None else contiguous(q.minimums.T),
        axis=1 - q.axis,
    )
