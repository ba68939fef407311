"""GEMM orders, one output element at a time: given the plain dot product of a unit, what a library makes of it.

A `Dot` takes the indices of K to multiply (in order) and an accumulator code or None, and returns the code of a chain.
All sums are IEEE additions in float32, to nearest even, unless said otherwise; codes are those of `chipmeter.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from chipmeter.reference.ieee import add, convert, fused_multiply_add, multiply
from chipmeter.reference.layouts import BF16, F32, F64, LAYOUTS
from chipmeter.reference.numbers import Overflow, decode, encode, fraction_of, nan_code
from chipmeter.reference.rounding import Rounding, floor_log2

Dot = Callable[[Sequence[int]], int]


def combine(parts: Sequence[int], how: str = "serial") -> int:
    """Add float32 codes: ((p0 + p1) + p2) + ..., or "pairwise" by neighbours, an odd one going up unchanged.

    >>> hex(combine([0x3F800000, 0x33800000, 0x33800000], "pairwise"))
    '0x3f800000'
    """
    level = list(parts)
    while how == "pairwise" and len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [add(x, y, F32) for x, y in zip(level[::2], level[1::2], strict=False)] + odd
    total = level[0]
    for part in level[1:]:
        total = add(total, part, F32)
    return total


def split_k(dot: Dot, k: int, splits: int, how: str = "serial", *, tile: int = 128, strided: bool = False) -> int:
    """Cut K into tiles, deal them out to `splits` parts in runs or in turn, chain each part, add the parts.

    >>> split_k(lambda ks: 0x3F800000 if 0 in ks else 0x40000000, 256, 2) == 0x40400000
    True
    """
    tiles = [range(at, min(at + tile, k)) for at in range(0, k, tile)]
    run = -(-len(tiles) // splits)
    dealt: list[list[int]] = [[] for _ in range(splits)]
    for t, one in enumerate(tiles):
        dealt[t % splits if strided else t // run].extend(one)
    return combine([dot(part) for part in dealt if part], how)


def stream_k(dot: Dot, k: int, *, first: int, share: int, tile: int) -> int:
    """Chain one output tile's iterations, whose first has number `first`, between the borders of workers; add serially.

    >>> stream_k(len, 96, first=3, share=2, tile=32) == add(32, 64, F32)
    True
    """
    parts: dict[int, list[int]] = {}
    for at in range(k):
        parts.setdefault((first + at // tile) // share, []).append(at)
    return combine([dot(parts[worker]) for worker in sorted(parts)])


def promote(
    dot: Dot, k: int, every: int, *, overwrite: bool = False, scales: Sequence[int] | None = None,
    accumulator: str = "f32", random: Sequence[int] | None = None,
) -> int:  # fmt: skip
    """Add a fresh chain per `every` k to an outer accumulator.

    With `scales` (the float32 product of both operands' scales per chain) each addition is a fused multiply-add. A bf16
    accumulator is rounded after every addition, and after an overwriting first write: to nearest even, or
    stochastically with one 32-bit word per write. The returned code is float32, or bfloat16.

    >>> hex(promote(lambda ks: 0x3F800000, 256, 128))
    '0x40000000'
    """
    total: int | None = None if overwrite else 0
    for t, begin in enumerate(range(0, k, every)):
        part = dot(range(begin, min(begin + every, k)))
        if scales is not None:
            assert total is not None
            total = fused_multiply_add(scales[t], part, total, F32)
        else:
            total = part if total is None else add(total, part, F32)
        if accumulator == "bf16":
            total = _widen(_bf16(total, "nearest-even" if random is None else "stochastic", random[t] if random else 0))
    assert total is not None
    return total >> 16 if accumulator == "bf16" else total


def epilogue(
    acc: int, alpha: int, c: int | None = None, beta: int = 0, bias: int | None = None, output: str = "f32",
    result_scale: int | None = None, rounding: Rounding = "nearest-even", random: int = 0,
) -> int:  # fmt: skip
    """Compute fma(alpha, acc, RN(beta * c)) (+ bias) from float32 codes, scale and convert it.

    8-bit outputs saturate, infinity included; NaN stays NaN. Sources: mmaemu 0.1.0 (cuBLASLt), CUTLASS.

    >>> hex(epilogue(0x3F800000, 0x40000000, output="bf16"))
    '0x4000'
    """
    y = fused_multiply_add(alpha, acc, 0 if c is None else multiply(beta, c, F32), F32)
    if bias is not None:
        y = add(y, bias, F32)
    if output == "f32":
        return y
    if result_scale is not None:
        y = multiply(y, result_scale, F32)
    target = LAYOUTS[output]
    value = decode(y, F32)
    if value.kind == "nan":
        return {"bf16": 0x7FFF, "f16": 0x7FFF, "e4m3": 0x7F, "e5m2": 0x7F}[output]
    bits = 32 if rounding == "stochastic" else 0
    overflow: Overflow = "saturate" if target.bits == 8 else "ofp8"
    return encode(value, target, rounding, overflow, random=random, random_bits=bits)


def bf16_terms(code: int, parts: int, split: Rounding = "nearest-even") -> list[int]:
    """Cut a float32 code into bfloat16 codes, largest first; all but the last rounded by `split`.

    >>> [hex(term) for term in bf16_terms(0x3F8000FF, 2)]
    ['0x3f80', '0x37ff']
    """
    found = []
    for i in range(parts):
        term = _bf16(code, "nearest-even" if i == parts - 1 else split)
        found.append(term >> 16)
        code = add(code, term ^ 1 << 31, F32) if decode(code, F32).kind != "nan" else nan_code(F32, False)
    return found


def ozaki_dot(a: Sequence[int], b: Sequence[int], slices: int, bits: int) -> int:
    """Compute a float64 dot product by digits: the exact sum of each pair of slices, added in float64.

    >>> one, three = 0x3FF0000000000000, 0x4008000000000000
    >>> ozaki_dot([one], [three], 2, 7) == three
    True
    """
    x, y = ([fraction_of(decode(code, F64)) for code in codes] for codes in (a, b))
    tops = [
        max((floor_log2(abs(v).numerator, abs(v).denominator) + 1 for v in line if v), default=0) for line in (x, y)
    ]
    digits = [
        [[_digit(v / Fraction(2) ** top, j, bits) for v in line] for j in range(1, slices + 1)]
        for line, top in zip((x, y), tops, strict=True)
    ]
    total: int | None = None
    for s in range(2, slices + 2):
        for j in range(1, s):
            exact = sum(p * q for p, q in zip(digits[0][j - 1], digits[1][s - j - 1], strict=True))
            part = encode(Fraction(exact) / Fraction(2) ** (bits * s), F64)
            total = part if total is None else add(total, part, F64)
    assert total is not None
    for top in tops:
        total = multiply(total, encode(Fraction(2) ** top, F64), F64)
    return total


def _digit(x: Fraction, j: int, bits: int) -> int:
    """Take the j-th digit of `bits` bits after the point, with the sign of x."""
    digit = (abs(x.numerator) << bits * j) // x.denominator % (1 << bits)
    return -digit if x < 0 else digit


def _bf16(code: int, rounding: Rounding, word: int = 0) -> int:
    """Round a float32 code to bfloat16 and widen it again."""
    value = decode(code, F32)
    if value.kind == "nan":
        return 0x7FFF0000
    return encode(value, BF16, rounding, random=word, random_bits=32 if rounding == "stochastic" else 0) << 16


def _widen(code: int) -> int:
    return convert(code, F32, F32)
