"""Rules of libraries that quantise to NVFP4."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.quantize.layouts import pack_nibbles
from chipmeter.quantize.nvfp4 import Adaptive, Flavour, quantize_tiles, tensor_scale
from chipmeter.quantize.tiles import from_tiles, grid_shape, to_tiles
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words


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
    if second and amax is None:
        amax = np.abs(x).max()
    codes, scales = quantize_tiles(
        to_tiles(x, rows, 16), amax, flavour, power_of_two=power_of_two, adaptive=adaptive, limit=limit
    )
    note = f"NVFP4, {flavour}, tiles {rows} x 16"
    if case.part in ("scale", "s"):
        grid = np.repeat(scales.reshape(grid_shape(x.shape, rows, 16)), rows, axis=0)
        return Emulated(words(np.ascontiguousarray(grid)), note)
    return Emulated(pack_nibbles(from_tiles(codes, x.shape, rows, 16)), note)
