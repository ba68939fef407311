"""What every matrix-unit model shares: exact terms, the rules for NaN and infinity, alignment, output conversion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chipmeter._names import unknown_name
from chipmeter.reference.ieee import exact_product
from chipmeter.reference.layouts import F16, F32
from chipmeter.reference.numbers import Layout, Value, decode
from chipmeter.reference.rounding import Rounding, round_quotient


@dataclass(frozen=True)
class Conversion:
    """How a unit turns its exact sum into a code: keep `mantissa_bits` fraction bits of `layout`, round, write.

    Beyond the largest number comes infinity, also when rounding toward zero: that word is about the significand only.
    A sum of 0 is +0. `signed_underflow` says whether a sum that is not 0 but rounds to it keeps its sign. `nan` is the
    one NaN that is ever written.
    """

    layout: Layout
    mantissa_bits: int
    rounding: Rounding
    nan: int
    signed_underflow: bool = False


CONVERSIONS: dict[str, Conversion] = {
    "RZ-FP32": Conversion(F32, 23, "toward-zero", 0x7FFFFFFF),
    "RZ-E8M13": Conversion(F32, 13, "toward-zero", 0x7FFFFFFF),
    "RNE-FP16": Conversion(F16, 10, "nearest-even", 0x7FFF),
    "RNE-FP32": Conversion(F32, 23, "nearest-even", 0x7FC00000, signed_underflow=True),
}
"""NVIDIA's three, observed on V100 to B200 (MMA-Sim 2.1.1; Khattak and Mikaitis, arXiv:2512.07004; RTX 4060 recordings
of mmaemu 0.1.0 for +0 and the NaN), and AMD's (MMA-Sim 2.1.1; its NaN bits are a choice, no device output is public)."""


def conversion_of(name: str | Conversion) -> Conversion:
    """Look a conversion up by name; a `Conversion`, for instance one of your own, is returned as it is."""
    if isinstance(name, Conversion):
        return name
    if name not in CONVERSIONS:
        raise unknown_name("output conversion", name, CONVERSIONS)
    return CONVERSIONS[name]


@dataclass(frozen=True)
class Term:
    """An exact, un-normalised number: signed significand * 2^(lead - fraction_bits), as matrix units align them.

    `lead` is the sum of the exponents of the factors, so a significand of several factors may exceed 2.
    """

    significand: int
    lead: int
    fraction_bits: int

    @property
    def exponent(self) -> int:
        """Weight of the significand's last bit, as a power of two."""
        return self.lead - self.fraction_bits


def term_of(value: Value, layout: Layout) -> Term:
    """Write a finite value of a layout as a term; a zero or subnormal has the exponent of the smallest normal number."""
    significand = -value.significand if value.negative else value.significand
    return Term(significand, value.exponent + layout.mantissa_bits, layout.mantissa_bits)


def product_of(*factors: Term) -> Term:
    """Multiply terms exactly without normalising.

    >>> product_of(Term(3, 0, 1), Term(3, 0, 1))  # 1.5 * 1.5: 2.25 at exponent 0
    Term(significand=9, lead=0, fraction_bits=2)
    """
    significand = 1
    for factor in factors:
        significand *= factor.significand
    return Term(significand, sum(f.lead for f in factors), sum(f.fraction_bits for f in factors))


def truncate_to(significand: int, exponent: int, last: int) -> int:
    """Express significand * 2^exponent in units of 2^last, dropping the bits below toward zero.

    >>> truncate_to(-5, 0, 1), truncate_to(-5, 0, -1)
    (-2, -10)
    """
    magnitude = abs(significand) << exponent - last if exponent >= last else abs(significand) >> last - exponent
    return -magnitude if significand < 0 else magnitude


def floor_to(significand: int, exponent: int, last: int) -> int:
    """Express significand * 2^exponent in units of 2^last, dropping the bits below toward minus infinity.

    >>> floor_to(-5, 0, 1), floor_to(5, 0, 1)
    (-3, 2)
    """
    return significand << exponent - last if exponent >= last else significand >> last - exponent


def special_of(pairs: Sequence[tuple[Value, Value]], others: Sequence[Value]) -> Value | None:
    """Decide a step that holds a NaN or an infinity; None if every term is finite.

    Any NaN among operands, accumulator and scales gives NaN, so does infinity times zero, and so do infinities of both
    signs among products and accumulator; otherwise an infinity is the result. (Matrix units of NVIDIA: MMA-Sim 2.1.1,
    for FP8 confirmed on an RTX 4060; AMD units: IEEE rules on the exact sum.)
    """
    terms = [exact_product(x, y) for x, y in pairs] + list(others)
    if any(term.kind == "nan" for term in terms):
        return Value("nan")
    signs = {term.negative for term in terms if term.kind == "inf"}
    if len(signs) == 2:
        return Value("nan")
    return Value("inf", signs.pop()) if signs else None


def write_special(value: Value, conversion: Conversion) -> int:
    """Write an infinity, or the conversion's one NaN."""
    if value.kind == "nan":
        return conversion.nan
    return conversion.layout.code(conversion.layout.largest + 1, value.negative)


def write_sum(significand: int, exponent: int, conversion: Conversion) -> int:
    """Convert the exact sum significand * 2^exponent to a code (rules in `Conversion`).

    >>> hex(write_sum(2**25 - 1, -25, CONVERSIONS["RZ-FP32"])), hex(write_sum(1, 128, CONVERSIONS["RZ-FP32"]))
    ('0x3f7fffff', '0x7f800000')
    """
    if significand == 0:
        return 0
    layout, bits = conversion.layout, conversion.mantissa_bits
    negative, size = significand < 0, abs(significand)
    lead = max(exponent + size.bit_length() - 1, layout.emin)
    drop = lead - bits - exponent
    kept = round_quotient(size << max(-drop, 0), 1 << max(drop, 0), conversion.rounding, negative=negative)
    magnitude = kept + (lead - layout.emin << bits) << layout.mantissa_bits - bits
    if magnitude > layout.largest:
        return write_special(Value("inf", negative), conversion)
    return layout.code(magnitude, negative and (magnitude > 0 or conversion.signed_underflow))


def decoded(codes: Sequence[int], layout: Layout) -> list[Value]:
    """Decode every code of a vector."""
    return [decode(code, layout) for code in codes]


def blocks(length: int, size: int) -> Iterator[slice]:
    """Cut `length` into consecutive blocks of `size`, the last one possibly shorter."""
    if size < 1:
        raise ValueError(f"a block holds at least one product, got {size}")
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def check_lengths(a: Sequence[int], b: Sequence[int]) -> None:
    """Refuse vectors of different length."""
    if len(a) != len(b):
        raise ValueError(f"a and b must have the same length, got {len(a)} and {len(b)}")
