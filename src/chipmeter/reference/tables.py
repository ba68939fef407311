"""Formats that are no floating point: two's complement integers, and tables of numbers such as nf4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from chipmeter._names import unknown_name
from chipmeter.reference.layouts import F32
from chipmeter.reference.numbers import Value, decode, encode, fraction_of, ratio_of
from chipmeter.reference.rounding import Rounding, round_quotient


@dataclass(frozen=True)
class IntegerLayout:
    """An integer format: two's complement if signed.

    >>> IntegerLayout(4, True).smallest, IntegerLayout(4, False).largest
    (-8, 15)
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if self.bits < 1 + self.signed:
            raise ValueError(f"an integer needs a bit besides its sign, got {self}")

    @property
    def smallest(self) -> int:
        """Smallest value."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def largest(self) -> int:
        """Largest value."""
        return (1 << self.bits - self.signed) - 1

    def clamp(self, value: int) -> int:
        """Return the nearest integer of this format."""
        return max(self.smallest, min(self.largest, value))


INTEGERS: dict[str, IntegerLayout] = {f"{k}{n}": IntegerLayout(n, k == "s") for n in (8, 4, 2) for k in "su"}
"""Integer operands by their PTX names: s8, u8, s4, u4, s2, u2."""

NF4_CODES: tuple[int, ...] = (
    0xBF800000, 0xBF3239B1, 0xBF066B30, 0xBECA32A0, 0xBE91A24D, 0xBE3D353F, 0xBDBA7871, 0x00000000,
    0x3DA2FAFF, 0x3E24CAE3, 0x3E7C04DD, 0x3EAD033A, 0x3EE1A4B8, 0x3F1007AB, 0x3F3913B3, 0x3F800000,
)  # fmt: skip
"""The sixteen float32 codes of nf4: quantiles of a normal distribution scaled to [-1, 1] with an exact zero (Dettmers
et al., QLoRA, arXiv:2305.14314), with the digits that bitsandbytes uses."""


def integer_layout_of(name: str | IntegerLayout) -> IntegerLayout:
    """Look an integer format up by name; an `IntegerLayout` is returned as it is."""
    if isinstance(name, IntegerLayout):
        return name
    if name not in INTEGERS:
        raise unknown_name("integer type", name, INTEGERS)
    return INTEGERS[name]


def decode_integer(code: int, layout: IntegerLayout) -> int:
    """Read a code.

    >>> decode_integer(0xFF, IntegerLayout(8, True))
    -1
    """
    if not 0 <= code < 1 << layout.bits:
        raise ValueError(f"a code of this format lies in [0, 2^{layout.bits}), got {code}")
    return code - (1 << layout.bits) if layout.signed and code >> layout.bits - 1 else code


def encode_integer(
    value: Value | Fraction | int,
    layout: IntegerLayout,
    rounding: Rounding = "nearest-even",
    *,
    random: int = 0,
    random_bits: int = 0,
) -> int:
    """Round to an integer, then saturate; infinities saturate and NaN becomes 0.

    Returns
    -------
    int
        The code: two's complement in `layout.bits` bits.

    Examples
    --------
    >>> [encode_integer(Fraction(n, 2), IntegerLayout(8, True)) for n in (1, 3, -255)]
    [0, 2, 128]
    """
    if isinstance(value, Value) and value.kind != "finite":
        limit = layout.smallest if value.negative else layout.largest
        return 0 if value.kind == "nan" else limit % (1 << layout.bits)
    negative, numerator, denominator = ratio_of(value)
    size = round_quotient(numerator, denominator, rounding, negative=negative, random=random, random_bits=random_bits)
    return layout.clamp(-size if negative else size) % (1 << layout.bits)


def encode_table(value: Value | Fraction | int, table: Sequence[int] = NF4_CODES) -> int:
    """Find the code of the nearest entry of an ascending table; a tie goes to the lower code.

    The code is the number of midpoints between neighbours that lie below the value. Midpoints are float32 numbers,
    rounded to nearest even, as in bitsandbytes. NaN lies above no midpoint and becomes code 0.

    Parameters
    ----------
    value : Value, Fraction or int
    table : sequence of int
        float32 codes in ascending order.

    Examples
    --------
    >>> [encode_table(Fraction(n, 10)) for n in (-20, 0, 10)]
    [0, 7, 15]
    """
    if isinstance(value, Value) and value.kind != "finite":
        return 0 if value.kind == "nan" or value.negative else len(table) - 1
    number = fraction_of(value) if isinstance(value, Value) else Fraction(value)
    entries = [fraction_of(decode(code, F32)) for code in table]
    middles = [encode((low + high) / 2, F32) for low, high in pairwise(entries)]
    return sum(fraction_of(decode(middle, F32)) < number for middle in middles)
