"""Dot products of AMD CDNA matrix units (MFMA): exact, flushing, and truncate-then-round.

Source of the rules: MMA-Sim 2.1.1 (Xie et al., arXiv:2511.10909 v2), whose authors compared it with MI100, MI250X and
MI300X; no device outputs are public. The flushing of CDNA2 is also documented by AMD (MIOpen, MI200 denormals).
NaN bit patterns are a choice of this library.
"""

from __future__ import annotations

from collections.abc import Sequence

from chipmeter.reference.ieee import add, convert, exact_product, multiply
from chipmeter.reference.layouts import F32, layout_of
from chipmeter.reference.numbers import Layout, Value, decode
from chipmeter.reference.terms import (
    CONVERSIONS,
    Term,
    blocks,
    check_lengths,
    decoded,
    floor_to,
    product_of,
    special_of,
    term_of,
    truncate_to,
    write_special,
    write_sum,
)

_OUT = CONVERSIONS["RNE-FP32"]
_C_BITS = 24
_SUM_BITS = 32
_NORMAL_BITS = 31
_NO_TERM = -(10**6)
"""Exponent of a sum without terms: below every exponent of every format."""


def exact_dot(
    a: Sequence[int], b: Sequence[int], c: int, a_type: str | Layout, b_type: str | Layout, *, lanes: int
) -> int:
    """Compute c + sum(a * b) exactly and round once to FP32, block by block of `lanes`, model "E" (CDNA1).

    c and the result are f32 codes. CDNA1 has 4 lanes for f16 and 2 for bf16; with as many lanes as products this is the
    correctly rounded dot product.

    Examples
    --------
    >>> hex(exact_dot([0x7BFF, 0xFBFF, 0x0001], [0x7BFF, 0x7BFF, 0x0001], 0, "f16", "f16", lanes=4))
    '0x27800000'
    """
    check_lengths(a, b)
    la, lb = layout_of(a_type), layout_of(b_type)
    xs, ys = decoded(a, la), decoded(b, lb)
    for block in blocks(len(a), lanes):
        accumulator = decode(c, F32)
        pairs = list(zip(xs[block], ys[block], strict=True))
        special = special_of(pairs, [accumulator])
        if special is None:
            terms = [exact_product(x, y) for x, y in pairs] + [accumulator]
            last = min(term.exponent for term in terms)
            total = sum((-1) ** term.negative * term.significand << term.exponent - last for term in terms)
            c = write_sum(total, last, _OUT)
        else:
            c = write_special(special, _OUT)
    return c


def flushed_pairwise_dot(
    a: Sequence[int], b: Sequence[int], c: int, a_type: str | Layout, b_type: str | Layout, *, lanes: int
) -> int:
    """Compute c + sum(a * b) by FP32 operations that flush subnormals to zero, model "FTZ" (CDNA2).

    Subnormal operands, and zeros of both signs, become +0. Every product and every sum is rounded to nearest even and
    then, if subnormal, replaced by a zero of its sign. `lanes` is 2 (bf16) or 4 (f16 and bf16_1k): the products are
    added in pairs, the pairs to each other, and that sum to c. c and the result are f32 codes.

    Examples
    --------
    >>> hex(flushed_pairwise_dot([0x3C00, 0x0001], [0x3C00, 0x3C00], 0x80000001, "f16", "f16", lanes=4))
    '0x3f800000'
    """
    check_lengths(a, b)
    if lanes not in (2, 4):
        raise ValueError(f"lanes must be 2 or 4, got {lanes}")
    xs = [_flushed_input(code, layout_of(a_type)) for code in a]
    ys = [_flushed_input(code, layout_of(b_type)) for code in b]
    c = _flushed_input(c, F32)
    for block in blocks(len(a), lanes):
        sums = [_flushed(multiply(x, y, F32)) for x, y in zip(xs[block], ys[block], strict=True)]
        sums += [0] * (lanes - len(sums))
        while len(sums) > 1:
            sums = [_flushed(add(left, right, F32)) for left, right in zip(sums[::2], sums[1::2], strict=True)]
        c = _flushed(add(c, sums[0], F32))
    return c


def _flushed_input(code: int, layout: Layout) -> int:
    """Widen an operand to FP32, zeros and numbers subnormal in their own format becoming +0."""
    value = decode(code, layout)
    small = value.kind == "finite" and value.significand < 1 << layout.mantissa_bits
    return 0 if small else convert(code, layout, F32)


def _flushed(code: int) -> int:
    """Replace a subnormal FP32 result by the zero of its sign."""
    return code if code & 0x7F800000 else code & 0x80000000


def truncate_round_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    *,
    lanes: int,
    fraction_bits: int = 24,
) -> int:
    """Compute c + sum(a * b) with truncated products and a rounded accumulation, model "TR" (CDNA3 f16, bf16, xf32).

    Per block of `lanes` products: a product of magnitude 2^128 or more is an infinity, even if others would cancel it.
    The products are truncated to `fraction_bits` below the largest product exponent (c does not count) and added
    exactly; `_accumulate` then adds c. c and the result are f32 codes. CDNA3 has 8 lanes (4 for xf32).

    Examples
    --------
    Cutting toward minus infinity makes 1 - 2^-26 smaller than 1, which nearest would not:

    >>> hex(truncate_round_dot([0x3C00], [0x3C00], 0xB2800000, "f16", "f16", lanes=8))
    '0x3f7fffff'
    """
    check_lengths(a, b)
    la, lb = layout_of(a_type), layout_of(b_type)
    xs, ys = decoded(a, la), decoded(b, lb)
    for block in blocks(len(a), lanes):
        accumulator = decode(c, F32)
        pairs = list(zip(xs[block], ys[block], strict=True))
        products = [exact_product(x, y) for x, y in pairs]
        overflowed = [Value("inf", p.negative) for p in products if _beyond_f32(p)]
        special = special_of(pairs, [accumulator, *overflowed])
        if special is not None:
            c = write_special(special, _OUT)
            continue
        top, total = _truncated_sum([product_of(term_of(x, la), term_of(y, lb)) for x, y in pairs], fraction_bits)
        c = _accumulate(total, top, fraction_bits, accumulator, drop_small_c=False)
    return c


def grouped_truncate_round_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    *,
    lanes: int = 16,
    fraction_bits: int = 24,
) -> int:
    """Compute c + sum(a * b) with even and odd products apart, model "GTR" (CDNA3 FP8).

    Per block of `lanes` products, those of even k and those of odd k form two groups. Each is truncated to
    `fraction_bits` below its own largest exponent and added exactly; both sums are floored to `fraction_bits` below the
    larger of the two exponents and added. `_accumulate` then adds c, unless c lies more than 25 exponents below.

    Examples
    --------
    >>> hex(grouped_truncate_round_dot([0x40], [0x40], 0xB2800000, "e4m3fnuz", "e4m3fnuz"))
    '0x3f800000'
    """
    check_lengths(a, b)
    la, lb = layout_of(a_type), layout_of(b_type)
    xs, ys = decoded(a, la), decoded(b, lb)
    for block in blocks(len(a), lanes):
        accumulator = decode(c, F32)
        pairs = list(zip(xs[block], ys[block], strict=True))
        special = special_of(pairs, [accumulator])
        if special is not None:
            c = write_special(special, _OUT)
            continue
        terms = [product_of(term_of(x, la), term_of(y, lb)) for x, y in pairs]
        groups = [_truncated_sum(terms[parity::2], fraction_bits) for parity in (0, 1)]
        top = max(group_top for group_top, _ in groups)
        total = sum(floor_to(s, t - fraction_bits, top - fraction_bits) for t, s in groups)
        c = _accumulate(total, top, fraction_bits, accumulator, drop_small_c=True)
    return c


def _beyond_f32(product: Value) -> bool:
    """Whether a product's magnitude is 2^128 or more."""
    return product.kind == "finite" and product.significand.bit_length() + product.exponent > 128


def _truncated_sum(terms: Sequence[Term], fraction_bits: int) -> tuple[int, int]:
    """Return the largest exponent X among terms that are not zero, and their truncated sum in 2^(X - fraction_bits)."""
    top = max([_NO_TERM, *(term.lead for term in terms if term.significand)])
    if top == _NO_TERM:
        return top, 0
    return top, sum(truncate_to(term.significand, term.exponent, top - fraction_bits) for term in terms)


def _accumulate(total: int, top: int, fraction_bits: int, accumulator: Value, *, drop_small_c: bool) -> int:
    """Add c to the sum of products, total * 2^(top - fraction_bits), as CDNA3 does, and round to FP32.

    With E the larger of `top` and the exponent of c (-126 for zero), the sum is floored to 32 fraction bits and c to 24
    below 2^E, both toward minus infinity; their exact sum is normalised (exponent not below -126), floored to 31
    fraction bits and rounded to nearest even. `drop_small_c` replaces a c more than 25 exponents below E by 0.
    """
    old = term_of(accumulator, F32)
    high = max(top, old.lead)
    old_part = 0 if drop_small_c and old.lead < high - 25 else floor_to(old.significand, old.exponent, high - _C_BITS)
    last = high - _SUM_BITS
    # A sum of no products is zero at an exponent of its own: shifting it would be a shift by a million.
    new_part = floor_to(total, top - fraction_bits, last) if total else 0
    exact = new_part + (old_part << _SUM_BITS - _C_BITS)
    lead = max(abs(exact).bit_length() - 1 + last, F32.emin)
    kept = floor_to(exact, last, lead - _NORMAL_BITS)
    return write_sum(kept, lead - _NORMAL_BITS, _OUT)
