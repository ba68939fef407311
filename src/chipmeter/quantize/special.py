"""Recipes that are a procedure of one library: ggml's blocks, double quantisation, tables, powers of two by logarithm."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import affine, ggml, nvfp4
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import Floats

_KINDS = {None: "Q8_0", "extreme": "Q4_0", "least": "Q4_1"}


@dataclass(frozen=True)
class SpecialParts:
    """What an array consists of, quantised along its last axis; `QuantizedTensor` says what each is."""

    codes: AnyArray
    scales: AnyArray
    zero_points: NDArray[np.int32] | None = None
    minimums: AnyArray | None = None
    scale_factors: Floats | None = None
    scale_mean: np.float32 = field(default_factory=np.float32)


def quantize_special(x: Floats, rule: Recipe) -> SpecialParts:
    """Quantise along the last axis; a short last block is that of the elements it has."""
    count = -(-x.shape[-1] // rule.block)
    spare = count * rule.block - x.shape[-1]
    if spare:  # the last number again changes neither extremes nor which comes first
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, spare)], mode="edge")
    tiles, grid = x.reshape(-1, rule.block), (*x.shape[:-1], count)
    element = rule.element_format

    def shaped(codes: AnyArray) -> AnyArray:
        whole = codes.view(code_dtype(element)).reshape(x.shape)
        return np.ascontiguousarray(whole[..., : x.shape[-1] - spare])

    if rule.scale == "float16":
        kind = _KINDS[rule.mapping]
        codes, d, *least = ggml.integer_codes(tiles, kind)
        with np.errstate(all="ignore"):
            halves = [n.astype(np.float16).reshape(grid) for n in (d, *least)]
        zero = np.full(grid, 8, np.int32) if kind == "Q4_0" else None
        return SpecialParts(shaped(codes), halves[0], zero, halves[1] if least else None)
    if rule.scale == "int8":
        codes, scalers, factors, mean = affine.quantize_nf4_double(tiles, rule.block, rule.second)
        return SpecialParts(shaped(codes), scalers.reshape(grid), scale_factors=factors, scale_mean=mean)
    if rule.rule == "floor-log2":
        byte, codes = ggml.mxfp4_codes(tiles)
        return SpecialParts(shaped(codes), byte.reshape(grid).view(code_dtype(FORMATS[rule.scale])))
    if rule.form == "logarithm":
        codes, scales = nvfp4.quantize_tiles(tiles, None, "transformer-engine", power_of_two=True)
    else:
        codes, scales = affine.quantize_bnb4(tiles, "fp4")
    return SpecialParts(shaped(codes), scales.reshape(grid))
