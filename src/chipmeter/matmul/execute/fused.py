"""The truncated fused dot product: the fast kernel straight from codes, the general one for what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import (
    code_spec,
    layout_of,
    pack_panels,
    pack_rows,
    panels_of,
    raw_codes,
    scale_terms,
    values,
)
from chipmeter.matmul.units import FusedDot, Unit

_OUTPUTS = {"rz-f32": 0, "rz-e8m13": 1, "rne-f16": 2}


def fused(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: FusedDot, scales: Any, threads: int
) -> None:
    """Multiply codes a (m, k) and b (k, n) into d, whose dtype is that of unit.d."""
    addend = None if c is None else np.ascontiguousarray(c, np.float32)
    direct = d.dtype == np.float32 and d.flags.c_contiguous
    result = d if direct else np.empty(d.shape, np.float32)
    if model.group:
        _grouped(a, b, addend, result, unit, model, scales, threads)
    else:
        _from_codes(a, b, addend, result, unit, model, scales, threads)
    if not direct:
        d[...] = result


def _from_codes(
    a: AnyArray, b: AnyArray, c: NDArray[np.float32] | None, d: NDArray[np.float32], unit: Unit, model: FusedDot,
    scales: Any, threads: int,
) -> None:  # fmt: skip
    m, n = d.shape
    padded = -(-a.shape[1] // unit.k) * unit.k
    left, left_rows = np.zeros((m, n), np.uint8), np.zeros(m, np.uint8)
    product = _kernels.FusedCodes(
        raw_codes(a), code_spec(unit.a), raw_codes(b), code_spec(unit.b), c, -14 if unit.c == "f16" else -126, d, padded,
        min(model.products, unit.k), model.fraction_bits, model.floor_exponent, _OUTPUTS[model.output], _way(unit, model, a, b),
        unit.scale_block, scales[0], scales[1], left, left_rows,
    )  # fmt: skip
    size = product.workspace()
    rows(lambda i, j: product.run(i, j, np.empty(size, np.uint8)), m, n, padded, threads)
    _rest(a, b, c, d, left, left_rows, unit, model, scales, threads)


def _grouped(
    a: AnyArray, b: AnyArray, c: NDArray[np.float32] | None, d: NDArray[np.float32], unit: Unit, model: FusedDot,
    scales: Any, threads: int,
) -> None:  # fmt: skip
    (m, n), k = d.shape, a.shape[1]
    if not takes_groups(unit, model):
        d[...] = general(a, b, c, unit, model, scales, threads)
        return
    left, left_rows = np.zeros((m, n), np.uint8), np.zeros(m, np.uint8)
    size = _kernels.grouped_workspace()

    def work(i: int, j: int) -> None:
        _kernels.grouped(
            raw_codes(a), raw_codes(b), raw_codes(scales[0]), raw_codes(scales[1]), unit.scale_block,
            3 if unit.scale == "ue4m3" else 0, model.fraction_bits, c, d, left, left_rows, i, j, np.empty(size, np.uint8),
        )  # fmt: skip

    rows(work, m, n, k, threads)
    _rest(a, b, c, d, left, left_rows, unit, model, scales, threads)


def takes_groups(unit: Unit, model: FusedDot) -> bool:
    """Whether the kernel of e2m1 in four groups of 16 serves a model; its floor must lie below every accumulator."""
    return (
        unit.a == unit.b == "e2m1"
        and (model.group, min(model.products, unit.k)) == (16, 64)
        and unit.scale_block in (16, 32)
        and 25 <= model.fraction_bits <= 35
        and model.floor_exponent <= -127
        and model.output == "rz-f32"
    )


def _rest(
    a: AnyArray, b: AnyArray, c: NDArray[np.float32] | None, d: NDArray[np.float32], left: NDArray[np.uint8],
    left_rows: NDArray[np.uint8], unit: Unit, model: FusedDot, scales: Any, threads: int,
) -> None:  # fmt: skip
    """Compute the outputs that a kernel from codes has left, by the general one."""
    if left_rows.any():
        i = np.flatnonzero(left_rows)
        j = np.flatnonzero(left[i].any(axis=0))
        some = [None if s is None else np.ascontiguousarray(s[at]) for s, at in zip(scales, (i, j), strict=True)]
        exact = general(a[i], b[:, j], None if c is None else c[np.ix_(i, j)], unit, model, some, threads)
        chosen = np.ix_(i, j)
        d[chosen] = np.where(left[chosen], exact, d[chosen])


WIDE, NARROW, INTEGER = 0, 1, 2
"""How the sums of a step are held: enum cm_fused_way."""

_WINDOW = 50


def _way(unit: Unit, model: FusedDot, a: AnyArray, b: AnyArray) -> int:
    if narrow(unit, model):
        return NARROW
    if (
        min(model.products, unit.k) <= _kernels.integer_products()
        and unit.scale is None
        and within_window(a, unit.a)
        and within_window(b, unit.b)
    ):
        return INTEGER
    return WIDE


def within_window(x: AnyArray, kind: str) -> bool:
    """Whether the nonzero finite elements have exponents in -50..50: wide formats look at the data."""
    fmt = layout_of(kind)
    if fmt.min_exponent >= -_WINDOW and (1 << fmt.exponent_bits) - 1 - fmt.bias <= _WINDOW:
        return True
    return _kernels.exponents_within(raw_codes(x), code_spec(kind), _WINDOW)


def narrow(unit: Unit, model: FusedDot) -> bool:
    """Whether float32 holds every partial sum, and no sum reaches the exponent floor.

    Significands of at most 4 bits, exponents in -15..16, at most 13 kept bits: see cm_fused_codes_args.
    """
    fraction = 0
    least = 0
    for kind in (unit.a, unit.b):
        fmt = layout_of(kind)
        if fmt.mantissa_bits > 3 or fmt.min_exponent < -15 or (1 << fmt.exponent_bits) - 1 - fmt.bias > 16:
            return False
        fraction, least = fraction + fmt.mantissa_bits, least + fmt.min_exponent
    reach = model.floor_exponent - model.fraction_bits  # the finest grid: terms must be multiples of it
    half = unit.c == "f16" and unit.d == "f16"
    return (
        unit.scale is None
        and model.fraction_bits <= 13
        and reach <= least - fraction
        and (model.floor_exponent <= -126 or (half and reach <= -24))
    )


def general(
    a: AnyArray, b: AnyArray, c: NDArray[np.float32] | None, unit: Unit, model: FusedDot, scales: Any, threads: int
) -> NDArray[np.float32]:
    """Run any fused model on operands packed as values and exponents; results are held in float32."""
    m, n = a.shape[0], b.shape[1]
    depth = -(-a.shape[1] // unit.k) * unit.k
    left, right = pack_rows(values(a, unit.a), unit.a, depth), pack_panels(values(b, unit.b), unit.b, depth)
    d = np.empty((m, n), np.float32)
    scale_a: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
    scale_b: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
    if unit.scale is not None:
        count = depth // unit.scale_block
        scale_a = scale_terms(scales[0], unit.scale, count)
        significand, exponent = scale_terms(scales[1], unit.scale, count)
        scale_b = panels_of(significand.T, count), panels_of(exponent.T, count)
    step = min(model.products, unit.k)

    def work(i: int, j: int) -> None:
        _kernels.fused(
            left.arrays, right.arrays, c, -14 if unit.c == "f16" else -126, d, left.mantissa_bits, right.mantissa_bits, step, model.fraction_bits,
            model.floor_exponent, _OUTPUTS[model.output], model.group, unit.scale_block, 3 if unit.scale == "ue4m3" else 0,
            scale_a, scale_b, i, j,
        )  # fmt: skip

    rows(work, m, n, depth, threads)
    return d
