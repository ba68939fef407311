"""Number formats as plain frozen records, and the table of those the field uses.

Sources: IEEE 754-2019; OCP 8-bit floating point (OFP8) v1.0; OCP Microscaling (MX) v1.0; the ml_dtypes format list
(float8_e4m3, e3m4 and the fnuz family); PTX ISA for tf32 and ue4m3; QLoRA (arXiv 2305.14314) for nf4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from chipmeter._names import unknown_name

Nan = Literal["ieee", "all_ones", "negative_zero", "none"]


@dataclass(frozen=True)
class FloatFormat:
    """A floating-point format: sign, biased exponent field, fraction field, from high bits to low.

    Parameters
    ----------
    name : str
    exponent_bits : int
        1 to 8.
    mantissa_bits : int
        Fraction bits without the implicit one, 0 to 10.
    bias : int
        A normal number is (1 + fraction) * 2^(field - bias); field 0 is subnormal, fraction * 2^(1 - bias).
    nan : {"ieee", "all_ones", "negative_zero", "none"}
        Special values. "ieee": exponent all ones is infinity and NaN. "all_ones": only S.11...1 is NaN, no infinity.
        "negative_zero": the code of -0 is the only NaN (fnuz formats). "none": every code is a number.
    signed : bool
        Whether the top bit is a sign. Unsigned without fraction bits is a pure power of two (e8m0), which has no zero.
    padding : int
        Bits of the container below the fraction: 13 for tf32, ignored when read and written as 0.
    nan_payload : bool
        Whether a cast carries the top bits of a NaN's payload over (float16, in NumPy and torch).
    aliases : tuple of str
    dtype : str
        The NumPy or ml_dtypes dtype that holds the codes; "" picks the smallest unsigned integer.

    Raises
    ------
    ValueError
        If the fields contradict each other.

    Examples
    --------
    >>> FloatFormat("float8_e2m5", 2, 5, 1, nan="none").max
    7.875
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    nan: Nan = "ieee"
    signed: bool = True
    padding: int = 0
    nan_payload: bool = False
    aliases: tuple[str, ...] = ()
    dtype: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.exponent_bits <= 8 or not 0 <= self.mantissa_bits <= 10:
            raise ValueError(
                f"format {self.name!r}: exponent_bits must lie in 1..8 and mantissa_bits in 0..10, "
                f"got {self.exponent_bits} and {self.mantissa_bits}"
            )
        if not -64 <= self.bias <= 127:
            raise ValueError(f"format {self.name!r}: bias must lie in -64..127, got {self.bias}")
        if self.nan not in ("ieee", "all_ones", "negative_zero", "none"):
            raise ValueError(
                f"format {self.name!r}: nan must be ieee, all_ones, negative_zero or none, got {self.nan!r}"
            )
        if self.nan == "ieee" and (self.mantissa_bits == 0 or self.exponent_bits < 2):
            raise ValueError(f"format {self.name!r}: infinity and NaN need a fraction bit and two exponent bits")
        if self.nan == "negative_zero" and not self.signed:
            raise ValueError(f"format {self.name!r}: an unsigned format has no -0 to be its NaN")
        if self.powers_only and (self.exponent_bits, self.bias, self.nan) != (8, 127, "all_ones"):
            raise ValueError(f"format {self.name!r}: the only format of bare powers of two is e8m0")
        if self.exponent_bits + self.mantissa_bits == 1 and self.nan == "all_ones":
            raise ValueError(f"format {self.name!r}: no code is left for a number")
        top = (self.max_code >> self.mantissa_bits) - self.bias
        if top > 127 or self.min_exponent - self.mantissa_bits < -149:
            raise ValueError(
                f"format {self.name!r}: values must fit float32, but exponents span "
                f"{self.min_exponent - self.mantissa_bits}..{top}"
            )

    @property
    def bits(self) -> int:
        """Width of a code, container padding included."""
        return self.signed + self.exponent_bits + self.mantissa_bits + self.padding

    @property
    def magnitude_bits(self) -> int:
        """Width of exponent and fraction together."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def powers_only(self) -> bool:
        """Whether every code is a power of two: no sign, no zero, no subnormals."""
        return not self.signed and self.mantissa_bits == 0

    @property
    def infinity(self) -> bool:
        """Whether the format has infinities."""
        return self.nan == "ieee"

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number; subnormals share it."""
        return 1 - self.bias

    @property
    def max_code(self) -> int:
        """Magnitude code of the largest finite number."""
        ones = (1 << self.magnitude_bits) - 1
        if self.nan == "ieee":
            return (ones >> self.mantissa_bits << self.mantissa_bits) - 1
        return ones - 1 if self.nan == "all_ones" else ones

    @property
    def max(self) -> float:
        """Largest finite value, exact."""
        return float(self.value(self.max_code))

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value: emax of the MX scale rules."""
        return math.frexp(self.max)[1] - 1

    @property
    def smallest(self) -> float:
        """Smallest positive value, exact."""
        return float(self.value(0 if self.powers_only else 1))

    def value(self, code: int) -> Fraction:
        """Return the exact number of a magnitude code that stands for one.

        >>> FORMATS["float8_e4m3fn"].value(0x7E)
        Fraction(448, 1)
        """
        if not 0 <= code <= self.max_code:
            raise ValueError(f"magnitude codes of {self.name} that are numbers lie in 0..{self.max_code}, got {code}")
        field, fraction = code >> self.mantissa_bits, code & ((1 << self.mantissa_bits) - 1)
        if self.powers_only:
            return Fraction(2) ** (field - self.bias)
        significand = fraction + (1 << self.mantissa_bits if field else 0)
        return significand * Fraction(2) ** (max(field, 1) - self.bias - self.mantissa_bits)


@dataclass(frozen=True)
class IntegerFormat:
    """A two's-complement or unsigned integer of 2 to 8 bits.

    >>> FORMATS["int4"].min, FORMATS["int4"].max
    (-8, 7)
    """

    name: str
    bits: int
    signed: bool
    dtype: str
    aliases: tuple[str, ...] = ()

    @property
    def min(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest value."""
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class TableFormat:
    """A format whose codes index a table of float32 values.

    `nf4` is QLoRA's table in full, `nf4_short` the same to four decimals (torchao), `fp4_bitsandbytes` that library's own
    4-bit float, whose codes do not ascend and whose code 8 is a second +0. Among the values in ascending order, a number becomes the code of the nearest value: the count of midpoints, rounded to float32, strictly below it, so a
    tie goes to the lower code (bitsandbytes `quantize_4bit`).
    """

    name: str
    bits: int
    values: tuple[float, ...]
    aliases: tuple[str, ...] = ()
    dtype: str = "uint8"


Format = FloatFormat | IntegerFormat | TableFormat

_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
_NF4_SHORT = (
    -1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626,
    0.7230, 1.0,
)  # fmt: skip
_FP4 = (0.0, 0.0052083333, 0.6666666667, 1.0, 0.3333333333, 0.5, 0.1666666667, 0.25)

_TABLE: tuple[Format, ...] = (
    FloatFormat("bfloat16", 8, 7, 127, aliases=("bf16",), dtype="bfloat16"),
    FloatFormat("float16", 5, 10, 15, nan_payload=True, aliases=("fp16", "f16", "half"), dtype="float16"),
    FloatFormat("tf32", 8, 10, 127, padding=13, aliases=("tfloat32", "tensorfloat32"), dtype="float32"),
    FloatFormat("float8_e4m3fn", 4, 3, 7, nan="all_ones", aliases=("e4m3fn", "fp8_e4m3", "fp8"), dtype="float8_e4m3fn"),
    FloatFormat("float8_e4m3", 4, 3, 7, aliases=("e4m3", "e4m3_ieee"), dtype="float8_e4m3"),
    FloatFormat("float8_e5m2", 5, 2, 15, aliases=("e5m2", "fp8_e5m2"), dtype="float8_e5m2"),
    FloatFormat("float8_e3m4", 3, 4, 3, aliases=("e3m4",), dtype="float8_e3m4"),
    FloatFormat("float8_e4m3fnuz", 4, 3, 8, nan="negative_zero", aliases=("e4m3fnuz",), dtype="float8_e4m3fnuz"),
    FloatFormat("float8_e5m2fnuz", 5, 2, 16, nan="negative_zero", aliases=("e5m2fnuz",), dtype="float8_e5m2fnuz"),
    FloatFormat(
        "float8_e4m3b11fnuz",
        4,
        3,
        11,
        nan="negative_zero",
        aliases=("e4m3b11fnuz", "e4m3b11"),
        dtype="float8_e4m3b11fnuz",
    ),
    FloatFormat("float6_e2m3fn", 2, 3, 1, nan="none", aliases=("e2m3", "e2m3fn", "fp6_e2m3"), dtype="float6_e2m3fn"),
    FloatFormat("float6_e3m2fn", 3, 2, 3, nan="none", aliases=("e3m2", "e3m2fn", "fp6_e3m2"), dtype="float6_e3m2fn"),
    FloatFormat(
        "float4_e2m1fn", 2, 1, 1, nan="none", aliases=("e2m1", "e2m1fn", "fp4", "fp4_e2m1"), dtype="float4_e2m1fn"
    ),
    FloatFormat(
        "float8_e8m0fnu",
        8,
        0,
        127,
        nan="all_ones",
        signed=False,
        aliases=("e8m0", "ue8m0", "e8m0fnu"),
        dtype="float8_e8m0fnu",
    ),
    FloatFormat("float8_ue4m3", 4, 3, 7, nan="all_ones", signed=False, aliases=("ue4m3",), dtype="uint8"),
    IntegerFormat("int8", 8, True, "int8"),
    IntegerFormat("uint8", 8, False, "uint8"),
    IntegerFormat("int4", 4, True, "int4"),
    IntegerFormat("uint4", 4, False, "uint4"),
    IntegerFormat("int2", 2, True, "int2"),
    TableFormat("nf4", 4, _NF4, aliases=("normalfloat4",)),
    TableFormat("nf4_short", 4, _NF4_SHORT),
    TableFormat("fp4_bitsandbytes", 4, (*_FP4, *(0.0 - v for v in _FP4))),
)

FORMATS: dict[str, Format] = {f.name: f for f in _TABLE}
"""Every named format by its name; aliases are resolved by `format_of`."""

_BY_NAME: dict[str, Format] = {name: f for f in _TABLE for name in (f.name, *f.aliases)}


def format_of(name: str | Format) -> Format:
    """Find a format by name or alias; a record, for instance one of your own, is returned as it is.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    TypeError
        If `name` is neither a string nor a format record.

    Examples
    --------
    >>> format_of("e4m3fn").name
    'float8_e4m3fn'
    >>> format_of("float8_e4m3fm")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown format 'float8_e4m3fm'; did you mean 'float8_e4m3fn' or 'float8_e4m3' or 'float8_ue4m3'?
    """
    if isinstance(name, (FloatFormat, IntegerFormat, TableFormat)):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a format is named by a string or given as a record, got {type(name).__name__}")
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise unknown_name("format", name, _BY_NAME)
    return found
