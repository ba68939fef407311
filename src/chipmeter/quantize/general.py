"""What stands before and beside the kernel of tiles: the Hadamard transform, and the better of two scales."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import FORMATS
from chipmeter.quantize import nvfp4
from chipmeter.quantize.forward import quantize_tiles
from chipmeter.quantize.hadamard import hadamard
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
