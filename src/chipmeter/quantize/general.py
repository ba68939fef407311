"""What stands before and beside the kernel of tiles: the Hadamard transform, the better of two scales, and the way back."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import code_dtype, decode
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.forward import quantize_tiles
from chipmeter.quantize.hadamard import hadamard, inverse_hadamard
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.rules import Floats
from chipmeter.quantize.tiles import from_tiles, grid_shape, to_tiles


def quantize_general(x: Floats, rule: Recipe, threads: int) -> tuple[AnyArray, AnyArray, np.float32]:
    """Quantise along the last axis, tiles reaching over `rule.rows` of the axis before it.

    Returns
    -------
    codes : ndarray of x's shape
    scales : ndarray, shape of x with the last axis ceil(n / block), and the one before it ceil(m / rows)
    tensor_scale : float32
    """
    shape = x.shape
    if rule.signs is not None:
        if shape[-1] % 16:
            raise ValueError(f"recipe {rule.name!r} transforms 16 numbers at a time: the axis has {shape[-1]}")
        with np.errstate(all="ignore"):
            x = hadamard(x, rule.signs)
    if rule.adaptive == "none":
        parts = quantize_tiles(x, rule, x.ndim - 1, threads)
        return parts.codes, parts.scales, parts.tensor_scale
    amax = np.abs(x).max()
    raw, scales = nvfp4.quantize_tiles(to_tiles(x, rule.rows, rule.block), amax, rule.flavour, adaptive=rule.adaptive)
    codes = from_tiles(raw.view(code_dtype(rule.element_format)), shape, rule.rows, rule.block)
    grid = grid_shape(shape, rule.rows, rule.block)[-x.ndim :]
    return (
        codes,
        scales.view(code_dtype(FORMATS[rule.scale])).reshape(grid),
        nvfp4.tensor_scale(amax, rule.flavour),
    )


def dequantize_general(
    codes: AnyArray, scales: AnyArray, tensor_scale: np.float32, zero_points: AnyArray | None, rule: Recipe
) -> Floats:
    """Undo `quantize_general`: (code - zero) * scale, then the tensor scale, each product in float32.

    nf4 takes the amax of its block as scale; a Hadamard transform is undone last.
    """
    element = rule.element_format
    values = decode(codes, element) * np.float32(rule.element_unit)

    def spread(grid: AnyArray) -> AnyArray:
        wide = np.repeat(grid, rule.block, axis=-1)[..., : codes.shape[-1]]
        return wide if rule.rows == 1 else np.repeat(wide, rule.rows, axis=-2)[..., : codes.shape[-2], :]

    numbers = scales if scales.dtype == np.float32 else decode(scales)
    with np.errstate(over="ignore", invalid="ignore"):
        if zero_points is not None:
            values = values - spread(zero_points).astype(np.float32)
        values = values * spread(numbers)
        if rule.two_level:
            values = values * tensor_scale
    return values if rule.signs is None else inverse_hadamard(values.astype(np.float32), rule.signs)
