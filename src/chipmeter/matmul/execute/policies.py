"""Orders that no vendor has published, by existing kernels where they can express one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.matmul.canonical import canonical
from chipmeter.matmul.execute.chain import dequantize
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of, values
from chipmeter.matmul.units import TRUNCATED, Chain, Unit

Float32 = NDArray[np.float32]
Execute = Callable[[AnyArray, AnyArray, AnyArray | None, AnyArray, Unit, tuple[Any, Any], int], None]
"""The plain product of one unit, into its fourth argument: `chipmeter.matmul.execute.execute`."""

POLICIES = ("element-sums", "truncated", "group-scaled", "bf16-products", "four-pass", "three-pass")
"""The orders that are executed here; the others are the chain's own."""

_HIGH = np.uint32(0xFFFFF000)  # sign, exponent and 11 fraction bits: 12 significant ones, so products are exact


def policy(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int,
    execute: Execute,
) -> Float32:  # fmt: skip
    """Run tiles in one of the policy orders; results are float32 with canonical NaN."""
    with _kernels.ieee_environment():
        match model.order:
            case "bf16-products" | "element-sums":
                left, right = values(a, unit.a), values(b, unit.b)
                if unit.scale is not None:
                    left, right = dequantize(left, scales[0], unit), _columns(right, scales[1], unit)
                return _kernel(left, right, c, model, 0 if model.order == "bf16-products" else 1, threads)
            case "truncated":
                return _truncated(a, b, c, unit, model, scales, threads, execute)
            case "group-scaled":
                left, right = values(a, unit.a), values(b, unit.b)
                return _group_scaled(left, right, c, unit, model, scales, threads, execute)
            case "four-pass" | "three-pass":
                return _passes(a, b, c, unit, model, threads, execute)
            case _:
                raise AssertionError(model.order)


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


def _truncated(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int,
    execute: Execute,
) -> Float32:  # fmt: skip
    block = unit.scale_block
    step = Unit(f"{unit.name} (step)", unit.a, unit.b, "f32", "f32", 32, TRUNCATED, unit.evidence, unit.scale, block)

    def part(k: slice) -> Float32:
        blocks = slice(k.start // block, -(-k.stop // block)) if block else slice(0)
        inner = (
            (np.ascontiguousarray(scales[0][:, blocks]), np.ascontiguousarray(scales[1][:, blocks]))
            if block
            else (None, None)
        )
        d = np.empty((a.shape[0], b.shape[1]), np.float32)
        execute(np.ascontiguousarray(a[:, k]), np.ascontiguousarray(b[k]), None, d, step, inner, threads)
        return d

    return _tiles(a.shape[1], model.tile, c, part)


def _chained(
    a: Float32, b: Float32, c: AnyArray | None, unit: Unit, tile: int, threads: int, execute: Execute
) -> Float32:
    """Chain float32 operands in tiles."""
    chain = Unit(f"{unit.name} (chain)", "f32", "f32", "f32", "f32", 1, Chain("sequential", tile), unit.evidence)
    d = np.empty((a.shape[0], b.shape[1]), np.float32)
    execute(np.ascontiguousarray(a), np.ascontiguousarray(b), c, d, chain, (None, None), threads)
    return d


def _group_scaled(
    a: Float32, b: Float32, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int,
    execute: Execute,
) -> Float32:  # fmt: skip
    block = unit.scale_block
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"
    left, right = (decode(s, kind).astype(np.float64) for s in scales)

    def part(k: slice) -> Float32:
        column = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for at in range(k.start, k.stop, block):
            end = min(at + block, k.stop)
            group = _chained(a[:, at:end], b[at:end], None, unit, end - at, threads, execute).astype(np.float64)
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


def _passes(
    a: Float32, b: Float32, c: AnyArray | None, unit: Unit, model: Chain, threads: int, execute: Execute
) -> Float32:
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
        total = _chained(left.reshape(len(a), -1), right.reshape(-1, b.shape[1]), total, unit, size, threads, execute)
    assert total is not None
    return total
