"""microxcaling, which emulates by value: the float32 operations of its Python code, in its order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter.quantize.rules import float32_log2
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, UnsupportedError
from chipmeter.verify.elementwise import words

_INTEGERS = {"int8": 8, "int4": 4, "int2": 2}
_ROUNDINGS = ("even", "nearest", "floor")
Values = NDArray[np.float32]


def elementwise(case: Case) -> Emulated:
    """Emulate `_quantize_elemwise`."""
    fmt = case.float_format(case.text("elem"))
    exponent_bits, bits, limit = fmt.exponent_bits, fmt.mantissa_bits + 2, np.float32(fmt.max)
    rounding, saturates = case.text("round"), case.flag("saturate_normals")
    with np.errstate(all="ignore"):
        values = _elements(case.source(), exponent_bits, bits, limit, rounding, saturates)
    return Emulated(words(values), f"value of {fmt.name}, {rounding}", "float32")


def blocks(case: Case) -> Emulated:
    """Emulate `_quantize_mx` along the last axis."""
    name, rounding = case.text("elem"), case.text("round")
    if name in _INTEGERS:
        exponent_bits, bits, emax = 0, _INTEGERS[name], 0
        limit = np.float32(((1 << bits - 1) - 1) / (1 << bits - 2))
    else:
        fmt = case.float_format(name)
        exponent_bits, bits, emax, limit = (
            fmt.exponent_bits,
            fmt.mantissa_bits + 2,
            fmt.max_exponent,
            np.float32(fmt.max),
        )
    size, flush = case.number("block", 1, 1 << 16), case.entry.params.get("flush_fp32_subnorms") is True
    top = (1 << case.number("scale_bits", 2, 8) - 1) - 1
    x = case.source()
    if x.ndim == 0 or x.shape[-1] % size:
        raise UnsupportedError(f"an input of shape {x.shape} in blocks of {size}")
    with np.errstate(all="ignore"):
        a: Values = x.reshape(-1, size)
        amax = np.abs(a).max(axis=1, keepdims=True)
        shared = np.floor(float32_log2(np.where(amax == 0, np.float32(2.0**-126), amax)))
        if flush:
            a = a * (shared > -127).astype(np.float32)
        shared = shared - np.float32(emax)
        shared = np.where(shared > top, np.float32(np.nan), np.maximum(shared, np.float32(-top)))
        scale = _power_of_two(shared)
        values = _elements(np.asarray(a / scale, np.float32), exponent_bits, bits, limit, rounding, True) * scale
    return Emulated(words(values.reshape(x.shape)), f"MX of {name}, {rounding}, by value", "float32")


def _elements(a: Values, exponent_bits: int, bits: int, limit: np.float32, rounding: str, saturates: bool) -> Values:
    """Round to `bits` bits (sign and leading one included), every operation in float32."""
    if rounding not in _ROUNDINGS:
        raise UnsupportedError(f"no rounding {rounding!r}")
    up = np.float32(2.0 ** (bits - 2))
    if exponent_bits:
        least = np.float32(2 - (1 << exponent_bits - 1))
        exponent = np.maximum(np.floor(float32_log2(np.where(a == 0, np.float32(1), np.abs(a)))), least)
        unit = _power_of_two(exponent)
        out = a / unit * up
    else:
        unit, out = np.ones_like(a), a * up
    magnitude, sign = np.abs(out), np.where(out == 0, np.float32(0), np.sign(out))
    if rounding == "floor":
        out = sign * np.floor(magnitude)
    else:
        whole = np.floor(magnitude + np.float32(0.5))
        if rounding == "even":
            whole = whole - (np.mod(magnitude - np.float32(0.5), np.float32(2)) == 0)
        out = sign * whole
    out = out / up * unit
    if saturates or not exponent_bits:
        out = np.clip(out, -limit, limit)
    else:
        out = np.where(np.abs(out) > limit, np.sign(out) * np.float32(np.inf), out)
    return np.where(np.isinf(a), a, out).astype(np.float32)


def _power_of_two(exponent: Values) -> Values:
    """Return 2^exponent exactly; NaN stays."""
    whole = np.where(np.isnan(exponent), 0, exponent).astype(np.int32)
    return np.where(np.isnan(exponent), exponent, np.ldexp(np.float32(1), whole)).astype(np.float32)
