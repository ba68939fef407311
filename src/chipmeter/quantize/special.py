"""Recipes that are a procedure of one library: ggml's blocks, double quantisation, tables, powers of two by logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import affine, ggml, nvfp4
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import Floats
from chipmeter.quantize.tensor import QuantizedTensor

_KINDS = {None: "Q8_0", "extreme": "Q4_0", "least": "Q4_1"}


def quantize_special(source: Floats, rule: Recipe, axis: int) -> QuantizedTensor:
    """Quantise along an axis; a short last block is that of the elements it has."""
    x = np.ascontiguousarray(np.moveaxis(source, axis, -1))
    count = -(-x.shape[-1] // rule.block)
    spare = count * rule.block - x.shape[-1]
    if spare:  # the last number again changes neither extremes nor which comes first
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, spare)], mode="edge")
    tiles, grid = x.reshape(-1, rule.block), (*x.shape[:-1], count)
    element = rule.element_format

    def shaped(codes: AnyArray) -> AnyArray:
        whole = codes.view(code_dtype(element)).reshape(x.shape)
        return np.ascontiguousarray(whole[..., : x.shape[-1] - spare])

    def back(a: AnyArray) -> AnyArray:
        return np.ascontiguousarray(np.moveaxis(a, -1, axis))

    def tensor(codes: AnyArray, scales: AnyArray, **more: Any) -> QuantizedTensor:
        parts = back(shaped(codes)), back(scales.reshape(grid))
        return QuantizedTensor(*parts, np.float32(1), axis, rule, **more)

    if rule.scale == "float16":
        kind = _KINDS[rule.mapping]
        codes, d, *least = ggml.integer_codes(tiles, kind)
        with np.errstate(all="ignore"):
            halves = [n.astype(np.float16).reshape(grid) for n in (d, *least)]
        zero = back(np.full(grid, 8, np.int32)) if kind == "Q4_0" else None
        return tensor(codes, halves[0], zero_points=zero, minimums=back(halves[1]) if least else None)
    if rule.scale == "int8":
        codes, scalers, factors, mean = affine.quantize_nf4_double(tiles, rule.block, rule.second)
        return tensor(codes, scalers, scale_factors=factors, scale_mean=mean)
    if rule.rule == "floor-log2":
        byte, codes = ggml.mxfp4_codes(tiles)
        return tensor(codes, byte.view(code_dtype(FORMATS[rule.scale])))
    if rule.form == "logarithm":
        return tensor(*nvfp4.quantize_power_of_two(tiles))
    return tensor(*affine.quantize_bnb4(tiles, "fp4"))
