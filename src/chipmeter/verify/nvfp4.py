"""Rules of libraries that quantise to NVFP4."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.evidence import Evidence
from chipmeter.quantize.forward import quantize_tiles
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.nvfp4 import Adaptive, Flavour, quantize_power_of_two, tensor_scale
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.tiles import from_tiles, grid_shape, to_tiles
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words

RULES = Evidence("documented", "recorded outputs of the libraries that quantise to NVFP4")


def torchao(case: Case) -> Emulated:
    """Emulate torchao's NVFP4, with and without the second level."""
    return _emulate(case, "torchao", second=case.entry.params.get("per_tensor_scale") is not None)


def torchao_tensor_scale(case: Case) -> Emulated:
    """Emulate torchao's tensor scale."""
    return _tensor_scale(case, "torchao")


def modelopt(case: Case) -> Emulated:
    """Emulate ModelOpt's NVFP4."""
    return _tensor_scale(case, "modelopt") if case.part == "s2" else _emulate(case, "modelopt")


def transformer_engine(case: Case) -> Emulated:
    """Emulate the reference of Transformer Engine's tests, on a tile and a tensor amax that the recording gives."""
    tile = case.entry.params.get("tile")
    if tile not in ([1, 16], [16, 16]) or case.entry.params.get("eps", 0.0) != 0.0:
        raise UnsupportedError(f"tiles {tile!r} with a smallest amax")
    adaptive: Adaptive = "none"
    if case.entry.params.get("nvfp4_use_4over6") is True:
        adaptive = "mse" if case.entry.params.get("nvfp4_4over6_err_mode") == "MSE" else "mae"
    limit = case.number("nvfp4_e4m3_max", 1, 448) if "nvfp4_e4m3_max" in case.entry.params else 448
    amax = case.source("float32", f"{case.key.split('/')[0]}/amax")
    if amax.shape != (1,):
        raise ValueError(f"{case.name}: the tensor has one amax, got shape {amax.shape}")
    return _emulate(
        case, "transformer-engine", rows=tile[0], amax=np.float32(amax[0]), power_of_two=case.flag("pow_2_scales"),
        adaptive=adaptive, limit=float(limit),
    )  # fmt: skip


def _tensor_scale(case: Case, flavour: Flavour) -> Emulated:
    scale: AnyArray = np.asarray([tensor_scale(np.abs(case.source()).max(), flavour)], np.float32)
    return Emulated(words(scale), f"tensor scale of NVFP4, {flavour}")


def _emulate(
    case: Case,
    flavour: Flavour,
    *,
    second: bool = True,
    rows: int = 1,
    amax: np.float32 | None = None,
    power_of_two: bool = False,
    adaptive: Adaptive = "none",
    limit: float = 448.0,
) -> Emulated:
    x = case.source()
    if x.ndim != 2 or x.shape[1] % 16 or not np.isfinite(x).all():
        raise UnsupportedError(f"NVFP4 of shape {x.shape}, NaN or infinity")
    note = f"NVFP4, {flavour}, tiles {rows} x 16"
    codes: AnyArray
    scales: AnyArray
    if power_of_two:
        raw, found = quantize_power_of_two(to_tiles(x, rows, 16))
        codes, scales = from_tiles(raw, x.shape, rows, 16), found.reshape(grid_shape(x.shape, rows, 16))
    else:
        recipe = Recipe(
            name="nvfp4-recorded", element="float4_e2m1fn", granularity="block", block=16, scale="float8_e4m3fn", rule="amax",
            evidence=RULES, two_level=second, rows=rows, flavour=flavour, adaptive=adaptive,
        )  # fmt: skip
        bits = None if amax is None else amax.view(np.uint32)
        parts = quantize_tiles(x, recipe, 1, 1, amax=bits, limit=limit)
        codes, scales = parts.codes, parts.scales
    if case.part in ("scale", "s"):
        return Emulated(words(np.ascontiguousarray(np.repeat(scales, rows, axis=0))), note)
    return Emulated(pack_nibbles(words(codes)), note)
