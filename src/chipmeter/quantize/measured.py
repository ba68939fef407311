"""Quantise and measure the error in one pass over memory: what was quantised is compared while it is in the cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import thread_count
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.errors import ErrorMetrics, Meter, measure
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.recipes import recipe_of
from chipmeter.quantize.tensor import QuantizedTensor

PIECE = 1 << 19
"""Elements, at least a chunk, that stay in the cache with their codes."""


def quantize_measured(
    x: ArrayLike, recipe: str | Recipe, *, axis: int = -1, threads: int | None = None
) -> tuple[QuantizedTensor, ErrorMetrics]:
    """Quantise a tensor, and say how far it is from the original.

    The same bits and figures as `quantize` and then `measure`. Blocks along the last axis are measured piece by piece,
    so that x comes from memory once; other recipes are measured after the whole is quantised.

    Parameters
    ----------
    x, recipe, axis, threads
        As `quantize` takes them.

    Returns
    -------
    QuantizedTensor
    ErrorMetrics

    Examples
    --------
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
    >>> q, error = quantize_measured(x, "mxfp4")
    >>> q == quantize(x, "mxfp4"), error == measure(x, q)
    (True, True)
    """
    rule, source = recipe_of(recipe), real_array(x, "x")
    last = source.ndim > 0 and axis in (-1, source.ndim - 1)
    simple = rule.granularity == "block" and rule.rows == 1 and rule.signs is None and not rule.special
    if not last or not simple or rule.two_level or source.size <= PIECE or source.dtype != np.float32:
        q = quantize(source, rule, axis=axis, threads=threads)
        return q, measure(source, q, threads=threads)
    length = source.shape[-1]
    lines, meter = source.reshape(-1, length), Meter(rule, source.shape, 1.0)
    tall, wide = (max(1, PIECE // (meter.lines * length)) * meter.lines, length) if meter.lines else (1, meter.segment)
    parts: list[list[QuantizedTensor]] = []
    for top in range(0, len(lines), tall):
        parts.append([])
        for left in range(0, length, wide):
            piece = lines[top : top + tall, left : left + wide]
            q = quantize(piece, rule, threads=threads)
            zeros = None if q.zero_points is None else q.zero_points.astype(np.float32)
            meter.add(piece, q.codes, q.scale_values(), zeros, thread_count(threads))
            parts[-1].append(q)

    def joined(field: str) -> AnyArray:
        rows = [
            np.concatenate([getattr(q, field) for q in row], axis=1) if row[1:] else getattr(row[0], field)
            for row in parts
        ]
        whole = np.concatenate(rows)
        return whole.reshape(*source.shape[:-1], whole.shape[-1])

    zero = None if parts[0][0].zero_points is None else joined("zero_points")
    whole = replace(parts[0][0], codes=joined("codes"), scales=joined("scales"), zero_points=zero, axis=source.ndim - 1)
    return whole, meter.result()
