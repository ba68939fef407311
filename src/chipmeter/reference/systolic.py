"""Dot products of a systolic column under each unpublished order, one tile at a time, and tiles added in PSUM.

AWS and Google publish operand types, float32 accumulation and tiles; everything inside a column is a policy here, with
the names `chipmeter.matmul` gives them. One tile is summed from zero; tiles are then added to the accumulator in order,
each addition rounded to nearest even in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chipmeter.reference.chains import pairwise_dot, sequential_dot, wide_sequential_dot
from chipmeter.reference.fused import scaled_truncated_dot, truncated_dot
from chipmeter.reference.ieee import add, convert, exact_product, multiply
from chipmeter.reference.layouts import BF16, F32, LAYOUTS, layout_of
from chipmeter.reference.numbers import Layout, Value, decode, encode, nan_code

_NEGATIVE_ZERO = 1 << 31
_HIGH = 0xFFFFF000


def bf16_products_dot(a: Sequence[int], b: Sequence[int], a_type: str | Layout, b_type: str | Layout) -> int:
    """Add products rounded to float32, then to bfloat16, with k ascending, from +0.

    A third party (trnsci, 2026-04) claims this of Trainium; AWS's documentation contradicts it.

    >>> hex(bf16_products_dot([0x3F81], [0x3F81], "bf16", "bf16"))
    '0x3f820000'
    """
    total = 0
    for product in _rounded_products(a, b, a_type, b_type):
        total = add(total, convert(convert(product, F32, BF16), BF16, F32), F32)
    return total


def element_sums_dot(
    a: Sequence[int], b: Sequence[int], a_type: str | Layout, b_type: str | Layout, *, lanes: int
) -> int:
    """Add the rounded tree sum of `lanes` neighbouring products at a time, from +0.

    >>> hex(element_sums_dot([0x3F80] * 2, [0x3F80] * 2, "bf16", "bf16", lanes=2))
    '0x40000000'
    """
    total = 0
    for k in range(0, len(a), lanes):
        group = pairwise_dot(a[k : k + lanes], b[k : k + lanes], _NEGATIVE_ZERO, a_type, b_type)
        total = add(total, group, F32)
    return total


def group_scaled_dot(
    a: Sequence[int],
    b: Sequence[int],
    a_type: str | Layout,
    b_type: str | Layout,
    a_scales: Sequence[int],
    b_scales: Sequence[int],
    *,
    scale_type: str = "ue8m0",
    scale_block: int = 32,
) -> int:
    """Chain each block from +0, multiply by both scales with one rounding, add to the column's sum.

    >>> hex(group_scaled_dot([0x38], [0x38], "e4m3", "e4m3", [0x80], [0x7F]))
    '0x40000000'
    """
    total, scale = 0, LAYOUTS[scale_type]
    for at in range(0, len(a), scale_block):
        end = at + scale_block
        group = decode(sequential_dot(a[at:end], b[at:end], 0, a_type, b_type), F32)
        factors = [decode(s[at // scale_block], scale) for s in (a_scales, b_scales)]
        scaled = exact_product(exact_product(factors[0], factors[1]), group)
        total = add(total, nan_code(F32, False) if scaled.kind == "nan" else encode(scaled, F32), F32)
    return total


def cut(code: int) -> tuple[int, int]:
    """Cut a float32 code into 12 high bits and the exact rest; infinity and NaN are all high.

    >>> [hex(half) for half in cut(0x3F800FFF)]
    ['0x3f800000', '0x39fff000']
    """
    value = decode(code, F32)
    if value.kind != "finite":
        return code, 0
    high = decode(code & _HIGH, F32)
    rest = value.significand - high.significand
    return code & _HIGH, encode(Value("finite", value.negative and rest > 0, rest, value.exponent), F32)


def column_dot(
    a: Sequence[int],
    b: Sequence[int],
    a_type: str,
    b_type: str,
    order: str,
    *,
    lanes: int = 1,
    scales: tuple[Sequence[int], Sequence[int]] | None = None,
    scale_block: int = 32,
) -> list[int]:
    """Compute what one tile sends to PSUM: one float32 code per pass, in the order in which they are added.

    Orders are those of `chipmeter.matmul.Chain`. "truncated" is `truncated_dot` in steps of 32 products with 24 bits
    kept; with scales they enter the exponents. Elsewhere but in "group-scaled", scaled operands are dequantised to
    float32 first.

    >>> [hex(code) for code in column_dot([0x3F80], [0x4000], "bf16", "bf16", "sequential")]
    ['0x40000000']
    """
    if order == "truncated":
        pad = [0] * (-len(a) % 32)
        a, b = [*a, *pad], [*b, *pad]
        rule = {"lanes": 32, "fraction_bits": 24, "conversion": "RZ-FP32", "floor_exponent": -133}
        if scales is None:
            return [truncated_dot(a, b, 0, a_type, b_type, "f32", **rule)]  # type: ignore[arg-type]
        return [
            scaled_truncated_dot(
                a, b, 0, a_type, b_type, "f32", a_scales=scales[0], b_scales=scales[1], scale_type="ue8m0",
                scale_block=scale_block, **rule,  # type: ignore[arg-type]
            )
        ]  # fmt: skip
    if order == "group-scaled":
        assert scales is not None
        return [group_scaled_dot(a, b, a_type, b_type, *scales, scale_block=scale_block)]
    if scales is not None:
        a, b = (_dequantized(x, t, s, scale_block) for x, t, s in ((a, a_type, scales[0]), (b, b_type, scales[1])))
        a_type = b_type = "f32"
    if order in ("four-pass", "three-pass"):
        left, right = [cut(x) for x in a], [cut(y) for y in b]
        halves = ((0, 0), (0, 1), (1, 0), (1, 1))[: 4 if order == "four-pass" else 3]
        return [sequential_dot([x[i] for x in left], [y[j] for y in right], 0, "f32", "f32") for i, j in halves]
    one: dict[str, Callable[[], int]] = {
        "sequential": lambda: sequential_dot(a, b, 0, a_type, b_type),
        "pairwise": lambda: pairwise_dot(a, b, _NEGATIVE_ZERO, a_type, b_type),
        "f64": lambda: wide_sequential_dot(a, b, 0, a_type, b_type),
        "bf16-products": lambda: bf16_products_dot(a, b, a_type, b_type),
        "element-sums": lambda: element_sums_dot(a, b, a_type, b_type, lanes=lanes),
    }
    return [one[order]()]


def _dequantized(codes: Sequence[int], kind: str, scales: Sequence[int], block: int) -> list[int]:
    """Multiply elements by their block's ue8m0 scale, each product rounded to float32."""
    layout, scale = layout_of(kind), LAYOUTS["ue8m0"]
    return [
        multiply(convert(x, layout, F32), convert(scales[k // block], scale, F32), F32) for k, x in enumerate(codes)
    ]


def _rounded_products(a: Sequence[int], b: Sequence[int], a_type: str | Layout, b_type: str | Layout) -> list[int]:
    la, lb = layout_of(a_type), layout_of(b_type)
    return [multiply(convert(x, la, F32), convert(y, lb, F32), F32) for x, y in zip(a, b, strict=True)]
