"""A matrix and its transpose quantised in one pass over the matrix: training multiplies by both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import real_array
from chipmeter._threads import thread_count
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.panels import quantize_across_and_down
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.recipes import recipe_of
from chipmeter.quantize.tensor import QuantizedTensor
from chipmeter.quantize.turned import turned


def quantize_both(
    x: ArrayLike, recipe: str | Recipe, *, threads: int | None = None
) -> tuple[QuantizedTensor, QuantizedTensor]:
    """Quantise a matrix along its rows, and its transpose along the rows of that.

    The same bits as ``quantize(x, recipe)`` and ``quantize(x.T, recipe)``; x is never copied in its transposed order, its
    codes are turned over instead. Under one scale for all, and in tiles as high as wide, both tensors have the same codes.
    Blocks are quantised panel by panel along both axes, so that x comes from memory once (a tensor scale needs the largest
    magnitude before); recipes with whole rows and columns under a scale, and special ones, pass over x twice.

    Parameters
    ----------
    x : array_like of float32, two axes
    recipe : str or Recipe
    threads : int, optional

    Returns
    -------
    row_wise : QuantizedTensor
        Of the shape of x.
    transposed : QuantizedTensor
        Of the shape of x.T, blocks along its last axis.

    Raises
    ------
    TypeError, ValueError
        As `quantize`, and for an array that is not a matrix.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
    >>> rows, columns = quantize_both(x, "mxfp8")
    >>> rows, columns == quantize(x.T, "mxfp8")
    (QuantizedTensor(mxfp8, shape (64, 96), 8.25 bits, scales (64, 3)), True)
    """
    rule, source = recipe_of(recipe), real_array(x, "x")
    if source.ndim != 2:
        raise ValueError(f"quantize_both takes a matrix, got shape {source.shape}")
    if rule.granularity == "tensor" or 1 < rule.rows == rule.block:
        whole = quantize(source, rule, threads=threads)
        return whole, turned(replace(whole, axis=0), threads)
    if rule.separable and source.size and source.dtype == np.float32:
        return quantize_across_and_down(source, rule, thread_count(threads))
    return quantize(source, rule, threads=threads), turned(quantize(source, rule, axis=0, threads=threads), threads)
