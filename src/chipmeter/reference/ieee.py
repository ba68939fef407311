"""IEEE 754 operations on codes: the exact result, rounded once to nearest, ties to even (IEEE 754-2019 section 4.3.1).

Each function takes raw codes and a binary layout with infinity and NaN (`F32`, `F64`, `F16`, `BF16`), and returns one.
Subnormals are kept. NaN in, or an invalid operation, gives one canonical NaN: quiet, positive, no payload.
"""

from __future__ import annotations

from chipmeter.reference.numbers import Layout, Value, decode, encode, fraction_of, nan_code
from chipmeter.reference.rounding import Rounding


def convert(code: int, source: Layout, target: Layout) -> int:
    """Convert between layouts with one rounding to nearest even; NaN becomes the canonical NaN.

    >>> from chipmeter.reference.layouts import BF16, F32
    >>> hex(convert(0x3F808000, F32, BF16))
    '0x3f80'
    """
    value = decode(code, source)
    return nan_code(target, False) if value.kind == "nan" else encode(value, target)


def add(a: int, b: int, layout: Layout) -> int:
    """Add two codes: x + (-x) and (+0) + (-0) are +0, (-0) + (-0) is -0.

    >>> from chipmeter.reference.layouts import F32
    >>> hex(add(0x3F800000, 0x33800000, F32))
    '0x3f800000'
    """
    return rounded_sum(decode(a, layout), decode(b, layout), layout)


def multiply(a: int, b: int, layout: Layout) -> int:
    """Multiply two codes.

    >>> from chipmeter.reference.layouts import F32
    >>> hex(multiply(0x3FC00000, 0xBFC00000, F32))
    '0xc0100000'
    """
    product = exact_product(decode(a, layout), decode(b, layout))
    return nan_code(layout, False) if product.kind == "nan" else encode(product, layout)


def fused_multiply_add(a: int, b: int, c: int, layout: Layout) -> int:
    """Compute a * b + c with a single rounding.

    >>> from chipmeter.reference.layouts import F32
    >>> hex(fused_multiply_add(0x3F800001, 0x3F800001, 0xBF800002, F32))
    '0x28800000'
    """
    return rounded_sum(exact_product(decode(a, layout), decode(b, layout)), decode(c, layout), layout)


def divide(a: int, b: int, layout: Layout) -> int:
    """Divide a by b: x / 0 is an infinity; 0 / 0 and inf / inf are invalid.

    >>> from chipmeter.reference.layouts import F32
    >>> hex(divide(0x3F800000, 0x40400000, F32))
    '0x3eaaaaab'
    """
    x, y = decode(a, layout), decode(b, layout)
    negative = x.negative != y.negative
    y_zero = y.kind == "finite" and y.significand == 0
    x_zero = x.kind == "finite" and x.significand == 0
    if "nan" in (x.kind, y.kind) or (x.kind == y.kind == "inf") or (x_zero and y_zero):
        return nan_code(layout, False)
    if x.kind == "inf" or y_zero:
        return encode(Value("inf", negative), layout)
    if y.kind == "inf" or x_zero:
        return encode(Value("finite", negative), layout)
    return encode(fraction_of(x) / fraction_of(y), layout)


def exact_product(x: Value, y: Value) -> Value:
    """Multiply two values without rounding; infinity times zero is NaN."""
    if "nan" in (x.kind, y.kind):
        return Value("nan")
    negative = x.negative != y.negative
    if "inf" in (x.kind, y.kind):
        zero = any(v.kind == "finite" and v.significand == 0 for v in (x, y))
        return Value("nan") if zero else Value("inf", negative)
    return Value("finite", negative, x.significand * y.significand, x.exponent + y.exponent)


def rounded_sum(x: Value, y: Value, layout: Layout, rounding: Rounding = "nearest-even") -> int:
    """Add two values exactly and round once; opposite infinities are invalid, opposite numbers -0 when rounding down."""
    if "nan" in (x.kind, y.kind) or (x.kind == y.kind == "inf" and x.negative != y.negative):
        return nan_code(layout, False)
    if "inf" in (x.kind, y.kind):
        return encode(x if x.kind == "inf" else y, layout)
    exponent = min(x.exponent, y.exponent)
    total = _aligned(x, exponent) + _aligned(y, exponent)
    if total == 0:
        either = rounding == "down" and x.negative != y.negative
        return encode(Value("finite", either or (x.negative and y.negative)), layout)
    return encode(Value("finite", total < 0, abs(total), exponent), layout, rounding)


def _aligned(value: Value, exponent: int) -> int:
    """Write a finite value as a signed integer times 2^exponent, exponent being no larger than its own."""
    return (-value.significand if value.negative else value.significand) << value.exponent - exponent
