"""Number formats by their definition: what a bit pattern means, and which bit pattern a number becomes.

Everything here is exact: a code is an `int`, a number is an integer significand times a power of two or a `Fraction`,
and a rounding is the division of two integers. Nothing is fast and nothing is approximate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from chipmeter.reference.rounding import Rounding, floor_log2, round_quotient

Nan = Literal["ieee", "all_ones", "negative_zero", "none"]
Overflow = Literal["ofp8", "saturate", "torch"]
Negative = Literal["nan", "zero", "absolute"]


@dataclass(frozen=True)
class Layout:
    """A floating-point format as plain numbers: sign, biased exponent field, fraction field, from high bits to low.

    Parameters
    ----------
    bits : int
        Width of a code. It may exceed what the fields need: spare bits above them are ignored when decoding and
        written as 0 (ue4m3 in a byte).
    exponent_bits, mantissa_bits : int
        Width of the exponent field and of the fraction field.
    bias : int
        A normal number is (1 + fraction) * 2^(field - bias); field 0 is subnormal: fraction * 2^(1 - bias).
    infinity : bool
        Whether there is an infinity. Only formats with ``nan="ieee"`` have one.
    nan : {"ieee", "all_ones", "negative_zero", "none"}
        Which codes are NaN. "ieee": exponent all ones and fraction not 0. "all_ones": only S.11...1.
        "negative_zero": only 100...0 (the fnuz formats). "none": no code.
    signed : bool
        Whether the top field is a sign. An unsigned layout without fraction bits is a pure power of two, which has no
        zero and no subnormals: code c is 2^(c - bias) (OCP E8M0).
    negative_zero : bool
        Whether code 100...0 is -0.
    padding : int
        Bits below the fraction that a container adds: ignored when decoding, written as 0 (tf32 in 32 bits has 13).

    Raises
    ------
    ValueError
        If the fields contradict each other.

    Examples
    --------
    >>> e2m1 = Layout(4, 2, 1, 1, infinity=False, nan="none", signed=True, negative_zero=True)
    >>> [str(fraction_of(decode(code, e2m1))) for code in range(8)]
    ['0', '1/2', '1', '3/2', '2', '3', '4', '6']
    """

    bits: int
    exponent_bits: int
    mantissa_bits: int
    bias: int
    infinity: bool
    nan: Nan
    signed: bool
    negative_zero: bool
    padding: int = 0

    def __post_init__(self) -> None:
        used = self.signed + self.exponent_bits + self.mantissa_bits + self.padding
        if self.exponent_bits < 1 or self.mantissa_bits < 0 or self.padding < 0 or used > self.bits:
            raise ValueError(f"fields of {used} bits do not fit the layout {self}")
        if self.nan not in get_args(Nan):
            raise ValueError(f"nan must be one of {', '.join(get_args(Nan))}, got {self.nan!r}")
        if self.infinity != (self.nan == "ieee"):
            raise ValueError(f"a format has an infinity exactly when nan is 'ieee', got {self}")
        if self.negative_zero != (self.signed and self.nan != "negative_zero"):
            raise ValueError(
                f"a signed format has -0 exactly when that code is not its NaN, an unsigned one never: {self}"
            )
        if self.nan == "ieee" and self.mantissa_bits == 0:
            raise ValueError(f"infinity and NaN need at least one fraction bit to differ: {self}")
        if self.nan == "negative_zero" and not self.signed:
            raise ValueError(f"an unsigned format has no code for -0 to be its NaN: {self}")

    @property
    def magnitude_bits(self) -> int:
        """Width of exponent and fraction together: the part of a code below the sign."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def powers_only(self) -> bool:
        """Whether this is a pure power of two (E8M0): no zero and no subnormals."""
        return not self.signed and self.mantissa_bits == 0

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal number, which is also that of every subnormal and of zero."""
        return -self.bias if self.powers_only else 1 - self.bias

    @property
    def largest(self) -> int:
        """Magnitude code of the largest finite number."""
        ones = (1 << self.magnitude_bits) - 1
        if self.nan == "ieee":
            return (ones >> self.mantissa_bits << self.mantissa_bits) - 1
        return ones - 1 if self.nan == "all_ones" else ones

    def code(self, magnitude: int, negative: bool) -> int:
        """Join a magnitude part and a sign to the code in its container."""
        return ((negative and self.signed) << self.magnitude_bits | magnitude) << self.padding


@dataclass(frozen=True)
class Value:
    """What a code means: (-1)^negative * significand * 2^exponent, or an infinity, or NaN.

    The significand is that of the code, never renormalised: the aligning matrix units depend on it. Zero is a finite
    value of significand 0 and keeps its sign.
    """

    kind: Literal["finite", "inf", "nan"]
    negative: bool = False
    significand: int = 0
    exponent: int = 0


def fraction_of(value: Value) -> Fraction:
    """Return the exact number that a finite value stands for (both zeros give 0).

    >>> fraction_of(Value("finite", True, 3, -1))
    Fraction(-3, 2)
    """
    if value.kind != "finite":
        raise ValueError(f"only a finite value is a number, got {value}")
    magnitude = value.significand * Fraction(2) ** value.exponent
    return -magnitude if value.negative else magnitude


def decode(code: int, layout: Layout) -> Value:
    """Say what a code means.

    Parameters
    ----------
    code : int
        Bit pattern, 0 <= code < 2^bits.
    layout : Layout

    Returns
    -------
    Value
        Normal numbers carry 2^mantissa_bits + fraction, subnormals the bare fraction at the exponent of the smallest
        normal number (OCP OFP8 and MX v1.0; IEEE 754 section 3.4).

    Raises
    ------
    ValueError
        If the code has more bits than the layout.
    """
    if not 0 <= code < 1 << layout.bits:
        raise ValueError(f"a code of this format lies in [0, 2^{layout.bits}), got {code}")
    code = code >> layout.padding
    magnitude = code & (1 << layout.magnitude_bits) - 1
    negative = layout.signed and bool(code >> layout.magnitude_bits & 1)
    if magnitude > layout.largest:
        infinite = layout.nan == "ieee" and magnitude == layout.largest + 1
        return Value("inf" if infinite else "nan", negative)
    if layout.nan == "negative_zero" and negative and magnitude == 0:
        return Value("nan")
    field, fraction = magnitude >> layout.mantissa_bits, magnitude & (1 << layout.mantissa_bits) - 1
    if layout.powers_only:
        return Value("finite", False, 1, field - layout.bias)
    if field == 0:
        return Value("finite", negative, fraction, layout.emin - layout.mantissa_bits)
    significand = fraction | 1 << layout.mantissa_bits
    return Value("finite", negative, significand, field - layout.bias - layout.mantissa_bits)


def ratio_of(value: Value | Fraction | int) -> tuple[bool, int, int]:
    """Split a finite number into sign, numerator and denominator (not necessarily in lowest terms) of a finite number; -0 keeps its sign.

    >>> ratio_of(Value("finite", True, 6, -2))
    (True, 6, 4)
    """
    if not isinstance(value, Value):
        return value < 0, abs(value.numerator), value.denominator
    return value.negative, value.significand << max(value.exponent, 0), 1 << max(-value.exponent, 0)


def encode(
    value: Value | Fraction | int,
    layout: Layout,
    rounding: Rounding = "nearest-even",
    overflow: Overflow = "ofp8",
    negative: Negative = "nan",
    *,
    random: int = 0,
    random_bits: int = 0,
) -> int:
    """Find the code that a number becomes: round first, then ask whether it overflowed.

    With E = max(floor(log2 |x|), emin) and the significand |x| * 2^(mantissa_bits - E) rounded to an integer q, the
    magnitude code is q + ((E - emin) << mantissa_bits): a carry out of the fraction needs no special case.

    Parameters
    ----------
    value : Value, Fraction or int
        The exact number, an infinity or NaN.
    layout : Layout
    rounding : str
        See `round_quotient`. "nearest-even-code" differs from "nearest-even" only in an unsigned format without
        fraction bits (E8M0), where the significand is always 1: there "nearest-even" sends every tie up and, below the second smallest code,
        everything above the smallest (ml_dtypes and torch casts to e8m0), "nearest-even-code" is nearest with ties to
        the even code (gfloat).
    overflow : {"ofp8", "saturate", "torch"}
        What follows when the rounded magnitude exceeds the largest finite one. "ofp8" (OCP OFP8 without saturation, as
        ml_dtypes casts): infinity if the format has one, else NaN, else the largest; a rounding that takes this sign
        toward zero, or to odd, gives the largest for finite numbers. "saturate": the largest, also for infinities.
        "torch" (torch 2.13 on CPU): as "ofp8", but formats whose NaN is all ones saturate, also for infinities.
    negative : {"nan", "zero", "absolute"}
        What an unsigned format makes of a negative number: its NaN, its smallest code, or the magnitude (torch).
    random, random_bits : int
        For "stochastic".

    Returns
    -------
    int
        The code. NaN becomes the format's quiet NaN of the same sign. A format without NaN gives -0 for +NaN and +0
        for -NaN (ml_dtypes). In 8-bit formats "torch" and "saturate" (PTX cvt.satfinite) write all ones below the sign;
        torch writes all ones for bfloat16. Zero
        becomes the NaN of a format without zero (code 0 when saturating or under "torch").

    Examples
    --------
    >>> e4m3 = Layout(8, 4, 3, 7, infinity=False, nan="all_ones", signed=True, negative_zero=True)
    >>> hex(encode(Fraction(464), e4m3)), hex(encode(Fraction(465), e4m3)), hex(encode(465, e4m3, overflow="saturate"))
    ('0x7e', '0x7f', '0x7e')
    """
    if overflow not in get_args(Overflow):
        raise ValueError(f"overflow must be one of {', '.join(get_args(Overflow))}, got {overflow!r}")
    if negative not in get_args(Negative):
        raise ValueError(f"negative must be one of {', '.join(get_args(Negative))}, got {negative!r}")
    kind = value.kind if isinstance(value, Value) else "finite"
    sign, numerator, denominator = ratio_of(value)
    below_zero = sign and (kind != "finite" or numerator != 0)
    if kind == "nan" or (below_zero and not layout.signed and negative == "nan"):
        return nan_code(layout, sign, overflow)
    if below_zero and not layout.signed and negative == "zero":
        return 0
    if kind == "inf":
        return overflow_code(layout, sign, overflow)
    if numerator == 0 and layout.powers_only:
        return nan_code(layout, sign, overflow) if overflow == "ofp8" else 0
    magnitude = magnitude_code(numerator, denominator, layout, rounding, sign, random, random_bits)
    if magnitude > layout.largest:
        truncating = rounding in ("toward-zero", "odd", "up" if sign else "down")
        return layout.code(layout.largest, sign) if truncating else overflow_code(layout, sign, overflow)
    return layout.code(magnitude, sign and (layout.negative_zero or magnitude > 0))


def magnitude_code(
    numerator: int,
    denominator: int,
    layout: Layout,
    rounding: Rounding,
    negative: bool = False,
    random: int = 0,
    random_bits: int = 0,
) -> int:
    """Find the magnitude part of the code of numerator / denominator, as if exponents had no upper end (see `encode`)."""
    if numerator == 0:
        return 0
    exponent = floor_log2(numerator, denominator)
    if layout.powers_only and exponent < layout.emin:
        return 0
    if layout.powers_only and exponent == layout.emin and rounding == "nearest-even":
        return int(numerator << -layout.emin > denominator)
    exponent = max(exponent, layout.emin)
    shift = layout.mantissa_bits - exponent
    numerator, denominator = numerator << max(shift, 0), denominator << max(-shift, 0)
    start = (exponent - layout.emin << layout.mantissa_bits) - layout.powers_only
    odd = (start + numerator // denominator) % 2 == 1 if layout.powers_only else None
    return start + round_quotient(
        numerator, denominator, rounding, negative=negative, odd=odd, random=random, random_bits=random_bits
    )


def nan_code(layout: Layout, negative: bool, overflow: Overflow = "ofp8") -> int:
    """Choose the code written for NaN (the rule is in `encode`)."""
    if layout.nan == "negative_zero":
        return 1 << layout.magnitude_bits << layout.padding
    if layout.nan == "none":
        return layout.code(0, not negative)
    all_ones = (1 << layout.magnitude_bits) - 1
    if layout.nan == "all_ones" or (overflow != "ofp8" and layout.bits == 8):
        return layout.code(all_ones, negative)
    if overflow == "torch" and layout.exponent_bits == 8 and layout.bits == 16:
        return layout.code(all_ones, True)
    return layout.code(layout.largest + 1 | 1 << layout.mantissa_bits - 1, negative)


def overflow_code(layout: Layout, negative: bool, overflow: Overflow = "ofp8") -> int:
    """Choose the code of an infinity, and of a finite number that rounds beyond the largest (the rule is in `encode`)."""
    saturates = overflow == "saturate" or (overflow == "torch" and layout.nan == "all_ones" and layout.signed)
    if saturates or layout.nan == "none":
        return layout.code(layout.largest, negative)
    return layout.code(layout.largest + 1, negative) if layout.infinity else nan_code(layout, negative, overflow)
