"""Rules of libraries about MX scales alone, and ModelOpt's MX blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter.formats import FORMATS, FloatFormat
from chipmeter.quantize.float_tiles import encode, multiplier
from chipmeter.quantize.layouts import from_groups, pack_nibbles, pack_x4, to_groups, to_quadrants
from chipmeter.quantize.rules import float32_log2, powers
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words


def _format(name: str) -> FloatFormat:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    return fmt


def te_multiplier(case: Case) -> Emulated:
    """Emulate Transformer Engine's `compute_scale_from_amax`."""
    limit, smallest = case.entry.params.get("fp8_max"), case.entry.params.get("epsilon")
    if not isinstance(limit, float) or not isinstance(smallest, float):
        raise ValueError("params.fp8_max and params.epsilon must be numbers")  # noqa: TRY004 - a wrong recording
    if case.text("value_for_inf") != "FLT_MAX":
        raise UnsupportedError(f"a scale of {case.text('value_for_inf')!r} for infinity")
    s = multiplier(case.source(), limit, smallest=smallest, power_of_two=case.flag("force_pow_2_scales"))
    return Emulated(words(s), "multiplier", "float32")


def compressed_tensors(case: Case) -> Emulated:
    """Emulate `generate_mx_scales`, before it clamps."""
    bits = case.number("num_bits", 4, 8)
    if bits not in (4, 8):
        raise UnsupportedError(f"MX scales of {bits}-bit elements")
    element = _format("float4_e2m1fn" if bits == 4 else "float8_e4m3fn")
    amax = case.source("float32", f"{case.key.rpartition('/')[0]}/x")
    exponent = (amax.view(np.uint32) >> 23).astype(np.int32)
    up = (amax.view(np.uint32) & 0x7FFFFF) >= 0x600000
    wide = exponent - element.max_exponent + up
    lost = up & (exponent == 254)  # amax rounds to infinity, whose exponent becomes the least int32
    return Emulated(words(np.where(lost, np.iinfo(np.int32).min, wide).astype(np.int32)), "rule three-quarters")


def modelopt_mx(case: Case) -> Emulated:
    """Emulate ModelOpt's MX blocks of 32: scales through float32 log2; MXFP4 ties toward zero, zero as -0."""
    x = case.source()
    if x.ndim != 2 or x.shape[1] % 32 or not np.isfinite(x).all():
        raise UnsupportedError(f"MX blocks of shape {x.shape}, NaN or infinity")
    four = "mxfp4" in case.key.split("/")
    element = _format("float4_e2m1fn" if four else "float8_e4m3fn")
    blocks = x.reshape(x.shape[0], -1, 32)
    amax = np.abs(blocks).max(axis=-1)
    with np.errstate(all="ignore"):
        exponent = np.clip(np.ceil(float32_log2(amax / np.float32(element.max))), -127, 127)
        byte = (exponent + 127).astype(np.uint8)
        note = "MX of ModelOpt"
        if case.part == "s":
            return Emulated(byte, note)
        y = np.asarray(blocks / powers(byte)[..., None], np.float32).reshape(x.shape)
    if not four:
        return Emulated(words(encode(y, element)), note)
    magnitude = words(encode(np.abs(y), element, "zero"))
    return Emulated(pack_nibbles(magnitude | (y <= 0).astype(np.uint8) << 3), note)


def trainium(case: Case) -> Emulated:
    """Emulate the AWS SDK's golden: 8 partitions x 4 elements share a scale, whose byte wraps below 0."""
    element, parts = case.float_format(case.text("dst")), case.key.split("/")
    rule = next((part for part in parts if part in ("ocp_floor", "times2")), None)
    if rule is None:
        raise UnsupportedError("a scale rule of another name")
    x = case.source("bfloat16").astype(np.float32)
    if x.ndim != 2 or x.shape[0] % 32 or x.shape[1] % 4:
        raise UnsupportedError(f"a tile of shape {x.shape}")
    groups = to_groups(x)
    amax = np.abs(groups).max(axis=-1)
    raw = (amax.view(np.uint32) >> 23).astype(np.int32) - element.max_exponent + (rule == "times2")
    byte = raw.astype(np.uint8)
    note = f"MX of 8 x 4 groups of {element.name}, {rule}"
    if case.part == "scale":
        return Emulated(byte, note)
    with np.errstate(all="ignore"):
        y: NDArray[np.float32] = (
            groups * np.ldexp(np.float32(1), 127 - byte.astype(np.int32)).astype(np.float32)[..., None]
        )
    codes = from_groups(words(encode(y, element)))
    return Emulated(pack_x4(codes, 8) if element.bits == 8 else pack_nibbles(codes), note)


def trainium_placement(case: Case) -> Emulated:
    """Emulate where the SDK puts the scales that lie beside this array."""
    dense = case.read(f"{case.key.rpartition('/')[0]}/scale")
    return Emulated(to_quadrants(dense), "to_quadrants")


def ml_dtypes_int4(case: Case) -> Emulated:
    """Emulate the casts of ml_dtypes to 4-bit integers: truncation, then the low four bits."""
    x = case.source()
    with np.errstate(all="ignore"):
        whole = np.where(np.isfinite(x) & (np.abs(x) < 2.0**31), x, np.float32(0)).astype(np.int64) & 15
    return Emulated(whole.astype(np.uint8), f"truncate to {case.text('dst')}, wrap to 4 bits")
