"""GEMM orders at work: parts of K by the plain product, put together by whole-matrix steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, assert_never

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, dtype_of, output_array
from chipmeter.formats import cast
from chipmeter.matmul.canonical import canonical
from chipmeter.matmul.emulate import bf16_terms, ozaki
from chipmeter.matmul.epilogue import apply, fma32
from chipmeter.matmul.operands import check_operand, operand_dtype
from chipmeter.matmul.orders import Bf16Terms, Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK
from chipmeter.matmul.packed import elements
from chipmeter.matmul.units import OPERANDS, Unit

Product = Callable[..., AnyArray]
"""The plain product: (a, b, c=None, scale_a=None, scale_b=None) of one unit."""


def run(
    record: Gemm,
    unit: Unit,
    product: Product,
    a: Any,
    b: Any,
    c: AnyArray | None,
    bias: AnyArray | None,
    scale_a: AnyArray | None,
    scale_b: AnyArray | None,
    out: AnyArray | None,
    threads: int,
) -> AnyArray:
    """Multiply in a GEMM order; see `chipmeter.matmul.matmul`."""
    with _kernels.ieee_environment():
        acc = _run(record, unit, product, a, b, c, bias, scale_a, scale_b, threads)
    if out is None:
        return acc
    result = output_array(out, acc.shape, acc.dtype, *(x for x in (a, b, c) if isinstance(x, np.ndarray)))
    result[...] = acc
    return result


def _run(
    record: Gemm,
    unit: Unit,
    product: Product,
    a: Any,
    b: Any,
    c: AnyArray | None,
    bias: AnyArray | None,
    scale_a: AnyArray | None,
    scale_b: AnyArray | None,
    threads: int,
) -> AnyArray:
    order, epilogue = record.order, record.epilogue
    _check_record(record, unit, c, bias)
    block = (scale_a, scale_b) if unit.scale is not None else (None, None)
    outer = (None, None) if unit.scale is not None else (scale_a, scale_b)
    if order is not None:
        kinds = {Bf16Terms: ("f32", "f32"), Ozaki: ("f64", "f64")}.get(type(order), (unit.a, unit.b))
        a = elements(check_operand(a, kinds[0], "a", unit), kinds[0], -1)  # K is cut between elements
        b = elements(check_operand(b, kinds[1], "b", unit), kinds[1], -2)
        if a.shape[-1] != b.shape[-2]:
            raise ValueError(f"a and b must share K: a has shape {a.shape}, b has shape {b.shape}")
    if (
        epilogue is None
        and not (isinstance(order, Promote) and order.scaled)
        and any(scale is not None for scale in outer)
    ):
        raise ValueError(f"{unit.name} takes no block scales, and this GEMM order has no epilogue to apply any")
    match order:
        case None:
            start = c if epilogue is None else None
            acc = product(a, b, start, scale_a=block[0], scale_b=block[1])
        case SplitK():
            acc = _split(order, unit, product, a, b, block)
        case StreamK():
            acc = _stream(order, unit, product, a, b, block)
        case Promote():
            acc = _promote(order, unit, product, a, b, block, outer, threads)
            if order.scaled:
                outer = (None, None)
        case Bf16Terms():
            acc = bf16_terms(order, product, a, b)
        case Ozaki():
            acc = ozaki(order, product, a, b)
        case _:
            assert_never(order)
    if epilogue is not None:
        left, right = _scale(outer[0], acc.shape, "scale_a"), _scale(outer[1], acc.shape, "scale_b")
        addend = None if c is None else _matching(c, acc.shape, epilogue)
        row = None if bias is None else _bias(bias, acc.shape)
        acc = apply(epilogue, acc.astype(np.float32, copy=False), addend, row, left, right, threads)
    elif order is not None:
        canonical(acc)
    return acc


def _check_record(record: Gemm, unit: Unit, c: AnyArray | None, bias: AnyArray | None) -> None:
    """Refuse what contradicts itself before any work is done."""
    order, epilogue = record.order, record.epilogue
    accepted: tuple[str, ...] = ("f32", "f64", "s32")
    if isinstance(order, Promote):
        accepted = ("f32",)
    if isinstance(order, (SplitK, StreamK, Promote)) and unit.d not in accepted:
        raise ValueError(f"{type(order).__name__} adds results in {' or '.join(accepted)}, {unit.name} gives {unit.d}")
    if isinstance(order, Bf16Terms) and (unit.a, unit.b, unit.d) != ("bf16", "bf16", "f32"):
        raise ValueError(f"Bf16Terms runs on a bf16 unit with float32 results, got {unit.name}")
    if isinstance(order, Ozaki) and (unit.a, unit.b) != ("s8", "s8"):
        raise ValueError(f"Ozaki runs on an int8 unit, got {unit.name}")
    if epilogue is not None and (unit.d not in ("f32", "s32") or isinstance(order, Ozaki)):
        given = "the Ozaki scheme gives float64" if isinstance(order, Ozaki) else f"{unit.name} gives {unit.d}"
        raise ValueError(f"an epilogue takes f32 accumulators, or s32 rounded to them; {given}")
    if bias is not None and epilogue is None:
        raise ValueError("bias is added by an epilogue: give gemm=Gemm(..., Epilogue())")
    if c is not None and (epilogue is None or epilogue.beta == 0) and not (order is None and epilogue is None):
        raise ValueError("with this GEMM order c enters as beta * c: give an Epilogue with beta")
    if c is None and epilogue is not None and epilogue.beta != 0:
        raise ValueError(f"an Epilogue with beta = {epilogue.beta} needs c")


def _ranges(
    unit: Unit, a: AnyArray, b: AnyArray, block: tuple[Any, Any], ranges: tuple[tuple[int, int], ...]
) -> tuple[AnyArray, AnyArray, dict[str, Any]]:
    """Operands and scales of some ranges of K, side by side."""
    size, k = unit.scale_block, a.shape[-1]
    if size and (block[0] is None or block[1] is None):
        raise ValueError(
            f"{unit.name} takes operands with block scales: pass scale_a and scale_b, or quantised tensors"
        )
    for begin, end in ranges:
        if size and (begin % size or (end % size and end != k)):
            raise ValueError(f"K is cut at {begin}..{end}, inside a scale block of {size}: choose a multiple of it")

    def take(x: AnyArray, axis: int, divide: int) -> AnyArray:
        parts = [x[_slice(axis, begin // divide, -(-end // divide))] for begin, end in ranges]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)

    scales = {} if not size else {"scale_a": take(block[0], -1, size), "scale_b": take(block[1], -2, size)}
    return take(a, -1, 1), take(b, -2, 1), scales


def _slice(axis: int, begin: int, end: int) -> tuple[Any, ...]:
    return (..., slice(begin, end)) if axis == -1 else (..., slice(begin, end), slice(None))


def _sum(parts: list[AnyArray], combine: str) -> AnyArray:
    with np.errstate(all="ignore"):
        while combine == "pairwise" and len(parts) > 1:
            pairs = [x + y for x, y in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + (parts[-1:] if len(parts) % 2 else [])
        total = parts[0]
        for part in parts[1:]:
            total = total + part
    return total


def _split(order: SplitK, unit: Unit, product: Product, a: AnyArray, b: AnyArray, block: tuple[Any, Any]) -> AnyArray:
    parts = []
    for ranges in order.parts(a.shape[-1]):
        left, right, scales = _ranges(unit, a, b, block, ranges)
        parts.append(product(left, right, **scales))
    return _sum(parts, order.combine)


def _stream(order: StreamK, unit: Unit, product: Product, a: AnyArray, b: AnyArray, block: tuple[Any, Any]) -> AnyArray:
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    d = np.empty((*batch, m, n), operand_dtype(unit.d))
    for (i, j), borders in order.cuts(m, n, k).items():
        rows, columns = slice(i, i + order.tile_m), slice(j, j + order.tile_n)
        parts = []
        for cut in pairwise(borders):
            left, right, scales = _ranges(unit, a[..., rows, :], b[..., columns], _lines(block, rows, columns), (cut,))
            parts.append(product(left, right, **scales))
        d[..., rows, columns] = _sum(parts, "serial")
    return d


def _lines(block: tuple[Any, Any], rows: slice, columns: slice) -> tuple[Any, Any]:
    return (None, None) if block[0] is None else (block[0][..., rows, :], block[1][..., columns])


def _promote(
    order: Promote,
    unit: Unit,
    product: Product,
    a: AnyArray,
    b: AnyArray,
    block: tuple[Any, Any],
    outer: tuple[Any, Any],
    threads: int,
) -> AnyArray:
    every, k = order.every or unit.k, a.shape[-1]
    if order.scaled:
        chains = -(-k // every)
        outer = (_chain_scale(outer[0], a, chains, "scale_a", -1), _chain_scale(outer[1], b, chains, "scale_b", -2))
    total: AnyArray | None = None
    for t, begin in enumerate(range(0, k, every)):
        left, right, scales = _ranges(unit, a, b, block, ((begin, min(begin + every, k)),))
        part = product(left, right, **scales)
        if total is None and order.start == "zero":
            total = np.zeros_like(part)
        with np.errstate(all="ignore"):
            if order.scaled:
                total = fma32(outer[0][..., t : t + 1] * outer[1][..., t : t + 1, :], part, total, threads)
            elif total is None:
                total = part
            else:
                total = total + part
            if order.accumulator == "bf16":
                total = _to_bf16(total, order, t, threads).astype(np.float32)
    if total is None:
        raise ValueError(f"matmul needs at least one element on every axis, K included: a {a.shape}, b {b.shape}")
    return total if order.accumulator == "f32" else total.astype(dtype_of("bfloat16"))


def _to_bf16(x: AnyArray, order: Promote, write: int, threads: int) -> AnyArray:
    if order.rounding == "nearest-even":
        return cast(x, "bfloat16", nan=0x7FFF, threads=threads)
    return cast(
        x, "bfloat16", rounding="stochastic", seed=order.seed, offset=write * x.size, nan=0x7FFF, threads=threads
    )


def _chain_scale(scale: Any, x: AnyArray, chains: int, what: str, axis: int) -> AnyArray:
    shape = (*x.shape[:-1], chains) if axis == -1 else (*x.shape[:-2], chains, x.shape[-1])
    if not isinstance(scale, np.ndarray) or scale.dtype != np.float32:
        got = scale.dtype if isinstance(scale, np.ndarray) else type(scale).__name__
        raise TypeError(f"{what} must be a float32 array of one scale per chain, of shape {shape}, got {got}")
    if scale.shape != shape:
        raise ValueError(f"{what} must have shape {shape}: one scale per chain of K, got {scale.shape}")
    return scale


def _scale(scale: Any, shape: tuple[int, ...], what: str) -> AnyArray | None:
    if scale is None:
        return None
    scale = np.asarray(scale)
    if scale.dtype != np.float32 and not (scale.ndim == 0 and scale.dtype == np.float64):
        raise TypeError(f"{what} must be float32, one number or one per row (M, 1) or column (1, N), got {scale.dtype}")
    if _broadcast(scale.shape, shape) != shape:
        raise ValueError(f"{what} of shape {scale.shape} does not broadcast to the result's {shape}")
    return np.asarray(scale, np.float32)


def _matching(c: AnyArray, shape: tuple[int, ...], record: Epilogue) -> AnyArray:
    accepted = {operand_dtype(t).name for t in ("f32", "bf16", "f16", record.output)}
    if not isinstance(c, np.ndarray) or c.dtype.name not in accepted:
        got = c.dtype if isinstance(c, np.ndarray) else type(c).__name__
        raise TypeError(f"c must be an array of {', '.join(sorted(accepted))} for this epilogue, got {got}")
    if c.shape != shape:
        raise ValueError(f"c must have the result's shape {shape}, got {c.shape}")
    return c


def _bias(bias: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    accepted = {OPERANDS[t] for t in ("f32", "bf16", "f16")}
    if not isinstance(bias, np.ndarray) or bias.dtype.name not in accepted:
        got = bias.dtype if isinstance(bias, np.ndarray) else type(bias).__name__
        raise TypeError(f"bias must be an array of {', '.join(sorted(accepted))}, got {got}")
    if _broadcast(bias.shape, shape) != shape:
        raise ValueError(f"bias of shape {bias.shape} does not broadcast to the result's {shape}")
    return bias


def _broadcast(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(shape, to)
    except ValueError:
        return None
