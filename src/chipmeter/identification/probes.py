"""Properties of an arithmetic, each by an input on which its values differ. No probe knows any unit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from chipmeter.formats.records import FORMATS, FloatFormat
from chipmeter.identification import order
from chipmeter.identification.device import Device
from chipmeter.identification.dots import Dots, NotVisible
from chipmeter.identification.records import Probe
from chipmeter.identification.vectors import LINES, draw, layout
from chipmeter.matmul.units import OPERANDS

HIDDEN = "not visible"

_WIDEST = 25
"""Bits that a step is taken to keep where these types cannot show how many it does."""

_ROUNDINGS: dict[tuple[int, ...], str] = {
    (0, 0, 0, 0, 0, 0): "toward zero",
    (0, 0, 1, 1, 1, 0): "to nearest, ties to even",
    (0, 1, 1, 1, 1, 0): "to nearest, ties away from zero",
    (0, 0, 0, 0, 1, 1): "toward minus infinity",
    (1, 1, 1, 1, 0, 0): "toward plus infinity",
    (1, 1, 1, 1, 1, 1): "away from zero",
}
"""Names by the steps taken from 1 + 1/4, 1/2, 3/4 ulp, from an odd number + 1/2 ulp, and from -1 - 3/4, -1/4 ulp."""


def properties(device: Device, step: int) -> Iterator[Probe]:
    """Run every probe that these types allow; one that no input can show says so."""
    dots = Dots(device, step)
    integer = layout(device.types[0]) is None
    kept = _WIDEST
    chosen = _FLOAT if not integer else _BINARY if "b1" in device.types else _INTEGER
    for name, shown_by, probe in chosen:
        try:
            value = probe(dots)
        except NotVisible:
            value = HIDDEN
        if name == "kept bits" and value[0].isdigit():  # rounding to nearest may hide a wider step before it
            bits, _, kind = value.partition(", ")
            kept = int(bits) if kind == "cut toward zero" else max(int(bits), _WIDEST)
        yield Probe(name, value, shown_by)
    if not integer:
        found = order.describe(dots, kept) or [("order", HIDDEN)]
        yield from (Probe(name, value, order.SHOWN_BY) for name, value in found)


def _result(dots: Dots) -> tuple[int, int]:
    """Fraction bits and smallest normal exponent of the result's type."""
    fields = layout(dots.device.types[3])
    if fields is None:
        raise NotVisible
    return fields.mantissa_bits, fields.lowest


def _powers(exponents: list[int] | NDArray[np.int64], low: int, high: int) -> tuple[NDArray[np.float64], ...]:
    """Factors whose product is 2^e, both normal numbers of the operands."""
    e = np.asarray(exponents)
    half = e // 2
    if (half < low).any() or (e - half > high).any():
        raise NotVisible
    return np.ldexp(1.0, half), np.ldexp(1.0, e - half)


def _base(dots: Dots) -> tuple[int, int]:
    """Exponent to put at the top of a sum, and how far below it products of normal numbers reach."""
    low, high = dots.span()
    top = 0 if low < -64 else min(2 * high, 10)
    return top, min(top - 2 * low, 200)


def _sums(dots: Dots, terms: list[list[tuple[float, int]]]) -> NDArray[np.float64]:
    """Results of sums of terms s * 2^e, s being 0, 1 or 1.5 with a sign; s = 0 is no term."""
    low, high = dots.span()
    shape = (len(terms), max(len(t) for t in terms))
    sign, exponent = np.zeros(shape), np.zeros(shape, np.int64)
    for i, row in enumerate(terms):
        for k, (s, e) in enumerate(row):
            sign[i, k], exponent[i, k] = s, e
    a, b = _powers(np.where(sign == 0, max(2 * low, 0), exponent), low, high)
    return np.asarray(dots(a * sign, b), np.float64)


def _placed(dots: Dots, terms: list[list[tuple[float, int]]]) -> NDArray[np.float64]:
    """Sum three terms in each of their six places: an order may add any two first, and outputs may differ in theirs."""
    rows = [list(places) for row in terms for places in permutations(row)]
    return _sums(dots, rows).reshape(len(terms), 6)


def _cancelled(dots: Dots, terms: list[list[tuple[float, int]]]) -> NDArray[np.float64]:
    """Sum s, x and -s with x meeting s first: where s meets -s first, more of x is left."""
    got = _placed(dots, terms)
    return np.take_along_axis(got, np.abs(got).argmin(axis=1, keepdims=True), axis=1)[:, 0]


def _kept(dots: Dots) -> str:
    top, reach = _base(dots)
    depths = list(range(1, reach + 1))
    got = _cancelled(dots, [[(1, top), (1, top - e), (-1, top)] for e in depths])
    exact = got == np.ldexp(1.0, top - np.array(depths))
    bits = int(np.argmin(exact)) if not exact.all() else reach
    if bits == reach:
        return f"at least {reach}"
    if bits + 2 > reach:
        return str(bits)
    ulp = top - bits
    rows: list[list[tuple[float, int]]] = [[(s, top), (1.5 * s, ulp - 1), (-s, top)] for s in (1, -1)]
    rows.append([(1, top), (1, ulp - 1), (-1, top)])
    plus, minus, tie = (int(x) for x in np.sign(_cancelled(dots, rows)))
    kind = {
        (0, 0, 0): "cut toward zero", (1, -1, 0): "to nearest even", (1, -1, 1): "to nearest, ties away",
        (0, -1, 0): "toward minus infinity",
    }.get((plus, minus, tie), "rounded otherwise")  # fmt: skip
    return f"{bits}, {kind}"


def layout_bits(dots: Dots) -> int:
    """Fraction bits of operand A."""
    fields = layout(dots.device.types[0])
    return 0 if fields is None else fields.mantissa_bits


def _rounding(dots: Dots) -> str:
    top, reach = _base(dots)
    depths = list(range(1, reach + 1))
    got = _sums(dots, [[(1, top), (1, top - e)] for e in depths])
    exact = got - np.ldexp(1.0, top) == np.ldexp(1.0, top - np.array(depths))
    bits = int(np.argmin(exact)) if not exact.all() else reach
    if bits == reach or bits + 2 > reach:
        return f"at least {bits} fraction bits"
    ulp = top - bits
    rows: list[list[tuple[float, int]]] = [
        [(1, top), (0, 0), (1, ulp - 2)],
        [(1, top), (0, 0), (1, ulp - 1)],
        [(1, top), (0, 0), (1.5, ulp - 1)],
        [(-1, top), (0, 0), (-1.5, ulp - 1)],
        [(-1, top), (0, 0), (-1, ulp - 2)],
    ]
    got = np.abs(_sums(dots, rows)) - np.ldexp(1.0, top)
    # where the half met the first term before the ulp did, it may be lost, so the largest sum is the one of 1 + ulp and the half
    odd = _placed(dots, [[(1, top), (1, ulp), (1, ulp - 1)]]).max() - np.ldexp(1.0, top) - np.ldexp(1.0, ulp)
    steps = tuple(int(x) for x in np.rint(np.ldexp(np.insert(got, 3, odd), -ulp)))
    return f"{bits} fraction bits, {_ROUNDINGS.get(steps, f'steps {steps}')}"


def _products(dots: Dots) -> str:
    bits, _ = _result(dots)
    m = min(layout_bits(dots), getattr(layout(dots.device.types[1]), "mantissa_bits", 0))
    if 2 * m <= bits + 1:
        raise NotVisible
    a, b = np.zeros((126, 64)), np.zeros((126, 64))
    for i in range(63):
        for row, (first, second) in ((2 * i, (0, i + 1)), (2 * i + 1, (i + 1, 0))):
            a[row, first], b[row, first] = -(1 + 2.0 ** (1 - m)), 1
            a[row, second] = b[row, second] = 1 + 2.0**-m
    return "exact (fused multiply-add)" if dots(a, b).any() else "rounded before they are added"


def _accumulator(dots: Dots) -> str:
    fields = layout(dots.device.types[2])
    if fields is None:
        raise NotVisible
    c = 1 + np.ldexp(1.0, -np.arange(1, fields.mantissa_bits + 1))
    same = np.asarray(dots(np.zeros((len(c), 1)), [0.0], c), np.float64) == c
    bits = len(c) if same.all() else int(np.argmin(same))
    return f"all {bits} fraction bits" if bits == len(c) else f"cut to {bits} fraction bits"


def _floor(dots: Dots) -> str:
    bits, lowest = _result(dots)
    low, _ = dots.span()
    least = lowest - bits
    reach = min(-2 * low, -least + 64)
    depths = list(range(-least + 1, reach + 1))
    if len(depths) < 8:
        raise NotVisible
    got = _sums(dots, [[(1, least), (-1, -e)] for e in depths])
    whole = got != 0
    if not _sums(dots, [[(1, least)]]).any() or whole[:2].any() or not whole.any():
        raise NotVisible
    return f"terms cut below 2^-{depths[int(np.argmax(whole))] - 1} however small all are"


def _subnormal(dots: Dots) -> str:
    found = []
    _, high = dots.span()
    for which, kind in enumerate(dots.device.types[:2]):
        fields = layout(kind)
        if fields is None or fields.mantissa_bits == 0:
            continue
        tiny, one = [np.ldexp(1.0, fields.lowest - 1)], [np.ldexp(1.0, max(0, min(high, 8)))]
        got = dots([tiny], one) if which == 0 else dots([one], tiny)
        found.append(f"{'ab'[which]} {'kept' if got.any() else 'flushed'}")
    fields = layout(dots.device.types[2])
    if dots.device.addend and fields is not None:
        c = np.ldexp(1.0, fields.lowest - 1)
        got = dots([[0.0]], [0.0], [c])
        found.append(f"c {'kept' if got.any() else 'flushed'}")
    _, lowest = _result(dots)
    with contextlib.suppress(NotVisible):
        found.append(f"result {'kept' if _sums(dots, [[(1, lowest - 2)]]).any() else 'flushed'}")
    return ", ".join(found)


def _nan(dots: Dots) -> str:
    kind = dots.device.types[0]
    fmt = FORMATS.get(OPERANDS[kind])
    if isinstance(fmt, FloatFormat) and fmt.nan == "none":
        got = dots([[0.0]], [0.0], [np.nan])
    else:
        got = dots([[np.nan]], [1.0])
    raw = int(got.view(f"u{got.dtype.itemsize}")[0])
    return f"0x{raw:0{2 * got.dtype.itemsize}X}"


def _infinity(dots: Dots) -> str:
    def word(x: NDArray[np.generic]) -> str:
        return "NaN" if np.isnan(x[0]) else str(float(x[0]))

    return f"Inf * 0 = {word(dots([[np.inf]], [0.0]))}, Inf - Inf = {word(dots([[np.inf, -np.inf]], [1.0, 1.0]))}"


def _zero(dots: Dots) -> str:
    c = [-0.0] if dots.device.addend else None
    if not dots.device.addend and np.signbit(dots([[-0.0]], [1.0])[0]):
        return "-0"
    got = dots([np.full(dots.step, -0.0)], np.ones(dots.step), c)
    return "-0 from a sum of -0 alone" if np.signbit(got[0]) else "+0 always"


def _overflow(dots: Dots) -> str:
    top = getattr(layout(dots.device.types[3]), "highest", 0)
    _, high = dots.span()
    half = (top + 1) // 2
    if top + 1 - half > high:
        raise NotVisible
    x, y = np.ldexp(1.0, half), np.ldexp(1.0, top + 1 - half)
    beyond, cancelled = dots([[x, 0.0], [x, -x]], [y, y])
    return f"2^{top + 1} gives {float(beyond)}, 2^{top + 1} - 2^{top + 1} gives {float(cancelled)}"


def _position(dots: Dots) -> str:
    rng = np.random.default_rng(1)
    a, b = (draw(t, 1, 256, "middle", rng, first=False) for t in dots.device.types[:2])
    k = -(-256 // dots.step) * dots.step
    left, right = (np.zeros((LINES, k), x.dtype) for x in (a, b))
    left[:, :256], right[:, :256] = a, b
    scales = None
    if dots.device.scale is not None:
        ones = np.full(
            (LINES, -(-k // dots.device.scale_block)), 0x7F if dots.device.scale == "ue8m0" else 0x38, np.uint8
        )
        scales = ones, np.ascontiguousarray(ones.T)
    d = dots.device(left, np.ascontiguousarray(right.T), None, scales)
    raw = np.unique(d.view(f"u{d.dtype.itemsize}"))
    return "none" if len(raw) == 1 else f"{len(raw)} different results for equal rows and columns"


def _wrap(dots: Dots) -> str:
    top = 2.0**31 - 1
    got = int(dots([[1.0]], [1.0], [top])[0])
    if got == -(2**31):
        return "wraps"
    if got != 2**31 - 1:
        return f"2^31 - 1 + 1 = {got}"
    a = np.zeros((511, 512))
    a[:, 0] = 1
    a[np.arange(511), np.arange(1, 512)] = -1
    kind = OPERANDS[dots.device.types[0]]
    if kind.startswith("u"):
        if OPERANDS[dots.device.types[1]].startswith("u"):
            return "clamps"
        later = dots(np.abs(a), np.sign(np.where(a == 0, 1, a)), np.full(511, top)) < top
    else:
        later = dots(a, np.ones(512), np.full(511, top)) < top
    return f"clamps after every {int(np.argmax(later)) + 1} products" if later.any() else "clamps at the end"


def _operation(dots: Dots) -> str:
    """Read the truth table of one pair of bits off sums in which all other pairs are 0, 0."""
    pairs = [(x, y) for x in (0, 1) for y in (0, 1)]
    sums = [int(v) for v in dots([[x] for x, _ in pairs], [[y] for _, y in pairs])]
    zeros = sums[0] // dots.step
    table = tuple(v - sums[0] + zeros for v in sums)
    return _OPERATIONS.get(
        table, "a sum of " + ", ".join(f"{x} and {y}: {v}" for (x, y), v in zip(pairs, table, strict=True))
    )


_OPERATIONS: dict[tuple[int, ...], str] = {
    (0, 1, 1, 0): "xor",
    (0, 0, 0, 1): "and",
    (0, 1, 1, 1): "or",
    (1, 0, 0, 1): "xnor",
}


def _count(dots: Dots) -> str:
    a, b = (1.0, 0.0) if _operation(dots) == "xor" else (1.0, 1.0)
    got = int(dots([[a]], [[b]], [2.0**31 - 1])[0])
    return {-(2**31): "wraps", 2**31 - 1: "clamps"}.get(got, f"2^31 - 1 + 1 = {got}")


_Probes = tuple[tuple[str, str, Callable[[Dots], str]], ...]

_FLOAT: _Probes = (
    ("kept bits", "1 + 2^-e - 1 in one step, for each e", _kept),
    ("result", "1 + parts of a unit in the last place, both signs", _rounding),
    ("products", "(1 + 2^-m)^2 - (1 + 2^(1-m)), at 63 distances", _products),
    ("c alone", "1 + 2^-e with zero products", _accumulator),
    ("alignment floor", "smallest subnormal - 2^-e, for each e", _floor),
    ("subnormals", "half the smallest normal number, alone", _subnormal),
    ("NaN code", "NaN * 1", _nan),
    ("infinities", "Inf * 0; Inf - Inf", _infinity),
    ("zeros", "-0 * 1 in every place, c = -0", _zero),
    ("overflow", "a power of two beyond the result's range", _overflow),
    ("dependence on position", "equal rows of A, equal columns of B", _position),
)
_BINARY: _Probes = (
    ("operation", "one pair of bits, all four values", _operation),
    ("overflow", "c = 2^31 - 1, + 1", _count),
    ("dependence on position", "equal rows of A, equal columns of B", _position),
)
_INTEGER: _Probes = (
    ("overflow", "c = 2^31 - 1, + 1, and - 1 at every later place", _wrap),
    ("dependence on position", "equal rows of A, equal columns of B", _position),
)
