"""A matrix and its transpose quantised in one pass over the matrix: training multiplies by both."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.forward import largest
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.recipes import recipe_of
from chipmeter.quantize.specs import tile_spec
from chipmeter.quantize.tensor import QuantizedTensor
from chipmeter.quantize.turned import turned
from chipmeter.quantize.turned_codes import PANEL


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
    simple = rule.granularity == "block" and rule.rows == 1 and not rule.special and rule.adaptive == "none"
    if simple and rule.signs is None and rule.tail == "short" and source.size and source.dtype == np.float32:
        return _panels(source, rule, thread_count(threads))
    return quantize(source, rule, threads=threads), turned(quantize(source, rule, axis=0, threads=threads), threads)


def _panels(x: NDArray[np.float32], rule: Recipe, threads: int) -> tuple[QuantizedTensor, QuantizedTensor]:
    """Quantise panel by panel, each in both directions while it is in the cache."""
    height, width = x.shape
    block = rule.block
    second, tensor_scale = None, np.float32(1)
    if rule.two_level:
        second = nvfp4.second_level(np.uint32(largest(x, threads)).view(np.float32), rule.flavour)
        tensor_scale = second.tensor_scale
    spec = tile_spec(rule, second)
    unit = math.lcm(block, 16)  # sixteen: how many codes are turned over at once
    columns = min(-(-width // unit) * unit, max(unit, PANEL // unit // unit * unit))
    rows = max(unit, PANEL // columns // unit * unit)
    across = -(-width // columns)
    word = np.float32 if rule.scale == "float32" else np.uint8
    sides = [
        _Side(_recycle.empty(shape, np.dtype(np.uint8)), np.empty((shape[0], -(-shape[1] // block)), word), rule)
        for shape in ((height, width), (width, height))
    ]

    def work(begin: int, end: int) -> None:
        for i in range(begin, end):
            top, left = i // across * rows, i % across * columns
            part = x[top : top + rows, left : left + columns]
            h, w = part.shape
            codes = np.empty((h, w), np.uint8)
            down = np.empty((-(-h // block), w), word)
            zero = None if sides[1].zero is None else np.empty(down.shape, np.int32)
            _tiles(part, codes, down, zero, (block, 1), spec)
            across_side = sides[0].part(top, left, h, w, block)
            _tiles(part, *across_side, (1, block), spec)
            turned, scales, zeros = sides[1].part(left, top, w, h, block)
            _kernels.transpose_u8(codes, turned)
            scales[...] = down.T
            if zeros is not None and zero is not None:
                zeros[...] = zero.T

    split(work, -(-height // rows) * across, threads, 1)
    found = [
        QuantizedTensor(
            side.codes.view(code_dtype(rule.element_format)),
            side.scales if word is np.float32 else side.scales.view(code_dtype(FORMATS[rule.scale])),
            tensor_scale, 1, rule, side.zero,
        )
        for side in sides
    ]  # fmt: skip
    return found[0], found[1]


class _Side:
    """What one of the two tensors consists of."""

    def __init__(self, codes: NDArray[np.uint8], scales: AnyArray, rule: Recipe) -> None:
        self.codes, self.scales = codes, scales
        self.zero = np.empty(scales.shape, np.int32) if rule.mapping is not None else None

    def part(
        self, top: int, left: int, height: int, width: int, block: int
    ) -> tuple[NDArray[np.uint8], AnyArray, NDArray[np.int32] | None]:
        """Codes, scales and zero points of a panel."""
        lines, blocks = slice(top, top + height), slice(left // block, -(-(left + width) // block))
        zero = None if self.zero is None else self.zero[lines, blocks]
        return self.codes[lines, left : left + width], self.scales[lines, blocks], zero


def _tiles(
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    scales: AnyArray,
    zero: NDArray[np.int32] | None,
    tile: tuple[int, int],
    spec: _kernels.TileSpec,
) -> None:
    zeros = None if zero is None else zero[None]
    _kernels.tiles_f32(x[None], codes[None], scales[None], zeros, None, *tile, spec)
