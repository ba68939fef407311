"""Quantise and measure the error in one pass over memory: what was quantised is compared while it is in the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chipmeter import _kernels, _recycle
from chipmeter._arrays import real_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import code_dtype, decode
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.errors import OCTAVES, ErrorMetrics, Meter, measure
from chipmeter.quantize.forward import largest
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.recipes import recipe_of
from chipmeter.quantize.specs import tile_spec
from chipmeter.quantize.tensor import QuantizedTensor


def quantize_measured(
    x: ArrayLike, recipe: str | Recipe, *, axis: int = -1, threads: int | None = None
) -> tuple[QuantizedTensor, ErrorMetrics]:
    """Quantise a tensor, and say how far it is from the original.

    The same bits and figures as `quantize` and then `measure`. Recipes of blocks along the last axis read x from memory
    once (a tensor scale needs the largest magnitude before); others are measured after they are quantised.

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
    rule = recipe_of(recipe)
    source = real_array(x, "x")
    last = source.size > 0 < source.ndim and source.dtype == np.float32 and axis in (-1, source.ndim - 1)
    if not rule.separable or not last:
        q = quantize(source, rule, axis=axis, threads=threads)
        return q, measure(source, q, threads=threads)
    workers, block, length = thread_count(threads), rule.block, source.shape[-1]
    second, tensor_scale = None, np.float32(1)
    if rule.two_level:
        second = nvfp4.second_level(np.uint32(largest(source, workers)).view(np.float32), rule.flavour)
        tensor_scale = second.tensor_scale
    spec = tile_spec(rule, second)
    lines = source.reshape(-1, length)
    codes = _recycle.empty(lines.shape, np.dtype(np.uint8))
    scale_dtype = np.dtype(np.float32) if rule.scale == "float32" else code_dtype(FORMATS[rule.scale])
    scales = np.empty((len(lines), -(-length // block)), scale_dtype)
    zero = np.empty(scales.shape, np.int32) if rule.mapping is not None else None
    meter = Meter(rule, source.shape, float(tensor_scale))
    raw = scales if rule.scale == "float32" else scales.view(np.uint8)
    table = None if rule.scale == "float32" else decode(np.arange(256, dtype=np.uint8).view(scale_dtype))

    def work(begin: int, end: int) -> None:
        sums, counts = np.empty((end - begin, 3)), np.empty((end - begin, 3), np.uint64)
        octaves = np.zeros(OCTAVES, np.uint64)
        _kernels.tiles_measured(
            lines, codes, raw, zero, block, spec, meter.spec, table, begin, end, meter.lines, meter.segment, meter.low,
            meter.high, sums, counts, octaves,
        )  # fmt: skip
        meter.gather(sums, counts, octaves)

    split(work, meter.chunks(source.size), workers, 1)
    shape = (*source.shape[:-1], scales.shape[-1])
    q = QuantizedTensor(
        codes.view(code_dtype(rule.element_format)).reshape(source.shape),
        scales.reshape(shape),
        tensor_scale,
        source.ndim - 1,
        rule,
        None if zero is None else zero.reshape(shape),
    )
    return q, meter.result()
