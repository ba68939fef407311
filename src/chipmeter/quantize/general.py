"""Recipes that no kernel serves, in NumPy over compiled casts: tiles, float32 block scales, flavours, zero points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import cast, code_dtype
from chipmeter.formats.records import FORMATS, FloatFormat, IntegerFormat, TableFormat
from chipmeter.quantize import affine, float_tiles, nvfp4
from chipmeter.quantize.hadamard import hadamard
from chipmeter.quantize.recipe import ElementRounding, Recipe
from chipmeter.quantize.rules import Floats, powers, scale_bytes
from chipmeter.quantize.tiles import from_tiles, grid_shape, to_tiles


def quantize_general(x: Floats, rule: Recipe) -> tuple[AnyArray, AnyArray, np.float32, NDArray[np.int32] | None]:
    """Quantise along the last axis, tiles reaching over `rule.rows` of the axis before it.

    Returns
    -------
    codes : ndarray of x's shape
    scales : ndarray, shape of x with the last axis ceil(n / block), and the one before it ceil(m / rows)
    tensor_scale : float32
    zero_points : ndarray of int32 of the shape of scales, or None
    """
    if rule.rows > 1 and x.ndim < 2:
        raise ValueError(f"recipe {rule.name!r} makes tiles of {rule.rows} x {rule.block}: x needs two axes")
    shape, grid = x.shape, grid_shape(x.shape, rule.rows, rule.block)[-x.ndim :]
    if rule.signs is not None:
        if shape[-1] % 16:
            raise ValueError(f"recipe {rule.name!r} transforms 16 numbers at a time: the axis has {shape[-1]}")
        x = hadamard(x, rule.signs)
    tiles = to_tiles(x, rule.rows, rule.block)
    tensor_scale, zero = np.float32(1), None
    element = rule.element_format
    with np.errstate(all="ignore"):
        if rule.mapping is not None:
            assert isinstance(element, IntegerFormat)
            scales, zero = affine.affine_parameters(tiles, rule.mapping, element.min, element.max)
            q = affine.quantize_affine(tiles, scales, zero, element.min, element.max)
            codes: AnyArray = q.astype("i1" if element.signed else "u1").view(code_dtype(element))  # sign-extended
        elif isinstance(element, TableFormat):
            codes, scales = affine.quantize_bnb4(tiles, "nf4")
        elif rule.scale == "float8_e4m3fn":
            amax = np.float32(np.abs(x).max())
            raw, bytes_ = nvfp4.quantize_tiles(
                tiles, amax if rule.two_level else None, rule.flavour, adaptive=rule.adaptive
            )
            if rule.two_level:
                tensor_scale = nvfp4.tensor_scale(amax, rule.flavour)
            codes, scales = raw.view(code_dtype(element)), bytes_.view(code_dtype(FORMATS[rule.scale]))
        elif rule.scale == "float32":
            codes, scales = float_tiles.quantize_tiles(
                tiles, element, rule.form, limit=rule.limit, smallest=rule.smallest, power_of_two=rule.power_of_two,
                ties="zero" if rule.rounding == "nearest-zero" else "even",
                negative_zero=rule.rounding != "nearest-zero",
            )  # fmt: skip
        else:
            byte = scale_bytes(np.abs(tiles).max(axis=1), element, rule.rule)
            inverse = np.where(byte == 255, np.float32(np.nan), powers(np.uint8(254) - np.minimum(byte, np.uint8(254))))
            codes = _encode(tiles * inverse.astype(np.float32)[:, None], element, rule.rounding)
            scales = byte.view(code_dtype(FORMATS[rule.scale]))
    codes = from_tiles(codes, shape, rule.rows, rule.block)
    return codes, scales.reshape(grid), tensor_scale, None if zero is None else zero.reshape(grid)


def _encode(y: Floats, element: FloatFormat | IntegerFormat, rounding: ElementRounding) -> AnyArray:
    if isinstance(element, IntegerFormat):  # two's complement with all bits but two after the point
        whole = np.rint(np.where(np.isnan(y), 0, y.astype(np.float64)) * 2.0 ** (element.bits - 2))
        return np.clip(whole, -element.max, element.max).astype(code_dtype(element))
    if rounding == "nearest-zero":
        return float_tiles.encode(y, element, "zero")
    codes: AnyArray = cast(y, element, rounding=rounding, overflow="saturate")
    return codes
