"""A quantised matrix turned over: its codes are a quarter of the numbers that it was made of."""

from __future__ import annotations

from dataclasses import replace

from chipmeter._arrays import AnyArray
from chipmeter._threads import thread_count
from chipmeter._transpose import transposed
from chipmeter.quantize.tensor import QuantizedTensor


def turned(q: QuantizedTensor, threads: int | None) -> QuantizedTensor:
    """Transpose a quantised matrix; blocks that ran down columns run along rows, and the other way round."""
    workers = thread_count(threads)
    return replace(
        q,
        codes=transposed(q.codes, workers),
        scales=_over(q.scales),
        zero_points=None if q.zero_points is None else _over(q.zero_points),
        minimums=None if q.minimums is None else _over(q.minimums),
        axis=1 - q.axis,
    )


def _over(a: AnyArray) -> AnyArray:
    return transposed(a) if a.ndim == 2 else a
