"""From numbers to codes and scales: the tiles of an array, given to the kernel wherever they lie in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter._threads import split
from chipmeter._transpose import contiguous
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.hadamard import POINTS, hadamard
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import Floats
from chipmeter.quantize.specs import tile_spec

GRAIN = 1 << 16
"""Elements below which another thread costs more than it saves."""
_PIECE = 2048
"""Elements at a time of a tensor with one scale."""
_NARROW = 16
"""Tiles side by side below which columns are better copied into rows."""


@dataclass(frozen=True)
class Parts:
    """What a quantised array consists of."""

    codes: AnyArray
    scales: AnyArray
    tensor_scale: np.float32
    zero_points: NDArray[np.int32] | None


def quantize_tiles(
    x: Floats, rule: Recipe, axis: int, threads: int, *, amax: np.uint32 | None = None, limit: float = 448.0
) -> Parts:
    """Carry out a recipe along `axis` of x, whose last axis is contiguous.

    Parameters
    ----------
    x : ndarray of float32
    rule : Recipe
    axis, threads : int
    amax : uint32, optional
        Bits of the tensor's largest magnitude where it is not that of x (two levels).
    limit : float
        Largest block scale that the tensor scale aims at (two levels).

    Returns
    -------
    Parts
        Codes of x's shape; scales and zero points with ceil(n / block) along the axis, and ceil(m / rows) along the one
        that tiles reach over: the last, or for the last axis the one before.
    """
    last = x.ndim - 1
    inner = math.prod(x.shape[axis + 1 :])
    along = rule.signs is not None or rule.adaptive != "none"  # what is done to runs of numbers of the axis
    if axis != last and (along or (inner < _NARROW and rule.rows == 1) or (rule.rows > 1 and axis != last - 1)):
        moved = quantize_tiles(contiguous(np.moveaxis(x, axis, -1)), rule, last, threads, amax=amax, limit=limit)
        return Parts(_back(moved.codes, axis), _back(moved.scales, axis), moved.tensor_scale, _points_back(moved, axis))
    if rule.signs is not None:
        if x.shape[-1] % POINTS:
            raise ValueError(f"recipe {rule.name!r} transforms 16 numbers at a time: the axis has {x.shape[-1]}")
        x = hadamard(x, rule.signs, threads=threads)
    codes = _recycle.empty(x.shape, np.dtype(np.uint8))
    shape = list(x.shape)
    if rule.granularity == "tensor":
        matrices, tile = (1, 1, x.size), (1, _PIECE)
        shape = [-(-x.size // _PIECE)]
    else:
        block = rule.block or x.shape[axis]
        shape[axis] = -(-x.shape[axis] // block)
        if rule.rows > 1:
            across = last - 1 if axis == last else last
            shape[across] = -(-x.shape[across] // rule.rows)
            matrices = (math.prod(x.shape[:-2]), x.shape[-2], x.shape[-1])
            tile = (rule.rows, block) if axis == last else (block, rule.rows)
        elif axis == last:
            whole = x.shape[-1] % block == 0 and x.flags.c_contiguous
            matrices = (1, 1, x.size) if whole else (1, x.size // x.shape[-1], x.shape[-1])
            tile = (1, block)
        else:
            matrices = (math.prod(x.shape[:axis]), x.shape[axis], inner)
            tile = (block, 1)
    scales = np.empty(shape, np.float32 if rule.scale == "float32" else np.uint8)
    zero = np.empty(shape, np.int32) if rule.mapping is not None else None
    second, given = None, None
    if amax is None and (rule.two_level or rule.granularity == "tensor"):
        amax = np.uint32(largest(x, threads))
    if rule.two_level:
        assert amax is not None
        second = nvfp4.second_level(amax.view(np.float32), rule.flavour, limit)
    elif amax is not None:
        given = np.asarray([amax], np.uint32)
    _run(x.reshape(matrices), codes.reshape(matrices), scales, zero, given, tile, tile_spec(rule, second), threads)
    tensor_scale = np.float32(1) if second is None else second.tensor_scale
    scales = scales.reshape(-1)[0] if rule.granularity == "tensor" else scales
    named = np.asarray(scales).view(code_dtype(FORMATS[rule.scale])) if scales.dtype == np.uint8 else np.asarray(scales)
    return Parts(codes.view(code_dtype(rule.element_format)), named, tensor_scale, zero)


def _run(
    x: Floats,
    codes: NDArray[np.uint8],
    scales: AnyArray,
    zero: NDArray[np.int32] | None,
    amax: NDArray[np.uint32] | None,
    tile: tuple[int, int],
    spec: _kernels.TileSpec,
    threads: int,
) -> None:
    """Split the matrices by themselves, by rows or by columns of tiles, whichever there are most of."""
    count, height, width = x.shape
    grid = (count, -(-height // tile[0]), -(-width // tile[1]))
    scales, zero = scales.reshape(grid), None if zero is None else zero.reshape(grid)
    along = int(np.argmax(grid))
    step = (1, *tile)[along]

    def work(i: int, j: int) -> None:
        tiles = (slice(None),) * along + (slice(i, j),)
        numbers = (slice(None),) * along + (slice(i * step, j * step),)
        zeros = None if zero is None else zero[tiles]
        known = amax if amax is None or len(amax) == 1 else amax[i:j]
        _kernels.tiles_f32(x[numbers], codes[numbers], scales[tiles], zeros, known, *tile, spec)

    split(work, grid[along], threads, max(1, GRAIN * grid[along] // x.size))


def largest(x: Floats, threads: int = 1) -> int:
    """Bits of the largest magnitude; NaN if any element is.

    >>> hex(largest(np.float32([1, -2])))
    '0x40000000'
    """
    flat, found = x.reshape(-1), []
    split(lambda i, j: found.append(_kernels.amax_f32(flat[i:j])), flat.size, threads, GRAIN)
    return max(found)


def _back(moved: AnyArray, axis: int) -> AnyArray:
    return contiguous(np.moveaxis(moved, -1, axis)) if moved.ndim else moved


def _points_back(moved: Parts, axis: int) -> NDArray[np.int32] | None:
    return None if moved.zero_points is None else _back(moved.zero_points, axis)
