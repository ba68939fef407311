"""Dot products of plain IEEE operations in a stated order, and of integers.

The IEEE chain without product rounding is what FP64 and FP32 matrix instructions of NVIDIA and AMD compute (PTX ISA;
MMA-Sim 2.1.1). The others are policies for units whose internal order is not published, AWS NeuronCore among them:
fp32 accumulation is documented there, the order and the rounding points inside a column are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from chipmeter._names import unknown_name
from chipmeter.reference.ieee import add, convert, exact_product, rounded_sum
from chipmeter.reference.layouts import F64, layout_of
from chipmeter.reference.numbers import Layout, Value, decode, encode, nan_code
from chipmeter.reference.rounding import Rounding
from chipmeter.reference.tables import IntegerLayout, decode_integer, integer_layout_of
from chipmeter.reference.terms import blocks, check_lengths

IntegerOverflow = Literal["wrap", "clamp"]
BinaryOperation = Literal["xor", "and"]

_S32 = IntegerLayout(32, True)


def sequential_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    accumulator: str | Layout = "f32",
    *,
    product_rounding: bool = False,
    rounding: Rounding = "nearest-even",
) -> int:
    """Compute c + sum(a * b) one product at a time, in order of k, model "FMA".

    Each step is acc = round(acc + a * b), the product exact (a fused multiply-add); with `product_rounding`,
    acc = round(acc + round(a * b)). Rounding is to nearest even in the accumulator's layout (of a fused chain also
    "toward-zero", "down" or "up"), with subnormals and signed zeros as IEEE has them. NaN is written as the quiet NaN without sign or payload.

    Examples
    --------
    The 2^-24 that lies below 1 is rounded away each time it comes:

    >>> hex(sequential_dot([0x3F800000, 0x33800000, 0x33800000], [0x3F800000] * 3, 0, "f32", "f32"))
    '0x3f800000'
    """
    layout = layout_of(accumulator)
    c = _canonical(c, layout)
    for product in _products(a, b, a_type, b_type):
        if product_rounding:
            c = add(c, _rounded(product, layout), layout)
        else:
            c = rounded_sum(product, decode(c, layout), layout, rounding)
    return c


def pairwise_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    accumulator: str | Layout = "f32",
) -> int:
    """Compute c + sum(a * b) by a binary tree of rounded sums over rounded products.

    Neighbours are added level by level, (p0 + p1) + (p2 + p3) and so on; the last of an odd number goes up unchanged.
    c is added to the root. Without products the result is c.

    Examples
    --------
    The two small products meet each other before they meet 1:

    >>> hex(pairwise_dot([0x3F800000, 0, 0x33800000, 0x33800000], [0x3F800000] * 4, 0, "f32", "f32"))
    '0x3f800001'
    """
    layout = layout_of(accumulator)
    level = [_rounded(product, layout) for product in _products(a, b, a_type, b_type)]
    while len(level) > 1:
        odd_one = level[-1:] if len(level) % 2 else []
        level = [add(left, right, layout) for left, right in zip(level[::2], level[1::2], strict=False)] + odd_one
    return add(c, level[0], layout) if level else _canonical(c, layout)


def wide_sequential_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    accumulator: str | Layout = "f32",
    *,
    wide: str | Layout = F64,
) -> int:
    """Compute c + sum(a * b) by a fused chain in a wider layout, then round once to the accumulator's.

    The chain starts from c and adds exact products in order of k, rounding each sum in `wide`.

    Examples
    --------
    >>> hex(wide_sequential_dot([0x3F800000, 0x33800000, 0x33800000], [0x3F800000] * 3, 0, "f32", "f32"))
    '0x3f800001'
    """
    narrow, broad = layout_of(accumulator), layout_of(wide)
    total = sequential_dot(a, b, convert(c, narrow, broad), a_type, b_type, broad)
    return convert(total, broad, narrow)


def integer_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | IntegerLayout = "s8",
    b_type: str | IntegerLayout = "s8",
    *,
    lanes: int,
    overflow: IntegerOverflow = "wrap",
) -> int:
    """Compute c + sum(a * b) in a 32-bit integer accumulator.

    Products are exact. After every `lanes` products the exact sum is brought back into 32 bits: "wrap" modulo 2^32,
    "clamp" to [-2^31, 2^31 - 1] (PTX .satfinite). That a clamping unit clamps once per instruction, which `lanes`
    expresses, is a reading of PTX and not observed; wrapping does not depend on it.

    Parameters
    ----------
    a, b : sequence of int
        Two's complement codes of the operand types.
    c : int
        Two's complement code of the accumulator, 0 <= c < 2^32.
    a_type, b_type : {"s8", "u8", "s4", "u4", "s2", "u2"} or IntegerLayout
        Signedness may be mixed.
    lanes : int
        Products per instruction.
    overflow : {"wrap", "clamp"}

    Examples
    --------
    >>> [hex(integer_dot([1], [1], 0x7FFFFFFF, lanes=32, overflow=policy)) for policy in ("wrap", "clamp")]
    ['0x80000000', '0x7fffffff']
    """
    check_lengths(a, b)
    if overflow not in get_args(IntegerOverflow):
        raise unknown_name("integer overflow", overflow, get_args(IntegerOverflow))
    ia, ib = integer_layout_of(a_type), integer_layout_of(b_type)
    total = decode_integer(c, _S32)
    for block in blocks(len(a), lanes):
        total += sum(decode_integer(x, ia) * decode_integer(y, ib) for x, y in zip(a[block], b[block], strict=True))
        total = decode_integer(total % 2**32, _S32) if overflow == "wrap" else _S32.clamp(total)
    return total % 2**32


def binary_dot(a: Sequence[int], b: Sequence[int], c: int, operation: BinaryOperation) -> int:
    """Count into a 32-bit accumulator that wraps: the places where the bits differ, or where both are set.

    PTX has no clamping form, so the depth of an instruction does not matter.

    Parameters
    ----------
    a, b : sequence of int
        Bits, 0 or 1.
    c : int
        Two's complement code of the accumulator, 0 <= c < 2^32.
    operation : {"xor", "and"}

    Examples
    --------
    >>> binary_dot([0, 0, 1, 1], [0, 1, 0, 1], 5, "xor"), binary_dot([0, 0, 1, 1], [0, 1, 0, 1], 2**32 - 1, "and")
    (7, 0)
    """
    check_lengths(a, b)
    if operation not in get_args(BinaryOperation):
        raise unknown_name("binary operation", operation, get_args(BinaryOperation))
    if not set(a) | set(b) <= {0, 1}:
        raise ValueError("binary operands hold 0 and 1")
    return (c + sum(x != y if operation == "xor" else x and y for x, y in zip(a, b, strict=True))) % 2**32


def _products(a: Sequence[int], b: Sequence[int], a_type: str | Layout, b_type: str | Layout) -> list[Value]:
    """Multiply two vectors of codes element by element, exactly."""
    check_lengths(a, b)
    la, lb = layout_of(a_type), layout_of(b_type)
    return [exact_product(decode(x, la), decode(y, lb)) for x, y in zip(a, b, strict=True)]


def _rounded(product: Value, layout: Layout) -> int:
    """Round a product to a code, NaN becoming the canonical one."""
    return nan_code(layout, False) if product.kind == "nan" else encode(product, layout)


def _canonical(code: int, layout: Layout) -> int:
    """Return the code, or the canonical NaN in place of any other."""
    return convert(code, layout, layout)
