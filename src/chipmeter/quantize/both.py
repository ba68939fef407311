"""A matrix and its transpose quantised in one pass over the matrix: training multiplies by both."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import split, thread_count
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.recipes import recipe_of
from chipmeter.quantize.tensor import QuantizedTensor

PANEL = 1 << 19
"""Elements that stay in the cache while they are quantised along both axes."""


def quantize_both(
    x: ArrayLike, recipe: str | Recipe, *, threads: int | None = None
) -> tuple[QuantizedTensor, QuantizedTensor]:
    """Quantise a matrix along its rows, and its transpose along the rows of that.

    The same bits as ``quantize(x, recipe)`` and ``quantize(x.T, recipe)``; x is never copied in its transposed order, its
    codes are turned over instead. Under one scale for all, and in tiles as high as wide, both tensors have the same codes.
    Blocks are quantised panel by panel along both axes, so that x comes from memory once; recipes with a tensor scale or
    whole rows and columns under a scale pass over x once more.

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
        return whole, _turned(replace(whole, axis=0), threads)
    height = _panel_height(rule, source.shape)
    if height >= len(source):
        return quantize(source, rule, threads=threads), _turned(
            quantize(source, rule, axis=0, threads=threads), threads
        )
    panels = [source[i : i + height] for i in range(0, len(source), height)]
    pairs = [
        (quantize(panel, rule, threads=threads), quantize(panel, rule, axis=0, threads=threads)) for panel in panels
    ]
    return _joined([row for row, _ in pairs]), _turned(_joined([column for _, column in pairs]), threads)


def _panel_height(rule: Recipe, shape: tuple[int, ...]) -> int:
    """Rows that are quantised at once: whole blocks along both axes; all where a scale stands above the blocks."""
    if rule.granularity == "row" or rule.two_level or rule.second:
        return shape[0]
    unit = math.lcm(rule.block, rule.rows)
    return max(unit, PANEL // max(1, shape[1]) // unit * unit)


def _joined(parts: list[QuantizedTensor]) -> QuantizedTensor:
    """Put panels of rows together again."""

    def field(name: str) -> AnyArray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    codes, scales = field("codes"), field("scales")
    assert codes is not None
    assert scales is not None
    return replace(parts[0], codes=codes, scales=scales, zero_points=field("zero_points"), minimums=field("minimums"))


def _turned(q: QuantizedTensor, threads: int | None) -> QuantizedTensor:
    """Transpose a matrix that was quantised along its first axis."""

    def over(a: AnyArray | None) -> AnyArray | None:
        return None if a is None else np.ascontiguousarray(a.T)

    return replace(
        q,
        codes=_transposed(q.codes.view(np.uint8), thread_count(threads)).view(q.codes.dtype),
        scales=np.ascontiguousarray(q.scales.T).reshape(q.scales.shape[::-1]),
        zero_points=over(q.zero_points),
        minimums=over(q.minimums),
        axis=1,
    )


def _transposed(codes: NDArray[np.uint8], threads: int) -> NDArray[np.uint8]:
    """Turn one-byte codes over."""
    out = _recycle.empty((codes.shape[1], codes.shape[0]), np.dtype(np.uint8))
    grain = max(16, PANEL // codes.shape[0])
    split(lambda i, j: _kernels.transpose_u8(codes[:, i:j], out[i:j]), len(out), threads, grain)
    return out
