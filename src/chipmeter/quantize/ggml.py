"""Block formats of ggml (GGUF files): bytes of blocks of 32, as gguf-py quantises them, and back."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chipmeter._names import unknown_name
from chipmeter.formats.codec import cast, decode
from chipmeter.quantize.rules import Floats, float32_log2

Kind = Literal["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4", "BF16"]
BLOCK = 32
BYTES: dict[str, int] = {"Q8_0": 34, "Q4_0": 18, "Q4_1": 20, "Q5_0": 22, "Q5_1": 24, "MXFP4": 17, "BF16": 64}
"""Bytes of 32 elements."""

_DOUBLED = np.asarray([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
"""e2m1 times two, which ggml multiplies by half the scale."""


def quantize_ggml(x: Floats, kind: Kind) -> NDArray[np.uint8]:
    """Quantise rows of blocks of 32 along the last axis to the bytes that a GGUF file holds.

    Operations in float32 (d is used before it is stored as float16):

    - Q8_0: d = amax / 127; q = x * (1 / d), halves away from zero;
    - Q4_0, Q5_0: d = (the number of largest magnitude, the first of them) / -8 (-16); q = trunc(x * (1 / d) + 8.5)
      (16.5), at most 15 (31);
    - Q4_1, Q5_1: d = (max - min) / 15 (31), m = min; q = trunc((x - m) * (1 / d) + 0.5);
    - MXFP4: scale byte floor(log2 amax) - 2 + 127 by the float32 logarithm, 0 for a block of zeros; the first nearest of
      the 16 values in code order, so ties go to the smaller code;
    - BF16: round to nearest even; NaN is quieted.

    Where d is too small for its reciprocal, quotients leave the integers and become 0; a scale byte below 0 wraps.
    (gguf-py 0.19 quants.py.) Byte j of 16 holds element j in its low and j + 16 in its high nibble; the fifth bits of
    Q5 lie in a word of 32 before them; scales come first.

    Parameters
    ----------
    x : ndarray of float32, shape (..., 32 n)
        Finite.
    kind : str

    Returns
    -------
    ndarray of uint8, shape (..., n * BYTES[kind])

    Examples
    --------
    >>> quantize_ggml(np.linspace(-127, 28, 32, dtype=np.float32), "Q8_0")[:4]
    array([  0,  60, 129, 134], dtype=uint8)
    """
    _check(kind, x.shape[-1] if x.ndim else 0, BLOCK)
    if x.dtype != np.float32:
        raise TypeError(f"ggml blocks are made of float32, got {x.dtype}")
    blocks = np.ascontiguousarray(x).reshape(-1, BLOCK)
    with np.errstate(all="ignore"):
        if kind == "BF16":
            raw = _bfloat16(blocks)
        elif kind == "MXFP4":
            byte, codes = mxfp4_codes(blocks)
            raw = np.concatenate([byte, _pack(codes)], axis=1)
        else:
            q, *numbers = integer_codes(blocks, kind)
            fifth = [np.packbits(q >> 4 & 1, axis=1, bitorder="little")] if kind.startswith("Q5") else []
            packed = q if kind == "Q8_0" else _pack(q)
            raw = np.concatenate([*(n.astype("<f2").view(np.uint8) for n in numbers), *fifth, packed], axis=1)
    return raw.reshape(*x.shape[:-1], -1)


def dequantize_ggml(data: NDArray[np.uint8], kind: Kind) -> Floats:
    """Turn the bytes of ggml blocks back into float32, scale times integer (plus minimum), in float32.

    Parameters
    ----------
    data : ndarray of uint8, shape (..., n * BYTES[kind])
    kind : str

    Returns
    -------
    ndarray of float32, shape (..., 32 n)

    Examples
    --------
    >>> x = np.float32([*range(31), 127])
    >>> bool((dequantize_ggml(quantize_ggml(x, "Q8_0"), "Q8_0") == x).all())
    True
    """
    if data.dtype != np.uint8:
        raise TypeError(f"ggml blocks come as bytes, got {data.dtype}")
    if kind not in get_args(Kind):
        raise unknown_name("ggml kind", kind, get_args(Kind))
    _check(kind, data.shape[-1] if data.ndim else 0, BYTES[kind])
    raw = np.ascontiguousarray(data).reshape(-1, BYTES[kind])
    with np.errstate(all="ignore"):
        if kind == "BF16":
            values = (np.ascontiguousarray(raw).view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind == "MXFP4":
            values = e8m0_half(raw[:, :1]) * _DOUBLED[_unpack(raw[:, 1:])]
        elif kind == "Q8_0":
            values = _from_half(raw[:, :2]) * np.ascontiguousarray(raw[:, 2:]).view(np.int8).astype(np.float32)
        else:
            values = _from_nibbles(raw, kind)
    return values.reshape(*data.shape[:-1], -1)


def ue4m3(x: Floats) -> NDArray[np.uint8]:
    """Encode scales as ggml does for NVFP4: clip to 0..448, three bits by rounding half up, all from 256 on is 448.

    >>> ue4m3(np.float32([1, 255, 256, 300]))
    array([ 56, 126, 126, 126], dtype=uint8)
    """
    clipped = np.clip(np.nan_to_num(np.asarray(x, np.float32), nan=0.0, posinf=448.0, neginf=0.0), 0, np.float32(448))
    bits = clipped.view(np.uint32).astype(np.int64)
    exponent, fraction = (bits >> 23) - 120, bits & 0x7FFFFF
    rounded = (fraction >> 20) + (fraction >> 19 & 1)
    exponent = exponent + (rounded > 7)
    normal = np.where(exponent >= 15, 0x7E, exponent << 3 | rounded & 7)
    small = np.trunc(clipped * np.float32(512) + np.float32(0.5)).astype(np.int64)
    subnormal = np.minimum(small, 7)
    found = np.where((bits >> 23) - 120 <= 0, subnormal, normal)
    return np.where(clipped == 0, 0, found).astype(np.uint8)


def e8m0_half(codes: NDArray[np.uint8]) -> Floats:
    """Return half of each e8m0 number: 2^(code - 128), subnormal below 2; code 255 is 2^127.

    >>> e8m0_half(np.uint8([127, 128]))
    array([0.5, 1. ], dtype=float32)
    """
    wide = codes.astype(np.uint32)
    bits = np.where(wide < 2, np.uint32(0x200000) << wide, (wide - np.uint32(1)) << np.uint32(23))
    return bits.astype(np.uint32).view(np.float32)


def _check(kind: str, length: int, unit: int) -> None:
    if kind not in get_args(Kind):
        raise unknown_name("ggml kind", kind, get_args(Kind))
    if length == 0 or length % unit:
        raise ValueError(f"{kind} comes in units of {unit} along the last axis, got {length}")


def _reciprocal(d: Floats) -> Floats:
    return np.where(d == 0, np.float32(0), np.float32(1) / d).astype(np.float32)


def _from_half(raw: NDArray[np.uint8]) -> Floats:
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def _pack(q: NDArray[np.uint8]) -> NDArray[np.uint8]:
    packed: NDArray[np.uint8] = (q[:, :16] & 15 | q[:, 16:] << 4).astype(np.uint8)
    return packed


def _unpack(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([raw & 15, raw >> 4], axis=1)


def integer_codes(blocks: Floats, kind: str) -> tuple[Any, ...]:
    """Give the integers of blocks as bytes, and what is stored of each block: d, and the minimum where the kind has one.

    >>> integer_codes(np.float32([[-8, 1, 7]]), "Q4_0")
    (array([[ 0,  9, 15]], dtype=uint8), array([[1.]], dtype=float32))
    """
    with np.errstate(all="ignore"):
        if kind == "Q8_0":
            d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
            y = blocks * _reciprocal(d)
            whole = np.trunc(np.abs(y))
            rounded = np.sign(y) * (whole + np.trunc(np.float32(2) * (np.abs(y) - whole)))
            return rounded.astype(np.int8).view(np.uint8), d
        top = 15 if kind.startswith("Q4") else 31
        if kind.endswith("0"):
            first = np.abs(blocks).argmax(axis=1)[:, None]
            d = np.take_along_axis(blocks, first, axis=1) / np.float32(-((top + 1) // 2))
            y = np.trunc(blocks * _reciprocal(d) + np.float32((top + 1) // 2 + 0.5))
            return np.minimum(_wrapped(y), top).astype(np.uint8), d
        least, most = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
        d = (most - least) / np.float32(top)
        y = np.trunc((blocks - least) * _reciprocal(d) + np.float32(0.5))
        return np.minimum(_wrapped(y), top).astype(np.uint8), d, least


def _from_nibbles(raw: NDArray[np.uint8], kind: str) -> Floats:
    d, rest = _from_half(raw[:, :2]), raw[:, 2:]
    least = None
    if kind.endswith("1"):
        least, rest = _from_half(rest[:, :2]), rest[:, 2:]
    q = _unpack(rest[:, -16:])
    if kind.startswith("Q5"):
        fifth = np.unpackbits(np.ascontiguousarray(rest[:, :4]), axis=1, bitorder="little")
        q = (q | fifth << 4).astype(np.uint8)
    if least is None:
        return d * (q.astype(np.int16) - (8 if kind == "Q4_0" else 16)).astype(np.float32)
    return d * q.astype(np.float32) + least


def _wrapped(y: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Convert to bytes as x86 does, through int32: modulo 256, and 0 for NaN, infinity and what int32 does not hold."""
    fits = np.abs(y) < 2.0**31
    return (np.where(fits, y, 0).astype(np.int64) & 0xFF).astype(np.uint8)


def mxfp4_codes(blocks: Floats) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give the scale byte of each block and its e2m1 codes, one per byte.

    >>> mxfp4_codes(np.float32([[4, -0.25, 5]]))
    (array([[127]], dtype=uint8), array([[6, 0, 6]], dtype=uint8))
    """
    amax = np.abs(blocks).max(axis=1, keepdims=True)
    byte = np.where(amax > 0, np.floor(float32_log2(np.where(amax > 0, amax, 1))) - 2 + 127, 0)
    byte = _wrapped(byte)
    with np.errstate(all="ignore"):  # the largest scale, and blocks with an infinity
        errors = np.abs(e8m0_half(byte)[:, :, None] * _DOUBLED - blocks[:, :, None])
    return byte, errors.argmin(axis=2).astype(np.uint8)


def _bfloat16(blocks: Floats) -> NDArray[np.uint8]:
    bits = blocks.view(np.uint32)
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    rounded = cast(blocks, "bfloat16").view(np.uint16)
    return np.ascontiguousarray(np.where(nan, (bits >> 16 | 0x40).astype(np.uint16), rounded).astype("<u2")).view(
        np.uint8
    )


def ue4m3_half(codes: NDArray[np.uint8]) -> Floats:
    """Return half of each ue4m3 number; code 127 is 0.

    >>> ue4m3_half(np.uint8([56, 127]))
    array([0.5, 0. ], dtype=float32)
    """
    values = decode(codes & np.uint8(0x7F), "float8_e4m3fn") * np.float32(0.5)
    return np.where(np.isnan(values), np.float32(0), values).astype(np.float32)
