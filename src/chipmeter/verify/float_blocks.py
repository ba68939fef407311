"""Rules of libraries that give blocks float32 scales: DeepGEMM, Transformer Engine."""

from __future__ import annotations

import numpy as np

from chipmeter.formats import FORMATS, FloatFormat
from chipmeter.quantize.float_tiles import quantize_tiles
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.rules import power_of_two_up
from chipmeter.quantize.tiles import from_tiles, grid_shape, to_tiles
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words

_SHAPES = {"per_token": (False, True), "per_channel": (True, False), "per_block": (True, True)}
"""Whether tiles are as high, and as wide, as the granularity."""


def deepgemm(case: Case) -> Emulated:
    """Emulate DeepGEMM's casts: amax at least 1e-4, x times the reciprocal of the scale."""
    function, _, target = case.entry.op.rpartition(".")[2].partition("_cast_to_")
    if function not in _SHAPES or target not in ("fp8", "fp4"):
        raise UnsupportedError(f"no rule for {case.entry.op!r}")
    size = case.number("gran_k", 1, 1 << 12)
    rows, columns = (size if whole else 1 for whole in _SHAPES[function])
    element = FORMATS["float8_e4m3fn" if target == "fp8" else "float4_e2m1fn"]
    assert isinstance(element, FloatFormat)
    x = case.source()
    codes, scales = quantize_tiles(
        to_tiles(x, rows, columns), element, "reciprocal", smallest=1e-4, power_of_two=case.flag("use_ue8m0"),
        ties="even" if target == "fp8" else "zero", negative_zero=target == "fp8",
    )  # fmt: skip
    note = f"tiles {rows} x {columns} of {element.name}, reciprocal"
    if case.part == "sf":
        return Emulated(words(scales.reshape(grid_shape(x.shape, rows, columns))), note, "float32")
    whole = words(from_tiles(codes, x.shape, rows, columns))
    return Emulated(whole, note, element) if target == "fp8" else Emulated(pack_nibbles(whole), note)


def ceil_to_ue8m0(case: Case) -> Emulated:
    """Emulate DeepGEMM's rounding of scales up to powers of two."""
    x = case.source("float32", f"{case.key.rpartition('/')[0]}/x")
    return Emulated(words(power_of_two_up(x)), "power_of_two_up")


def transformer_engine(case: Case) -> Emulated:
    """Emulate Transformer Engine's Float8BlockScaling: S = max / amax, stored as 1 / S."""
    tile, eps = case.entry.params.get("tile"), case.entry.params.get("eps")
    if tile not in ([1, 128], [128, 128]) or not isinstance(eps, float):
        raise UnsupportedError(f"tiles {tile!r}")
    element, x = case.float_format(case.text("dtype")), case.source()
    if not np.isfinite(x).all():
        raise UnsupportedError("NaN or infinity, of which the Python reference and the kernels differ")
    codes, scales = quantize_tiles(
        to_tiles(x, *tile), element, "multiplier", smallest=eps, power_of_two=case.flag("pow_2_scales")
    )
    note = f"tiles {tile[0]} x {tile[1]} of {element.name}, multiplier"
    if case.part == "scale_inv":
        return Emulated(words(scales.reshape(grid_shape(x.shape, *tile))), note, "float32")
    return Emulated(words(from_tiles(codes, x.shape, *tile)), note, element)
