"""Rules of libraries whose outputs are packed: ggml's blocks, 4-bit tables, dense integers, scale layouts."""

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
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def swizzle(case: Case) -> Emulated:
    """Emulate the 128x4 layout of block scales."""
    rows, columns = case.number("rows", 1, 1 << 16), case.number("cols", 1, 1 << 16)
    scales = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    return Emulated(layouts.swizzle_128x4(scales), "swizzle_128x4")


def quadrants(case: Case) -> Emulated:
    """Emulate the placement of MX scales in SBUF, from the dense scales beside the array."""
    return Emulated(layouts.quadrant_rows(case.read(case.key.removesuffix("_hw"))), "quadrant_rows")


def dense_integers(case: Case) -> Emulated:
    """Emulate compressed-tensors' dense packing of offset-binary integers."""
    bits = case.number("num_bits", 1, 8)
    values = case.read(case.key.rpartition("/")[0] + "/x").astype(np.int32)
    codes = (values + (1 << bits - 1)).astype(np.uint8)
    return Emulated(layouts.pack_int32(codes, bits), "pack_int32")


def ct_mx_scale(case: Case) -> Emulated:
    """Emulate compressed-tensors' MX scale: one more from a fraction of .75 on, whatever the element."""
    bits = case.source().view(np.uint32)
    emax = 2 if case.number("num_bits", 4, 8) == 4 else 8
    byte = (bits >> 23).astype(np.int32) - emax + ((bits & 0x7FFFFF) >= 0x600000)
    byte = np.where(bits.astype(np.int64) + 0x200000 >= 0x7F800000, np.iinfo(np.int32).min, byte)  # of infinity
    return Emulated(byte.astype(np.int32), "exponent plus one from 1.75 on")


def wrapped_integers(case: Case) -> Emulated:
    """Emulate ml_dtypes' casts to 4-bit integers: C truncation, then the low bits."""
    x = case.source()
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(x) & (np.abs(x) < 2.0**31)
    low = np.where(usable, x, F32(0)).astype(np.int64) & 15
    if case.text("dst") == "int4" and case.recorded().max(initial=0) > 15:
        low = np.where(low > 7, low - 16, low)
    return Emulated(low.astype(np.uint8), "truncate, then the low four bits")


def te_jitter(case: Case) -> Emulated:
    """Emulate Transformer Engine's stochastic e2m1: jitter of the value by a fused multiply-add, then a floor."""
    x = case.source()
    r = case.read("rbits8_te")
    magnitude = np.abs(x)

    def step(of: AnyArray) -> NDArray[np.float64]:
        return np.where(of < 2, 0.5, np.where(of < 4, 1.0, 2.0))

    with np.errstate(all="ignore"):
        # exact in binary64 where it matters: 24 bits plus at most 2, rounded once to binary32
        jittered = (magnitude.astype(np.float64) + (r & 0xFF) / 256.0 * step(magnitude)).astype(F32)
        width = step(jittered)
        values = np.minimum(np.floor(jittered / width) * width, 6).astype(F32)
    values = np.where(np.isnan(x), F32(6), np.copysign(values, x)).astype(F32)
    return Emulated(words(values), "value-space jitter, 8 bits")


def _halves(rows: AnyArray) -> AnyArray:
    return np.ascontiguousarray(rows.astype(np.float16)).view(np.uint8)


def _away(x: Floats) -> Floats:
    a = np.abs(x)
    floor = np.floor(a)
    return np.asarray(np.sign(x) * (floor + np.floor(2 * (a - floor))), F32)


def _reciprocal(d: Floats) -> Floats:
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(d == 0, F32(0), F32(1) / d).astype(F32)


_MXFP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], F32)
"""ggml's table: twice the e2m1 values, under a scale of half the size."""


def _ggml(x: Floats, kind: str) -> tuple[Bytes, Floats]:
    """Bytes and values of blocks [n, 32]."""
    if kind == "Q8_0":
        d = np.abs(x).max(axis=1, keepdims=True) / F32(127)
        q = _away(x * _reciprocal(d))
        q = np.where(np.isfinite(q), q, 0).astype(np.int8)
        return np.concatenate([_halves(d), q.view(np.uint8)], axis=1), q * d.astype(np.float16).astype(F32)
    if kind == "MXFP4":
        amax = np.abs(x).max(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            log2 = np.log2(amax.astype(np.float64)).astype(
                F32
            )  # float32, as gguf's, so just below a power it rounds up
        exponent = np.where(amax > 0, np.floor(log2), F32(-125)).astype(np.int32) + 125
        e = (exponent & 255).astype(np.uint8)  # it wraps
        half = _half_power(e)
        codes = np.abs(half[:, :, None] * _MXFP4 - x[:, :, None]).argmin(axis=-1).astype(np.uint8)
        return np.concatenate([e, layouts.pack_halves(codes)], axis=1), half * _MXFP4[codes]
    bits, affine = int(kind[1]), kind.endswith("_1")
    middle = 1 << bits - 1
    if affine:
        low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
        d = (high - low) / F32(2 * middle - 1)
        q = np.trunc((x - low) * _reciprocal(d) + F32(0.5))
        head = [_halves(d), _halves(low)]
    else:
        extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
        d = extreme / F32(-middle)
        q = np.trunc(x * _reciprocal(d) + F32(middle + 0.5))
        head, low = [_halves(d)], np.zeros_like(d)
    wrapped = np.where(np.isfinite(q), q, 0).astype(np.int64) & 255  # to a byte first, where infinity is 0
    codes = np.minimum(wrapped, 2 * middle - 1).astype(np.uint8)
    if bits == 5:
        head.append(np.packbits(codes >> 4, axis=1, bitorder="little"))
    packed = np.concatenate([*head, layouts.pack_halves(codes & 15)], axis=1)
    stored = d.astype(np.float16).astype(F32)
    if affine:
        return packed, stored * codes.astype(F32) + low.astype(np.float16).astype(F32)
    return packed, stored * (codes.astype(F32) - F32(middle))


def _half_power(e: Bytes) -> Floats:
    bits = np.where(e < 2, np.uint32(0x200000) << e.astype(np.uint32), (e.astype(np.uint32) - 1) << 23)
    return np.asarray(bits.astype(np.uint32).view(F32))


def ggml(case: Case) -> Emulated:
    """Emulate gguf's quantisers and their inverses."""
    kind, x = case.text("qtype"), case.source()
    if kind == "BF16":
        codes = cast(x, "bfloat16")
        raw = words(codes)
        return Emulated(raw.view(np.uint8) if case.part == "q" else words(decode(codes)), "cast to bfloat16")
    if kind not in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"):
        raise UnsupportedError(f"no ggml type {kind!r}")
    with np.errstate(all="ignore"):
        packed, values = _ggml(x.reshape(-1, 32), kind)
    if case.part == "q":
        return Emulated(packed.reshape(len(x), -1), f"ggml {kind}")
    return Emulated(words(np.ascontiguousarray(values, F32)).reshape(x.shape), f"ggml {kind}, dequantised")


def ggml_ue4m3(case: Case) -> Emulated:
    """Emulate ggml's ue4m3 encoder: half up, and everything from 256 on is 448."""
    x = np.clip(np.nan_to_num(case.source(), nan=0.0, posinf=448, neginf=0), 0, 448).astype(F32) + F32(0)  # -0 is 0
    bits = x.view(np.uint32)
    exponent = (bits >> 23).astype(np.int32) - 120
    mantissa = (bits & 0x7FFFFF) >> 20
    up = (mantissa + (bits >> 19 & 1)).astype(np.int32)
    code = np.where(exponent + (up > 7) >= 15, 0x7E, (exponent << 3) + up)
    small = np.minimum(np.floor(x * F32(512) + F32(0.5)), 7).astype(np.int32)
    return Emulated(np.where(exponent <= 0, small, code).astype(np.uint8), "half up; 448 from 256 on")


def ggml_scale_values(case: Case) -> Emulated:
    """Emulate ggml's halved scale values."""
    codes = np.arange(case.recorded().size).astype(np.uint8)
    if "e8m0" in case.key:
        return Emulated(words(_half_power(codes)), "2^(e - 128)")
    values = np.where(codes == 0x7F, F32(0), decode(codes, "ue4m3") * F32(0.5)).astype(F32)
    return Emulated(words(values), "decode ue4m3, halved")


def bitsandbytes(case: Case) -> Emulated:
    """Emulate bitsandbytes' nf4: a float32 absmax per block, ties to the lower code."""
    if case.text("quant_type") != "nf4":
        raise UnsupportedError(f"no format {case.text('quant_type')!r} of bitsandbytes")
    size = case.number("blocksize", 1, 1 << 16)
    x = case.source().reshape(-1, size)
    absmax = np.abs(x).max(axis=1, keepdims=True)
    codes = words(cast(np.clip(x * (F32(1) / np.maximum(absmax, F32(1e-38))), -1, 1).astype(F32), "nf4"))
    if case.part == "absmax":
        return Emulated(words(absmax)[:, 0], "absmax")
    if case.part == "q":
        return Emulated(layouts.pack_nibbles(codes.reshape(-1), high_first=True), "nf4 of x / absmax")
    return Emulated(words(decode(codes, "nf4") * absmax).reshape(case.recorded().shape), "nf4 times absmax")
