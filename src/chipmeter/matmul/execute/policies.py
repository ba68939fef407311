"""Orders that no vendor has published, by existing kernels where they can express one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.matmul.execute.fused import fused
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of, values
from chipmeter.matmul.units import TRUNCATED, Chain, Unit

Float32 = NDArray[np.float32]

_NAN = np.uint32(0x7FFFFFFF).view(np.float32)
_HIGH = np.uint32(0xFFFFF000)  # sign, exponent and 11 fraction bits: 12 significant ones, so products are exact


def policy(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> Float32:
    """Run tiles in one of the policy orders over codes; results are float32 with canonical NaN."""
    with _kernels.ieee_environment():
        if model.order == "truncated":
            return _truncated(a, b, c, unit, model, scales, threads)
        return _policy(values(a, unit.a), values(b, unit.b), c, unit, model, scales, threads)


def _policy(
    a: Float32, b: Float32, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> Float32:
    match model.order:
        case "bf16-products" | "element-sums":
            if unit.scale is not None:
                a, b = dequantize(a, scales[0], unit), _columns(b, scales[1], unit)
            return _kernel(a, b, c, model, 0 if model.order == "bf16-products" else 1, threads)
        case "group-scaled":
            return _group_scaled(a, b, c, unit, model, scales, threads)
        case "four-pass" | "three-pass":
            return _passes(a, b, c, model, threads)
        case "sequential" | "pairwise" | "f64" | "truncated":
            raise AssertionError(model.order)
        case _:
            assert_never(model.order)


def dequantize(x: Float32, scales: AnyArray, unit: Unit) -> Float32:
    """Multiply each block along the last axis by its scale, in float32."""
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"  # which ignores the byte's top bit
    factors = np.repeat(decode(scales, kind), unit.scale_block, axis=1)[:, : x.shape[1]]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.asarray(x * factors, np.float32)


def _columns(b: Float32, scales: AnyArray, unit: Unit) -> Float32:
    return dequantize(np.ascontiguousarray(b.T), scales, unit).T


def _kernel(a: Float32, b: Float32, c: AnyArray | None, model: Chain, kind: int, threads: int) -> Float32:
    left, panels = np.ascontiguousarray(a), panels_of(b, a.shape[1])
    addend = None if c is None else np.ascontiguousarray(c)
    d = np.empty((a.shape[0], b.shape[1]), np.float32)

    def work(i: int, j: int) -> None:
        _kernels.policy(left, panels, addend, d, model.tile, model.lanes, kind, i, j)

    rows(work, *d.shape, a.shape[1], threads)
    return d


def _tiles(depth: int, tile: int, c: AnyArray | None, part: Callable[[slice], Float32]) -> Float32:
    """Add the parts of each tile to the accumulator; without one the first part overwrites it."""
    total = None if c is None else np.array(c, np.float32)
    for k in range(0, depth, tile):
        one = part(slice(k, min(k + tile, depth)))
        with np.errstate(all="ignore"):
            total = one if total is None else np.add(total, one, out=total)
    assert total is not None
    return canonical(total)


def canonical(x: Float32) -> Float32:
    """Write the canonical NaN over every other."""
    x[np.isnan(x)] = _NAN
    return x


def _truncated(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> Float32:
    block = unit.scale_block
    step = Unit(f"{unit.name} (step)", unit.a, unit.b, "f32", "f32", 32, TRUNCATED, unit.evidence, unit.scale, block)

    def part(k: slice) -> Float32:
        blocks = slice(k.start // block, -(-k.stop // block)) if block else slice(0)
        inner = tuple(np.ascontiguousarray(s[:, blocks]) for s in scales) if block else (None, None)
        d = np.empty((a.shape[0], b.shape[1]), np.float32)
        fused(a[:, k], b[k], None, d, step, TRUNCATED, inner, threads)
        return d

    return _tiles(a.shape[1], model.tile, c, part)


def _chained(a: Float32, b: Float32, c: AnyArray | None, tile: int, threads: int) -> Float32:
    left, panels = np.ascontiguousarray(a), panels_of(b, a.shape[1])
    d = np.empty((a.shape[0], b.shape[1]), np.float32)

    def work(i: int, j: int) -> None:
        _kernels.chain_f32(left, panels, c, d, tile, 0, i, j)

    rows(work, *d.shape, a.shape[1], threads)
    return d


def _group_scaled(
    a: Float32, b: Float32, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> Float32:
    block = unit.scale_block
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"
    left, right = (decode(s, kind).astype(np.float64) for s in scales)

    def part(k: slice) -> Float32:
        column = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for at in range(k.start, k.stop, block):
            end = min(at + block, k.stop)
            group = _chained(a[:, at:end], b[at:end], None, end - at, threads).astype(np.float64)
            with np.errstate(all="ignore"):  # binary64 holds the scaled sum exactly; the one rounding is to float32
                group *= np.outer(left[:, at // block], right[:, at // block])
                column += group.astype(np.float32)
        return column

    return _tiles(a.shape[1], model.tile, c, part)


def halves(x: Float32) -> tuple[Float32, Float32]:
    """Cut float32 into 12 high bits and the rest, exactly; infinities and NaN are all high."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    finite = np.isfinite(x)
    high = np.where(finite, bits & _HIGH, bits).view(np.float32)
    with np.errstate(invalid="ignore"):
        return high, np.where(finite, x - high, np.float32(0))


def _passes(a: Float32, b: Float32, c: AnyArray | None, model: Chain, threads: int) -> Float32:
    """One kernel call: the passes of each tile lie behind one another along K, each a tile of its own."""
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    lefts, rights = [a_high, a_high, a_low, a_low], [b_high, b_low, b_high, b_low]
    passes, tile, depth = 4 if model.order == "four-pass" else 3, model.tile, a.shape[1]
    total = None if c is None else np.ascontiguousarray(c, np.float32)
    whole = depth // tile * tile
    for begin, end, size in ((0, whole, tile), (whole, depth, depth - whole)):
        if begin == end:
            continue
        left = np.stack([x[:, begin:end].reshape(len(a), -1, size) for x in lefts[:passes]], axis=2)
        right = np.stack([x[begin:end].reshape(-1, size, b.shape[1]) for x in rights[:passes]], axis=1)
        total = _chained(left.reshape(len(a), -1), right.reshape(-1, b.shape[1]), total, size, threads)
    assert total is not None
    return total
