"""Rounding and overflow policies, resolved into the plain numbers that the kernels read."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

from chipmeter import _kernels
from chipmeter._names import unknown_name
from chipmeter.formats.records import FloatFormat

Rounding = Literal[
    "nearest-even", "nearest-even-code", "nearest-away", "toward-zero", "up", "down", "odd", "stochastic"
]
"""`up` and `down` are toward +infinity and -infinity. `odd`: an inexact result takes the odd neighbour. `stochastic`
adds n random bits below the last place and truncates. `nearest-even-code` differs from `nearest-even` for e8m0 alone,
whose significand is always 1: there `nearest-even` sends every tie up, as ml_dtypes and torch do, and
`nearest-even-code` sends it to the even code, as gfloat does."""

Overflow = Literal["ofp8", "saturate", "torch"]
"""What a number beyond the largest finite value becomes, after rounding.

`ofp8`: OCP OFP8 without saturation, as ml_dtypes casts: infinity where the format has one, else NaN, else the largest.
`saturate`: the largest finite value, for infinities too; the NaN of 8-bit formats is all ones (0x7F/0xFF), as PTX
cvt.satfinite writes it. `torch`: torch >= 2.13 on CPU: as `ofp8`, but e4m3fn saturates, also from infinity; the NaN of
8-bit formats is all ones, that of bfloat16 0xFFFF; e8m0 drops the sign."""

_MODES = {
    "nearest-even": 0, "nearest-even-code": 0, "nearest-away": 1, "toward-zero": 2, "up": 3, "down": 4, "odd": 5,
    "stochastic": 6,
}  # fmt: skip
_E8M0_RULES = {"nearest-even": 0, "nearest-even-code": 1, "toward-zero": 2, "down": 2, "up": 3}


def check_policy(rounding: str, overflow: str) -> None:
    """Refuse a rounding or overflow policy that does not exist."""
    if not isinstance(rounding, str) or rounding not in get_args(Rounding):
        raise unknown_name("rounding", rounding, get_args(Rounding))
    if not isinstance(overflow, str) or overflow not in get_args(Overflow):
        raise unknown_name("overflow policy", overflow, get_args(Overflow))


def nan_code(fmt: FloatFormat, negative: bool, overflow: Overflow) -> int:
    """Choose the code of NaN: quiet, with the sign of the input. A format without NaN gives -0 for +NaN, +0 for -NaN.

    A format that carries payloads (float16) or-s the payload of the input to this code.

    >>> from chipmeter.formats.records import format_of
    >>> hex(nan_code(format_of("e5m2"), True, "ofp8")), hex(nan_code(format_of("e5m2"), True, "torch"))
    ('0xfe', '0xff')
    """
    if fmt.nan == "negative_zero":
        return 1 << fmt.magnitude_bits
    sign = int(fmt.signed) << fmt.magnitude_bits
    if fmt.nan == "none":
        return 0 if negative else sign
    ones = (1 << fmt.magnitude_bits) - 1
    if overflow == "torch" and fmt.infinity and fmt.exponent_bits == 8 and fmt.mantissa_bits == 7:
        return sign | ones
    if fmt.nan == "all_ones" or (overflow != "ofp8" and fmt.bits == 8):
        code = ones
    elif fmt.nan_payload and overflow != "torch":
        code = fmt.max_code + 1  # NumPy: the payload alone makes it a NaN; torch sets the quiet bit as well
    else:
        code = (fmt.max_code + 1) | 1 << (fmt.mantissa_bits - 1)
    return code | (sign if negative else 0)


def beyond_code(fmt: FloatFormat, negative: bool, overflow: Overflow) -> int:
    """Choose the code of an infinity, and of a finite number that rounds beyond the largest.

    >>> from chipmeter.formats.records import format_of
    >>> [hex(beyond_code(format_of("e4m3fn"), False, policy)) for policy in ("ofp8", "saturate", "torch")]
    ['0x7f', '0x7e', '0x7e']
    """
    sign = int(fmt.signed and negative) << fmt.magnitude_bits
    saturates = overflow == "saturate" or (overflow == "torch" and fmt.nan == "all_ones" and fmt.signed)
    if saturates or fmt.nan == "none":
        return fmt.max_code | sign
    return (fmt.max_code + 1) | sign if fmt.infinity else nan_code(fmt, negative, overflow)


@lru_cache(maxsize=512)
def encode_spec(
    fmt: FloatFormat, rounding: Rounding, overflow: Overflow, nan: int | None = None, random_bits: int = 32
) -> _kernels.EncodeSpec:
    """Build the record the encode kernels read; `nan` overrides the code written for every NaN."""
    signs = (False, True)
    sign_bit = int(fmt.signed) << fmt.magnitude_bits
    truncating = (rounding in ("toward-zero", "odd", "down"), rounding in ("toward-zero", "odd", "up"))
    finite_beyond = [
        (fmt.max_code | (sign_bit if s else 0)) if truncating[s] else beyond_code(fmt, s, overflow) for s in signs
    ]
    nans = [nan_code(fmt, s, overflow) if nan is None else nan for s in signs]
    infinities = [beyond_code(fmt, s, overflow) for s in signs]
    if nan is not None and fmt.nan != "none" and not fmt.infinity and overflow == "ofp8":
        infinities = [nan, nan]
        finite_beyond = [code if truncating[s] else nan for s, code in zip(signs, finite_beyond, strict=True)]
    if not fmt.signed:
        infinities[1] = nans[1]

    def shifted(codes: list[int]) -> tuple[int, int]:
        return codes[0] << fmt.padding, codes[1] << fmt.padding

    return _kernels.EncodeSpec(
        fmt.mantissa_bits,
        fmt.min_exponent,
        fmt.max_code,
        fmt.padding,
        shifted([0, sign_bit]),
        shifted([0, sign_bit if fmt.nan != "negative_zero" else 0]),
        shifted(finite_beyond),
        shifted(infinities),
        shifted(nans),
        (1 << fmt.mantissa_bits) - 1 if fmt.nan_payload and nan is None else 0,
        nans[1] << fmt.padding,
        fmt.signed,
        _MODES[rounding],
        random_bits,
    )


@lru_cache(maxsize=64)
def e8m0_spec(rounding: Rounding, overflow: Overflow, nan: int | None = None) -> _kernels.E8M0Spec:
    """Build the record of the e8m0 cast, the one format without zero, sign and fraction; `nan` overrides its NaN code."""
    if rounding not in _E8M0_RULES:
        raise ValueError(f"float8_e8m0fnu accepts the roundings {', '.join(_E8M0_RULES)}, got {rounding!r}")
    saturate, torch = overflow == "saturate", overflow == "torch"
    none = 255 if nan is None else nan
    top = 254 if saturate else none
    finite_beyond = 254 if rounding in ("toward-zero", "down") else top
    return _kernels.E8M0Spec(
        _E8M0_RULES[rounding], torch, 0 if saturate or torch else none, none, finite_beyond, top, none
    )


@lru_cache(maxsize=64)
def decode_spec(fmt: FloatFormat) -> _kernels.DecodeSpec:
    """Build the record the decode kernels read."""
    infinity_code = fmt.max_code + 1 if fmt.infinity else 0
    zero_bits = 0x00400000 if fmt.powers_only else 0
    fnuz = fmt.nan == "negative_zero"
    return _kernels.DecodeSpec(
        fmt.bits - fmt.padding, fmt.mantissa_bits, fmt.bias, fmt.signed, fmt.max_code, infinity_code, fnuz, zero_bits
    )
