"""Truncating fused dot products of NVIDIA matrix units: align to the largest exponent, cut, add exactly, convert.

Sources of the rules: MMA-Sim 2.1.1 (Xie et al., arXiv:2511.10909), checked against published outputs of V100, A100, A2,
Ada, L40S, H100, H200 and B200 (Khattak and Mikaitis, arXiv:2512.07004) and of an RTX 4060 (mmaemu 0.1.0).
"""

from __future__ import annotations

from collections.abc import Sequence

from chipmeter.reference.ieee import add, convert
from chipmeter.reference.layouts import F16, F32, layout_of
from chipmeter.reference.numbers import Layout, Value, decode
from chipmeter.reference.terms import (
    Conversion,
    Term,
    blocks,
    check_lengths,
    conversion_of,
    decoded,
    product_of,
    special_of,
    term_of,
    truncate_to,
    write_special,
    write_sum,
)


def aligned_sum(terms: Sequence[Term], fraction_bits: int, floor_exponent: int) -> tuple[int, int]:
    """Add terms as an aligning adder does; the sum is the first result times two to the second.

    X is the largest `lead` of the terms that are not zero, and not below `floor_exponent`. Each term becomes an integer
    in units of 2^(X - fraction_bits), its magnitude truncated: no guard, round or sticky bits. The integers are added
    exactly, so the order does not matter.

    >>> aligned_sum([Term(1, 0, 0), Term(-7, -4, 2)], 4, -132)  # 1 - 7/64 with four fraction bits: 16 - 1
    (15, -4)
    """
    top = max([floor_exponent, *(term.lead for term in terms if term.significand)])
    last = top - fraction_bits
    return sum(truncate_to(term.significand, term.exponent, last) for term in terms), last


def truncated_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    c_type: str | Layout = "f32",
    *,
    lanes: int,
    fraction_bits: int,
    conversion: str | Conversion = "RZ-FP32",
    floor_exponent: int,
) -> int:
    """Compute c + sum(a * b) on a truncating fused unit, model "T".

    The vectors are cut into blocks of `lanes` products. In each block, NaN and infinities are decided first
    (`special_of`); else the products and c are added by `aligned_sum`, c on equal terms, and the sum is converted. The
    converted result is the c of the next block.

    Parameters
    ----------
    a, b : sequence of int
        Codes of one row of A and one column of B, in order of k.
    c : int
        Code of the accumulator.
    a_type, b_type, c_type : str or Layout
        Formats; `c_type` is that of the c given, the chained one is the conversion's.
    lanes : int
        L: products per fused step.
    fraction_bits : int
        F: fraction bits kept below the largest exponent.
    conversion : str or Conversion
        "RZ-FP32", "RZ-E8M13", "RNE-FP16", or one of your own.
    floor_exponent : int
        z: the exponent that a zero term contributes to the maximum.

    Returns
    -------
    int
        Code of the result, in the conversion's layout.

    Examples
    --------
    2^23 - 2^23 - 1/2 - 1/4 - 1/8: how much of the small terms survives the large ones depends on the fraction bits.

    >>> a, b = [0x6C00, 0xB800, 0xB400, 0xB000], [0xE800, 0x3C00, 0x3C00, 0x3C00]
    >>> for bits in 23, 24, 25:  # 0, -1/2, -3/4
    ...     d = truncated_dot(a, b, 0x4B000000, "f16", "f16", lanes=8, fraction_bits=bits, floor_exponent=-132)
    ...     print(hex(d))
    0x0
    0xbf000000
    0xbf400000
    """
    return scaled_truncated_dot(
        a, b, c, a_type, b_type, c_type,
        a_scales=(), b_scales=(), scale_type="ue8m0", scale_block=0,
        lanes=lanes, fraction_bits=fraction_bits, conversion=conversion, floor_exponent=floor_exponent,
    )  # fmt: skip


def scaled_truncated_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout,
    b_type: str | Layout,
    c_type: str | Layout = "f32",
    *,
    a_scales: Sequence[int],
    b_scales: Sequence[int],
    scale_type: str | Layout = "ue8m0",
    scale_block: int = 32,
    lanes: int = 32,
    fraction_bits: int = 25,
    conversion: str | Conversion = "RZ-FP32",
    floor_exponent: int = -133,
) -> int:
    """Compute c + sum(a * sa * b * sb) on a truncating fused unit, model "ST" (PTX kind::mxf8f6f4).

    As `truncated_dot`, with the exponents of both scales added to that of every product before the maximum is taken.
    The k-th product has the scales of index k // scale_block. A NaN scale gives NaN even over a block of zeros. The
    defaults are those of tcgen05 on B200 and mma.sync on RTX Blackwell.

    Examples
    --------
    1.5 * 1.5 with scales 2^-127 and 1 is an FP32 number just above the smallest normal:

    >>> hex(scaled_truncated_dot([0x3C], [0x3C], 0, "e4m3", "e4m3", a_scales=[0x00], b_scales=[0x7F]))
    '0x900000'
    """
    check_lengths(a, b)
    la, lb, ls, lc, out = *map(layout_of, (a_type, b_type, scale_type, c_type)), conversion_of(conversion)
    xs, ys = decoded(a, la), decoded(b, lb)
    sa, sb = decoded(a_scales, ls), decoded(b_scales, ls)
    if scale_block and not len(sa) == len(sb) == -(-len(a) // scale_block):
        raise ValueError(f"{len(a)} products in blocks of {scale_block} need {-(-len(a) // scale_block)} scales a side")
    accumulator = decode(c, lc)
    for block in blocks(len(a), lanes):
        used = range(block.start // scale_block, -(-block.stop // scale_block)) if scale_block else range(0)
        scales = [*(sa[i] for i in used), *(sb[i] for i in used)]
        special = special_of(list(zip(xs[block], ys[block], strict=True)), [accumulator, *scales])
        if special is None:
            terms = [term_of(accumulator, lc)]
            for k in range(block.start, block.stop):
                factors = [term_of(xs[k], la), term_of(ys[k], lb)]
                if scale_block:
                    factors += [term_of(sa[k // scale_block], ls), term_of(sb[k // scale_block], ls)]
                terms.append(product_of(*factors))
            c = write_sum(*aligned_sum(terms, fraction_bits, floor_exponent), out)
        else:
            c = write_special(special, out)
        lc, accumulator = out.layout, decode(c, out.layout)
    return c


def grouped_scaled_truncated_dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    a_type: str | Layout = "e2m1",
    b_type: str | Layout = "e2m1",
    *,
    a_scales: Sequence[int],
    b_scales: Sequence[int],
    scale_type: str | Layout,
    scale_block: int,
    lanes: int = 64,
    group: int = 16,
    fraction_bits: int = 35,
    conversion: str | Conversion = "RZ-FP32",
    floor_exponent: int = -139,
) -> int:
    """Compute c + sum(a * sa * b * sb) group by group, model "GST" (PTX kind::mxf4 and kind::mxf4nvf4).

    The `lanes` products of a step form groups of `group` consecutive k, whatever `scale_block` is. A group's products
    are added exactly and multiplied exactly by the significands of its two scales; its exponent is that of the scales
    alone. A group whose products are all zero, or one of whose scales is zero, contributes `floor_exponent` to the
    maximum; a group that merely cancels contributes its own. Groups and c then meet in `aligned_sum`'s way.

    c and the result are codes of the conversion's layout.

    Examples
    --------
    A group of zeros does not raise the exponent, a group that cancels does and pushes c out:

    >>> one, minus_one, scales = 0x2, 0xA, [167, 127, 127, 127]
    >>> for first in (0, 0), (one, one):
    ...     a, b = [*first] + [0] * 62, [one, minus_one] + [0] * 62
    ...     d = grouped_scaled_truncated_dot(a, b, 0x3F800000, a_scales=scales, b_scales=[127] * 4,
    ...                                      scale_type="ue8m0", scale_block=16)
    ...     print(hex(d))
    0x3f800000
    0x0
    """
    check_lengths(a, b)
    la, lb, ls, out = layout_of(a_type), layout_of(b_type), layout_of(scale_type), conversion_of(conversion)
    if scale_block % group or not len(a_scales) == len(b_scales) == -(-len(a) // scale_block):
        raise ValueError(
            f"{len(a)} products need one scale a side per block of a multiple of {group}, "
            f"got {len(a_scales)} and {len(b_scales)} of block {scale_block}"
        )
    xs, ys, sa, sb = decoded(a, la), decoded(b, lb), decoded(a_scales, ls), decoded(b_scales, ls)
    for step in blocks(len(a), lanes):
        used = range(step.start // scale_block, -(-step.stop // scale_block))
        scales = [*(sa[i] for i in used), *(sb[i] for i in used)]
        accumulator = decode(c, out.layout)
        special = special_of(list(zip(xs[step], ys[step], strict=True)), [accumulator, *scales])
        if special is not None:
            c = write_special(special, out)
            continue
        sums, leads = [], [floor_exponent]
        for start in range(step.start, step.stop, group):
            products = [product_of(term_of(x, la), term_of(y, lb)) for x, y in _pairs(xs, ys, start, group, step.stop)]
            scale = product_of(term_of(sa[start // scale_block], ls), term_of(sb[start // scale_block], ls))
            exponent = min(product.exponent for product in products)
            total = sum(product.significand << product.exponent - exponent for product in products)
            sums.append((total * scale.significand, exponent + scale.exponent))
            if scale.significand and any(product.significand for product in products):
                leads.append(scale.lead)
        old = term_of(accumulator, out.layout)
        sums.append((old.significand, old.exponent))
        if old.significand:
            leads.append(old.lead)
        last = max(leads) - fraction_bits
        c = write_sum(sum(truncate_to(significand, exponent, last) for significand, exponent in sums), last, out)
    return c


def _pairs(xs: list[Value], ys: list[Value], start: int, count: int, stop: int) -> list[tuple[Value, Value]]:
    """Pair up to `count` operands from `start`, not beyond `stop`."""
    end = min(start + count, stop)
    return list(zip(xs[start:end], ys[start:end], strict=True))


def two_pass_truncated_dot(
    a: Sequence[int], b: Sequence[int], c: int, a_type: str | Layout, b_type: str | Layout, *, half: bool
) -> int:
    """Compute an FP8 mma.sync of 32 products where the chip has only f16 matrix instructions (Hopper, B200).

    Operands are widened to f16. The products with floor(k / 2) even go through one 16-lane truncating step from +0, the
    others through a second one from its result; then c is added by one IEEE addition. With `half`, accumulator and
    result are f16, else f32. Longer vectors chain in blocks of 32.

    The pairing is established by f16 outputs of H100, H200 and B200; for f32 it is taken over from there (several
    orders fit the public data). Source: Khattak and Mikaitis, arXiv:2512.07004, from the compiled instructions.
    """
    check_lengths(a, b)
    layout, conversion, floor_exponent = (F16, "RNE-FP16", -21) if half else (F32, "RZ-FP32", -133)
    wide_a = [convert(code, layout_of(a_type), F16) for code in a]
    wide_b = [convert(code, layout_of(b_type), F16) for code in b]
    for block in blocks(len(a), 32):
        inner = 0
        for odd in (0, 1):
            picked = [k for k in range(block.start, block.stop) if k // 2 % 2 == odd]
            inner = truncated_dot(
                [wide_a[k] for k in picked], [wide_b[k] for k in picked], inner, F16, F16, layout,
                lanes=16, fraction_bits=25, conversion=conversion, floor_exponent=floor_exponent,
            )  # fmt: skip
        c = add(inner, c, layout)
        if decode(c, layout).kind == "nan":
            c = conversion_of(conversion).nan
    return c
