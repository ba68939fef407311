"""Codes and scales back to numbers: every recipe, along any axis, codes one per byte or packed, by one kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, output_array
from chipmeter._packing import packed_bytes
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import decode
from chipmeter.formats.policies import decode_spec
from chipmeter.formats.records import FloatFormat, Format, IntegerFormat
from chipmeter.quantize.hadamard import inverse_hadamard
from chipmeter.quantize.recipe import Recipe

GRAIN = 1 << 17
"""Elements below which another thread costs more than it saves."""

_FLOAT, _TABLE, _SIGNED, _UNSIGNED = range(4)


def dequantize(
    codes: AnyArray,
    scales: AnyArray,
    recipe: Recipe,
    *,
    axis: int = -1,
    shape: tuple[int, ...] | None = None,
    tensor_scale: float = 1.0,
    zero_points: AnyArray | None = None,
    minimums: AnyArray | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Turn codes and scales into float32.

    (code - zero point) * scale * tensor scale + minimum, from left to right, each operation rounded to float32; a
    Hadamard transform is undone last. A NaN code gives the quiet NaN of its sign; any other NaN is the positive quiet one.

    Parameters
    ----------
    codes : ndarray
        One code per byte; or, with `shape`, packed bytes: code i at bit i * bits, counted from the lowest of the first.
    scales : ndarray
        As a `QuantizedTensor` has them.
    recipe : Recipe
    axis : int
        The axis that blocks run along.
    shape : tuple of int, optional
        Of the tensor, where the codes are packed.
    tensor_scale : float
        For recipes of two levels.
    zero_points : ndarray of int32, optional
    minimums : ndarray of float16, optional
    out : ndarray of float32, optional
    threads : int, optional

    Returns
    -------
    ndarray of float32

    Raises
    ------
    ValueError
        For packed codes of a width that is not 4 or 6 bits, or sizes that do not fit the shape.

    Examples
    --------
    >>> import chipmeter as cm
    >>> from chipmeter.quantize.layouts import pack_nibbles
    >>> q = cm.quantize(np.float32([[0.5, 1, 2, 6]]), "mxfp4")
    >>> dequantize(pack_nibbles(q.codes), q.scales, q.recipe, shape=(1, 4))
    array([[0.5, 1. , 2. , 6. ]], dtype=float32)
    """
    element, packed = recipe.element_format, shape is not None
    shape = codes.shape if shape is None else shape
    raw = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    count = math.prod(shape)
    if packed and (element.bits not in (4, 6) or raw.size != packed_bytes(count, element.bits)):
        raise ValueError(
            f"packed codes have 4 or 6 bits: {count} of {element.name} fill "
            f"{packed_bytes(count, element.bits)} bytes, got {raw.size}"
        )
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis must lie in {-len(shape)}..{len(shape) - 1} for shape {shape}, got {axis}")
    axis %= len(shape)
    values = output_array(out, shape, np.dtype(np.float32), codes, scales)
    if count:
        numbers = np.ascontiguousarray(scales if scales.dtype == np.float32 else decode(scales)).reshape(-1)
        zeros = None
        if zero_points is not None and zero_points.any():
            zeros = np.ascontiguousarray(zero_points, np.float32).reshape(-1)
        spec = value_spec(element, recipe.element_unit, packed, recipe.two_level, float(tensor_scale))
        n, run, length, repeat, middle = lines_of(recipe, shape, axis)
        flat = values.reshape(-1)

        def work(i: int, j: int) -> None:
            _kernels.dequantize(raw, numbers, zeros, flat, i, j, _kernels.Grid(n, run, length, repeat, middle), spec)

        lines = count // n
        if lines > 1 or packed:
            split(work, lines, thread_count(threads), max(1, GRAIN // n))
        else:
            split(_cut(raw, numbers, zeros, flat, run, spec), -(-n // run), thread_count(threads), max(1, GRAIN // run))
    if minimums is not None:
        _add_minimums(np.moveaxis(values, axis, -1), np.moveaxis(minimums, axis, -1).astype(np.float32), recipe.block)
    if recipe.signs is not None:
        turned = inverse_hadamard(np.ascontiguousarray(np.moveaxis(values, axis, -1)), recipe.signs)
        values[...] = np.moveaxis(turned, -1, axis)
    return values


def _add_minimums(values: NDArray[np.float32], minimums: NDArray[np.float32], block: int) -> None:
    """Add a number to each block of the last axis, in place."""
    with np.errstate(invalid="ignore"):
        values += np.repeat(minimums, block, axis=-1)[..., : values.shape[-1]]


def _cut(
    raw: AnyArray,
    scales: NDArray[np.float32],
    zeros: NDArray[np.float32] | None,
    values: NDArray[np.float32],
    run: int,
    spec: _kernels.ValueSpec,
) -> Callable[[int, int], None]:
    """Work on a range of the blocks of a single line, as if it were a line of its own."""

    def work(i: int, j: int) -> None:
        part, out = raw[i * run : j * run], values[i * run : j * run]
        zero = None if zeros is None else zeros[i:j]
        _kernels.dequantize(part, scales[i:j], zero, out, 0, 1, _kernels.Grid(out.size, run, 1, 1, 1), spec)

    return work


@lru_cache(maxsize=256)
def value_spec(element: Format, unit: float, packed: bool, two_level: bool, tensor_scale: float) -> _kernels.ValueSpec:
    """Build the record that says what a code is worth."""
    bits = element.bits if packed else 8
    if element.bits <= 4:
        words = np.arange(16, dtype=np.uint8) & np.uint8((1 << element.bits) - 1)
        if isinstance(element, IntegerFormat):
            half = 1 << (element.bits - 1)
            numbers = [(int(w) ^ half) - half if element.signed else int(w) for w in words]
            table = tuple(v * unit for v in numbers)
        else:
            table = tuple(decode(words, element).tolist())
        return _kernels.ValueSpec(_TABLE, bits, packed, two_level, tensor_scale, 1.0, table, None)
    if isinstance(element, FloatFormat):
        return _kernels.ValueSpec(_FLOAT, bits, packed, two_level, tensor_scale, 1.0, None, decode_spec(element))
    assert isinstance(element, IntegerFormat)
    kind = _SIGNED if element.signed else _UNSIGNED
    return _kernels.ValueSpec(kind, bits, packed, two_level, tensor_scale, unit, None, None)


def lines_of(recipe: Recipe, shape: tuple[int, ...], axis: int) -> tuple[int, int, int, int, int]:
    """Say how a tensor lies in lines of memory: their length, elements per scale, and who shares a line of scales.

    >>> from chipmeter.quantize import recipe_of
    >>> lines_of(recipe_of("mxfp8"), (4, 70), 1), lines_of(recipe_of("mxfp8"), (4, 70), 0)
    ((70, 32, 1, 1, 1), (70, 1, 4, 32, 1))
    """
    if recipe.granularity == "tensor":
        n = math.prod(shape)
        return n, n, 1, 1, 1
    block = recipe.block or shape[axis]
    if axis == len(shape) - 1:
        length = shape[-2] if recipe.rows > 1 else 1
        return shape[-1], block, length, recipe.rows, 1
    if recipe.rows == 1:
        return math.prod(shape[axis + 1 :]), 1, shape[axis], block, 1
    return shape[-1], recipe.rows, shape[axis], block, math.prod(shape[axis + 1 : -1])
