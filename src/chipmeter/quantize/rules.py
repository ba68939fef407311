"""Scale rules on arrays of amax, and the float32 logarithm that several libraries take exponents from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter.formats.records import FloatFormat, IntegerFormat

Floats = NDArray[np.float32]


def float32_log2(x: Floats) -> Floats:
    """Return log2 rounded to float32.

    Near an integer far from zero the rounding reaches it: 44 of the 2^23 fractions of the binade of 2^64 get the
    exponent above. Libraries that floor or ceil this logarithm inherit that.

    >>> float32_log2(np.float32([8, np.nextafter(np.float32(2), np.float32(0)) * 2.0**64]))
    array([ 3., 65.], dtype=float32)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log2(np.asarray(x, np.float32).astype(np.float64)).astype(np.float32)


def scale_bytes(amax: Floats, element: FloatFormat | IntegerFormat, rule: str) -> NDArray[np.uint8]:
    """Choose E8M0 scales by integer arithmetic on the bits of amax (non-negative, or NaN).

    See `chipmeter.quantize.recipes.ScaleRule`; NaN and infinity give 255, and so does "even" where it rounds amax up
    to infinity.

    >>> from chipmeter.formats import FORMATS
    >>> scale_bytes(np.float32([448, 449]), FORMATS["float8_e4m3fn"], "round-up")
    array([127, 128], dtype=uint8)
    """
    bits = np.asarray(amax, np.float32).view(np.uint32)
    exponent, fraction = (bits >> 23).astype(np.int64), bits & 0x7FFFFF
    up = (fraction >= carry_from(element, rule)) & (bits != 0)
    byte = np.clip(exponent - largest_exponent(element) + up, 0, 254)
    lost = (exponent == 255) | ((rule == "even") & up & (exponent == 254))
    return np.where(lost, 255, byte).astype(np.uint8)


def largest_exponent(element: FloatFormat | IntegerFormat) -> int:
    """Exponent of the largest element; 0 for integers, which have all bits but two after the point.

    >>> from chipmeter.formats import FORMATS
    >>> largest_exponent(FORMATS["float8_e4m3fn"])
    8
    """
    return 0 if isinstance(element, IntegerFormat) else element.max_exponent


def carry_from(element: FloatFormat | IntegerFormat, rule: str) -> int:
    """Least 23-bit fraction of amax at which the scale is one power of two higher; 2^23: at none.

    >>> from chipmeter.formats import FORMATS
    >>> hex(carry_from(FORMATS["float8_e4m3fn"], "round-up"))
    '0x600001'
    """
    if isinstance(element, IntegerFormat):
        mantissa, top = element.bits - 2, ((1 << element.bits - 2) - 1) << 25 - element.bits
    else:
        mantissa, top = element.mantissa_bits, int(np.float32(element.max).view(np.uint32)) & 0x7FFFFF
    return {"floor": 1 << 23, "ceil": 1, "even": (1 << 23) - (1 << 22 - mantissa), "round-up": top + 1,
            "three-quarters": 0x600000, "headroom": 0}[rule]  # fmt: skip


def powers(byte: NDArray[np.uint8]) -> Floats:
    """Return 2^(byte - 127), NaN for 255.

    >>> [float(p).hex() for p in powers(np.uint8([0, 127, 254]))]
    ['0x1.0000000000000p-127', '0x1.0000000000000p+0', '0x1.0000000000000p+127']
    """
    wide = byte.astype(np.uint32)
    return (
        np.where(wide == 0, 0x400000, np.where(wide == 255, 0x7FC00000, wide << 23)).astype(np.uint32).view(np.float32)
    )


def power_of_two_up(x: Floats) -> Floats:
    """Round non-negative float32 up to a power of two between 2^-126 and 2^127 (DeepGEMM `ceil_to_ue8m0`).

    >>> power_of_two_up(np.float32([0, 0.75, 1]))
    array([1.1754944e-38, 1.0000000e+00, 1.0000000e+00], dtype=float32)
    """
    bits = np.abs(np.asarray(x, np.float32)).view(np.uint32)
    exponent = np.clip((bits >> 23).astype(np.int64) + ((bits & 0x7FFFFF) > 0), 1, 254)
    return (exponent.astype(np.uint32) << 23).view(np.float32)
