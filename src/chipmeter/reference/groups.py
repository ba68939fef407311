"""Groups of integers and of fp4 elements, one group at a time: the slow twins of chipmeter.quantize's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from chipmeter.reference.ieee import divide, multiply
from chipmeter.reference.layouts import E4M3, F32, LAYOUTS
from chipmeter.reference.numbers import decode, encode, fraction_of
from chipmeter.reference.quantize import amax_of, float32
from chipmeter.reference.rounding import round_quotient

_ONE = 0x3F800000


def quantize_integers(
    values: Sequence[int], mapping: Literal["symmetric", "symmetric-no-clipping", "affine"], low: int, high: int
) -> tuple[int, int, list[int]]:
    """Quantise one group as torchao's affine primitives do.

    Returns
    -------
    scale : int
        float32 code.
    zero : int
    codes : list of int
        clamp(round(x * (1 / scale)) + zero).

    Examples
    --------
    >>> scale, zero, codes = quantize_integers([float32(n) for n in (-1, 0, 2)], "affine", 0, 15)
    >>> zero, codes
    (5, [0, 5, 15])
    """
    numbers = [fraction_of(decode(value, F32)) for value in values]
    least, most = min(min(numbers), Fraction(0)), max(max(numbers), Fraction(0))
    zero = (high + low + 1) // 2
    if mapping == "affine":
        scale = divide(float32(most - least), float32(high - low), F32)
    elif mapping == "symmetric":
        scale = divide(float32(max(-least, most)), float32(Fraction(high - low, 2)), F32)
    else:
        scale = max(divide(float32(abs(least)), float32(-low), F32), divide(float32(most), float32(high), F32))
    scale = max(scale, 0x00800000)
    if mapping == "affine":
        zero = min(max(low - _whole(divide(float32(least), scale, F32)), low), high)
    factor = divide(_ONE, scale, F32)
    return scale, zero, [min(max(_whole(multiply(v, factor, F32)) + zero, low), high) for v in values]


def quantize_mxint(values: Sequence[int], bits: int = 8) -> tuple[int, list[int]]:
    """Quantise one MXINT block: scale byte of amax rounded down, integers with bits - 2 fraction bits, symmetric.

    >>> quantize_mxint([float32(n) for n in (1, -1)])
    (127, [64, -64])
    """
    byte = max(0, amax_of(values) >> 23)
    top = (1 << bits - 1) - 1
    unit = Fraction(2) ** (byte - 127 - (bits - 2))
    wanted = (fraction_of(decode(value, F32)) / unit for value in values)
    return byte, [min(max(_nearest(number), -top), top) for number in wanted]


def quantize_nvfp4_as(
    values: Sequence[int], tensor_amax: int, flavour: Literal["modelopt", "compressed-tensors"]
) -> tuple[int, list[int]]:
    """Quantise one NVFP4 block of finite numbers in the operations of ModelOpt or compressed-tensors.

    Returns
    -------
    scale : int
        e4m3 code.
    codes : list of int

    Examples
    --------
    >>> quantize_nvfp4_as([float32(n) for n in (3, -6, 12)], float32(2688), "modelopt")
    (64, [3, 13, 7])
    """
    amax, six, e2m1 = amax_of(values), float32(6), LAYOUTS["e2m1"]
    if flavour == "modelopt":
        second = _ONE if tensor_amax == 0 else divide(tensor_amax, float32(2688), F32)
        wanted = divide(amax, multiply(six, second, F32), F32) or _ONE
        wanted = min(max(wanted, float32(Fraction(1, 512))), float32(448))
        scale = encode(decode(wanted, F32), E4M3, overflow="saturate")
        divisor = multiply(encode(decode(scale, E4M3), F32), second, F32)
    else:
        up = divide(float32(2688), max(tensor_amax, 0x00800000), F32)
        up = _ONE if up >= 0x7F800000 else up
        wanted = multiply(up, divide(amax, six, F32), F32)
        scale = encode(decode(wanted, F32), E4M3, overflow="saturate") or 0x20
        divisor = divide(encode(decode(scale, E4M3), F32), up, F32)
    quotients = [divide(value, divisor, F32) for value in values]
    codes = [encode(decode(q, F32), e2m1, overflow="saturate") for q in quotients]
    if flavour == "modelopt":
        codes = [code if q & 0x7FFFFFFF else 0 for code, q in zip(codes, quotients, strict=True)]
    return scale, codes


def stochastic_up(dropped: Fraction, random: int, bits: int, rule: str) -> bool:
    """Tell whether a magnitude with this dropped fraction (of an ulp) goes up; rules as in `chipmeter.formats.stochastic`.

    >>> [stochastic_up(Fraction(1, 2), r, 1, "truncated") for r in (0, 1)]
    [False, True]
    """
    scaled = dropped * (1 << bits)
    if rule == "midpoint":
        return int(scaled * 2) + 2 * random + 1 >= 1 << bits + 1
    whole = int(scaled)
    if rule != "truncated":
        rest = scaled - whole
        odd = whole % 2 == 1
        whole += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and odd == (rule == "nearest-even"))
    return whole + random >= 1 << bits


def _whole(code: int) -> int:
    return _nearest(fraction_of(decode(code, F32)))


def _nearest(number: Fraction) -> int:
    quotient = round_quotient(abs(number.numerator), number.denominator, "nearest-even")
    return -quotient if number < 0 else quotient
