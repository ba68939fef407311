"""Rules of libraries whose scales are float32 numbers: integers, fp8 and fp4 blocks, and ggml's and nf4's blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import cast, decode
from chipmeter.quantize import layouts
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words

F32 = np.float32
LARGEST = float(np.finfo(F32).max)
Floats = NDArray[np.float32]


def _encode(x: AnyArray, name: str) -> NDArray[np.uint8]:
    return words(cast(np.ascontiguousarray(x, F32), name, overflow="saturate"))


def _pair(case: Case, name: str) -> tuple[int, int]:
    value = case.entry.params.get(name)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) and v > 0 for v in value):
        return value[0], value[1]
    raise ValueError(f"params.{name} must be two positive integers, got {str(value)[:80]!r}")


def _tiles(x: Floats, down: int, across: int) -> Floats:
    """Cut a matrix, padded with zeros, into [rows, down, columns, across]."""
    if x.ndim != 2:
        raise UnsupportedError(f"an input of shape {x.shape}")
    rows, columns = -(-x.shape[0] // down), -(-x.shape[1] // across)
    full = np.zeros((rows * down, columns * across), F32)
    full[: x.shape[0], : x.shape[1]] = x
    return full.reshape(rows, down, columns, across)


def _untile(tiles: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    rows, down, columns, across = tiles.shape
    return np.ascontiguousarray(tiles.reshape(rows * down, columns * across)[: shape[0], : shape[1]])


def _amax(tiles: Floats) -> Floats:
    return np.asarray(np.abs(tiles).max(axis=(1, 3), keepdims=True))


def _ceil_power(s: Floats) -> Floats:
    """Raise positive numbers to the power of two at or above, between 2^-126 and 2^127."""
    bits = s.view(np.uint32)
    exponent = np.clip((bits >> 23 & 0xFF) + ((bits & 0x7FFFFF) > 0), 1, 254)
    return np.asarray((exponent << 23).astype(np.uint32).view(F32))


def torchao_affine(case: Case) -> Emulated:
    """Emulate torchao's integers: a scale and a zero point per block, reciprocal, ties to even, clamp."""
    low, high = case.number("quant_min", -128, 0), case.number("quant_max", 1, 255)
    mapping, (down, across) = case.text("mapping"), _pair(case, "block")
    x = case.source()
    tiles = _tiles(x, down, across)
    least = np.minimum(tiles.min(axis=(1, 3), keepdims=True), F32(0))
    most = np.maximum(tiles.max(axis=(1, 3), keepdims=True), F32(0))
    if mapping == "SYMMETRIC":
        scale = np.maximum(-least, most) / F32((high - low) / 2)
    elif mapping == "SYMMETRIC_NO_CLIPPING_ERR":
        scale = np.maximum(least / F32(low), most / F32(high))
    elif mapping == "ASYMMETRIC":
        scale = (most - least) / F32(high - low)
    else:
        raise UnsupportedError(f"no mapping {mapping!r}")
    scale = np.maximum(scale, np.finfo(F32).tiny)  # torch's eps would be larger; these calls pass the smallest normal
    if mapping == "ASYMMETRIC":
        zero = np.clip(low - np.rint(least / scale), low, high)
    else:
        zero = np.full_like(scale, (high + low + 1) // 2)
    q = np.clip(np.rint(tiles * (F32(1) / scale)) + zero, low, high)
    note = f"amax scale, mapping {mapping}"
    if case.part in ("scale", "zp"):
        found = words(scale) if case.part == "scale" else zero.astype(np.int32)
        return Emulated(found.reshape(case.recorded().shape), note)
    if case.part == "q":
        return Emulated(_untile(q, x.shape).astype(case.recorded().dtype), note)
    return Emulated(words(_untile(((q - zero) * scale).astype(F32), x.shape)), note)


def te_scale(amax: Floats, top: float, pow2: bool, eps: float, largest: float) -> Floats:
    """Return Transformer Engine's multiplier: top / max(amax, eps); an unusable amax gives 1, infinity the largest."""
    with np.errstate(all="ignore"):
        a = np.maximum(amax, F32(eps))  # NaN stays
        s = F32(top) / a
        s = np.where(np.isinf(s), F32(largest), s).astype(F32)
        s = np.where(np.isfinite(a) & (a != 0), s, F32(1)).astype(F32)
    return np.asarray((s.view(np.uint32) & 0xFF800000).astype(np.uint32).view(F32) if pow2 else s, F32)


def _eps(case: Case, name: str) -> float:
    value = case.entry.params.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"params.{name} must be a number, got {str(value)[:80]!r}")


def te_scale_from_amax(case: Case) -> Emulated:
    """Emulate Transformer Engine's scale from amax."""
    s = te_scale(case.source(), _eps(case, "fp8_max"), case.flag("force_pow_2_scales"), _eps(case, "epsilon"), LARGEST)
    return Emulated(words(s), "maximum / amax, IEEE division")


def te_blockwise(case: Case) -> Emulated:
    """Emulate Transformer Engine's fp8 blocks of 1x128 and 128x128."""
    x, (down, across) = case.source(), _pair(case, "tile")
    fmt = case.float_format(case.text("dtype"))
    tiles = _tiles(x, down, across)
    s = te_scale(_amax(tiles), fmt.max, case.flag("pow_2_scales"), _eps(case, "eps"), LARGEST)
    note = f"{down}x{across} blocks, maximum / amax"
    if case.part == "scale_inv":
        return Emulated(words(F32(1) / s)[:, 0, :, 0], note)
    return Emulated(_encode(_untile(tiles * s, x.shape), case.text("dtype")), note)


def _strict_fp4(y: Floats) -> NDArray[np.uint8]:
    """E2M1 magnitude codes with ties toward zero."""
    bounds = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5], F32)
    return np.searchsorted(bounds, np.abs(y), side="left").astype(np.uint8)


def deepgemm(case: Case) -> Emulated:
    """Emulate DeepGEMM's casts: amax of at least 1e-4 over the maximum, or the power of two above; times 1 / scale."""
    x, k, op = case.source(), case.number("gran_k", 1, 4096), case.entry.op.rpartition(".")[2]
    down, across = {"per_block_cast_to_fp8": (k, k), "per_channel_cast_to_fp8": (k, 1)}.get(op, (1, k))
    top = F32(6 if op.endswith("fp4") else 448)
    tiles = _tiles(x, down, across)
    s = np.asarray(np.maximum(_amax(tiles), F32(1e-4)) / top, F32)
    if case.flag("use_ue8m0"):
        s = _ceil_power(s)
    note = f"{down}x{across} blocks, amax / {top:g}"
    if case.part == "sf":
        return Emulated(words(np.ascontiguousarray(s[:, 0, :, 0])), note)
    y = _untile(tiles * (F32(1) / s), x.shape)
    if top == 448:
        return Emulated(_encode(y, "float8_e4m3fn"), note)
    codes = _strict_fp4(y)
    codes |= ((y < 0) & (codes > 0)).astype(np.uint8) << 3
    return Emulated(layouts.pack_nibbles(codes), note)


def deepgemm_ue8m0(case: Case) -> Emulated:
    """Emulate DeepGEMM's power of two at or above a number."""
    return Emulated(words(_ceil_power(case.source())), "exponent plus one where the fraction is not 0")


def modelopt(case: Case) -> Emulated:
    """Emulate ModelOpt: MXFP4 with ties toward zero and zero as -0, MXFP8 rounded up, NVFP4 with a floor of 2^-9."""
    kind = case.key.split("/")[0]
    x = case.source()
    if kind == "nvfp4":
        amax = np.abs(x.reshape(x.shape[0], -1, 16)).max(axis=-1)
        s2 = F32(np.abs(x).max() / F32(2688))
        scale = amax / (F32(6) * s2)
        scale = np.clip(np.where(amax == 0, F32(1), scale), F32(2.0**-9), F32(448)).astype(F32)
        code = _encode(scale, "float8_e4m3fn")
        if case.part == "s2":
            return Emulated(words(np.asarray([s2], F32)), "amax / 2688")
        if case.part == "s":
            return Emulated(code, "e4m3 of amax / (6 s2), at least 2^-9")
        divisor = np.repeat(decode(code, "float8_e4m3fn") * s2, 16, axis=-1)
        y = x / divisor
        codes = _encode(y, "float4_e2m1fn")
        codes = np.where(y < 0, codes | 8, codes & 7).astype(np.uint8)
        return Emulated(layouts.pack_nibbles(codes), "x / (scale s2), to nearest even")
    amax = np.abs(x).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):  # float32 log2, as ModelOpt's: just above a power of two it is that power
        log2 = np.log2((amax / F32(6 if kind == "mxfp4" else 448)).astype(np.float64)).astype(F32)
    byte = (np.clip(np.ceil(log2), -127, 127) + 127).astype(np.uint8)
    note = "round-up scale"
    if case.part == "s":
        return Emulated(byte, note)
    y = x / decode(byte, "float8_e8m0fnu") if kind == "mxfp4" else x * decode(254 - byte, "float8_e8m0fnu")
    if kind == "mxfp4":
        codes = np.asarray(_strict_fp4(np.asarray(y, F32)) | (y <= 0).astype(np.uint8) << 3, np.uint8)
        return Emulated(layouts.pack_nibbles(codes), f"{note}, ties toward zero")
    return Emulated(_encode(y, "float8_e4m3fn"), note)


def te_nvfp4(case: Case) -> Emulated:
    """Emulate Transformer Engine's NVFP4: a multiplier for the tensor, e4m3 scales of 1x16 or 16x16 tiles."""
    x, (down, across) = case.source(), _pair(case, "tile")
    total = case.read(case.key.split("/")[0] + "/amax").view(F32)[0]
    tiles = _tiles(x, down, across)
    with np.errstate(all="ignore"):
        if case.flag("pow_2_scales"):
            ratio = _amax(tiles) / F32(6)
            s = np.where(ratio <= F32(2.0**-127), F32(2.0**-127), _ceil_power(ratio)).astype(F32)
            codes, stored = _fp4(tiles * (F32(1) / s)), words(s)
        elif case.entry.params.get("nvfp4_use_4over6"):
            codes, stored = _four_over_six(case, tiles, total)
        else:
            multiplier = F32(1) if total == 0 else min(F32(2688) / total, F32(LARGEST))
            raw = _amax(tiles) * (F32(multiplier) * (F32(1) / F32(6)))
            codes, stored, _ = _under_tensor_scale(tiles, raw, F32(multiplier))
    note = f"{down}x{across} blocks"
    if case.part == "scale":
        return Emulated(np.repeat(stored[:, 0, :, 0], down, axis=0)[: x.shape[0]], note)
    return Emulated(layouts.pack_nibbles(_untile(codes, x.shape)), note)


def _fp4(y: Floats) -> NDArray[np.uint8]:
    """E2M1 codes to nearest even; a zero has no sign, a negative number that underflows keeps it."""
    return np.where(y == 0, 0, _encode(y, "float4_e2m1fn")).astype(np.uint8)


def _under_tensor_scale(
    tiles: Floats, raw: Floats, multiplier: np.float32
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """Codes, e4m3 scale codes and scales for block scales that are still to be rounded."""
    code = _encode(np.minimum(raw, F32(LARGEST)), "float8_e4m3fn")
    scale = decode(code, "float8_e4m3fn")
    factor = np.minimum(F32(1) / (scale * (F32(1) / multiplier)), F32(LARGEST))
    return _fp4(tiles * factor), code, scale


def _four_over_six(case: Case, tiles: Floats, total: np.float32) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scale each block to 6 or to 4, whichever errs less; a tie takes 6."""
    top = F32(case.number("nvfp4_e4m3_max", 1, 448) if "nvfp4_e4m3_max" in case.entry.params else 448)
    squares = case.entry.params.get("nvfp4_4over6_err_mode", "MAE") == "MSE"
    multiplier = F32(1) if total == 0 else F32(min(top * F32(6) / total, F32(LARGEST)))
    base = _amax(tiles) / F32(6) * multiplier
    found = []
    for raw in (base, base * F32(1.5)):
        codes, code, scale = _under_tensor_scale(tiles, raw, multiplier)
        difference = decode(codes, "float4_e2m1fn") * scale * total / (F32(6) * top) - tiles
        each = difference * difference if squares else np.abs(difference)
        error = np.zeros((*tiles.shape[:1], 1, *tiles.shape[2:3], 1), F32)
        for i in range(tiles.shape[1]):  # one after another, in binary32
            for j in range(tiles.shape[3]):
                error[:, 0, :, 0] += each[:, i, :, j]
        found.append((codes, code, error))
    six, four = found
    pick = four[2] < six[2]
    return np.where(pick, four[0], six[0]), np.where(pick, four[1], six[1])
