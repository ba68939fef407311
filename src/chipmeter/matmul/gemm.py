"""matmul: a GEMM as a chain of one matrix unit's instructions over k ascending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, check_size, output_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import decode
from chipmeter.matmul.names import unit as find_unit
from chipmeter.matmul.operands import (
    PANEL,
    check_operand,
    check_scales,
    operand_dtype,
    pack_panels,
    pack_rows,
    panels_of,
    scale_terms,
    values,
)
from chipmeter.matmul.units import Chain, FusedDot, IntegerDot, Order, PairedHalves, Unit
from chipmeter.quantize.tensor import QuantizedTensor

GRAIN = 1 << 20
"""Multiply-adds below which another thread costs more than it saves."""

_OUTPUTS = {"rz-f32": 0, "rz-e8m13": 1, "rne-f16": 2}
_ORDERS = {"sequential": 0, "pairwise": 1, "f64": 2}

Scales = tuple[AnyArray, AnyArray] | None


def matmul(
    a: AnyArray | QuantizedTensor,
    b: AnyArray | QuantizedTensor,
    c: AnyArray | None = None,
    *,
    unit: str | Unit,
    scale_a: AnyArray | None = None,
    scale_b: AnyArray | None = None,
    order: Order | None = None,
    out: AnyArray | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Multiply matrices with the bits of a matrix unit: d = a @ b + c.

    Rounding: one chain of instructions per output, k ascending, K padded with zeros to whole instructions; each
    instruction by the unit's model (`Unit.model`). Without `c` the accumulator starts at +0. NaN results are the unit's
    canonical NaN (0x7FFFFFFF in float32, 0x7FFF in float16). Same bits on every tier and for any number of threads.

    Parameters
    ----------
    a : ndarray (..., M, K) or QuantizedTensor
        Of the dtype of `unit.a` (ml_dtypes types; float32 for tf32, whose low 13 bits are ignored). Any strides.
    b : ndarray (..., K, N) or QuantizedTensor
        Leading dimensions broadcast as in `numpy.matmul`.
    c : ndarray (..., M, N), optional
        Accumulator input, of the dtype of `unit.c`.
    unit : str or Unit
        See `chipmeter.matmul.unit` for the names; a record of your own works as well.
    scale_a, scale_b : ndarray, optional
        Block scales of a block-scaled unit: (..., M, ceil(K / block)) and (..., ceil(K / block), N), as scale codes.
        A QuantizedTensor brings its own.
    order : {"sequential", "pairwise", "f64"}, optional
        For units whose order is not published (`Chain` with policy=True): the order inside a tile.
    out : ndarray, optional
        C-contiguous, of the result's shape and dtype, overlapping no input.
    threads : int, optional
        Default CHIPMETER_NUM_THREADS, else 1.

    Returns
    -------
    ndarray (..., M, N)
        Of the dtype of `unit.d`. For QuantizedTensor operands with float32 scales (per tensor, per row, or the tensor
        scale of NVFP4) the result is then multiplied by their product in float32, as an epilogue does: one rounding for
        the product of the scales, one for the result.

    Raises
    ------
    TypeError, ValueError
        For wrong dtypes, shapes that do not match, an empty operand or K = 0, missing or superfluous scales, an
        unknown unit, an order that is no policy, an unusable `out`.

    Examples
    --------
    >>> import chipmeter as cm
    >>> x = np.eye(2, 4, dtype=np.float16)
    >>> matmul(x, x.T, unit="a100/fp16")
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    >>> w = cm.quantize(np.ones((4, 64), np.float32), "nvfp4")
    >>> matmul(w, cm.quantize(np.ones((64, 2), np.float32), "nvfp4", axis=0), unit="b200/nvfp4")[0]
    array([64., 64.], dtype=float32)
    """
    chosen = find_unit(unit)
    if order is not None:
        chosen = chosen.with_order(order)
    a, scale_a, alpha_a = _unwrap(a, scale_a, "a", chosen, -1)
    b, scale_b, alpha_b = _unwrap(b, scale_b, "b", chosen, -2)
    left, right = check_operand(a, chosen.a, "a", chosen), check_operand(b, chosen.b, "b", chosen)
    (m, k), (k_b, n) = left.shape[-2:], right.shape[-2:]
    if k != k_b:
        raise ValueError(f"a and b must share K: a has shape {left.shape}, b has shape {right.shape}")
    try:
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"leading dimensions do not broadcast: a {left.shape}, b {right.shape}") from None
    shape = (*batch, m, n)
    if 0 in left.shape or 0 in right.shape:
        raise ValueError(
            f"matmul needs at least one element on every axis, K included: a {left.shape}, b {right.shape}"
        )
    check_size((*batch, -(-m // PANEL) * PANEL, -(-n // PANEL) * PANEL), 8, "the result")
    scales = _scales(scale_a, scale_b, left, right, chosen)
    addend = _check_c(c, shape, chosen, epilogue=alpha_a is not None or alpha_b is not None)
    result = output_array(out, shape, operand_dtype(chosen.d), left, right, c)
    workers = thread_count(threads)

    left = np.broadcast_to(left, (*batch, m, k))
    right = np.broadcast_to(right, (*batch, k, n))
    for at in np.ndindex(*batch):
        pair: tuple[Scales, Scales] = (None, None)
        if scales is not None:
            pair = tuple(
                _scale_operand(s, at, batch, k, chosen, last) for s, last in zip(scales, (True, False), strict=True)
            )  # type: ignore[assignment]
        _one(left[at], right[at], None if addend is None else addend[at], result[at], chosen, pair, workers)
    if alpha_a is not None or alpha_b is not None:
        one = np.ones((), np.float32)
        alpha = (one if alpha_a is None else alpha_a) * (one if alpha_b is None else alpha_b)
        np.multiply(result, alpha, out=result)
    return result


def _unwrap(
    x: AnyArray | QuantizedTensor, scale: AnyArray | None, what: str, unit: Unit, axis: int
) -> tuple[AnyArray, AnyArray | None, NDArray[np.float32] | None]:
    """Take a QuantizedTensor apart: codes, block scales for the unit, float32 scales for the epilogue."""
    if not isinstance(x, QuantizedTensor):
        return x, scale, None
    if scale is not None:
        raise ValueError(f"{what} is a QuantizedTensor and brings its scales: scale_{what} must be left out")
    if operand_dtype(unit.d) != np.float32:
        raise ValueError(f"quantised operands need a unit with a float32 result, {unit.name} gives {unit.d}")
    per_block = x.recipe.granularity == "block"
    if per_block and (unit.scale is None or x.recipe.block != unit.scale_block):
        raise ValueError(
            f"{what} has one scale per {x.recipe.block} elements ({x.recipe.name}), {unit.name} takes "
            + (f"one per {unit.scale_block}" if unit.scale_block else "none")
        )
    if x.recipe.granularity != "tensor" and x.axis - len(x.shape) != axis:
        raise ValueError(
            f"{what} must be quantised along K (axis {axis}), got axis {x.axis - len(x.shape)} of shape {x.shape}"
        )
    if not per_block:
        return x.codes, None, x.scales
    return x.codes, x.scales, np.asarray(x.tensor_scale) if x.recipe.two_level else None


def _scales(
    scale_a: AnyArray | None, scale_b: AnyArray | None, a: AnyArray, b: AnyArray, unit: Unit
) -> tuple[AnyArray, AnyArray] | None:
    if unit.scale is None:
        if scale_a is not None or scale_b is not None:
            raise ValueError(f"{unit.name} takes no block scales")
        return None
    if scale_a is None or scale_b is None:
        raise ValueError(
            f"{unit.name} needs scale_a and scale_b: one {unit.scale} scale per {unit.scale_block} elements of K"
        )
    count = -(-a.shape[-1] // unit.scale_block)
    return (
        check_scales(scale_a, a.shape[:-1], count, "scale_a", unit, last=True),
        check_scales(scale_b, (*b.shape[:-2], b.shape[-1]), count, "scale_b", unit, last=False),
    )


def _scale_operand(
    scale: AnyArray, at: tuple[int, ...], batch: tuple[int, ...], depth: int, unit: Unit, last: bool
) -> AnyArray:
    """Scale codes of one matrix of the batch, as (lines, scales)."""
    one = np.broadcast_to(scale.view(np.uint8), (*batch, *scale.shape[-2:]))[at]
    return np.ascontiguousarray(one if last else one.T)


def _check_c(c: AnyArray | None, shape: tuple[int, ...], unit: Unit, *, epilogue: bool) -> AnyArray | None:
    if c is None:
        return None
    if epilogue:
        raise ValueError("c cannot be added to operands whose float32 scales apply after the product; add it yourself")
    c = check_operand(c, unit.c, "c", unit)
    if c.shape != shape:
        raise ValueError(f"c must have the result's shape {shape}, got {c.shape}")
    return c


def _one(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, scales: tuple[Any, Any], threads: int
) -> None:
    """Multiply one pair of matrices."""
    match unit.model:
        case FusedDot():
            addend = None if c is None else np.ascontiguousarray(c, np.float32)
            d[...] = _fused(values(a, unit.a), values(b, unit.b), addend, unit, unit.model, scales, threads)
        case PairedHalves():
            d[...] = _paired(values(a, unit.a), values(b, unit.b), c, unit, unit.model, threads)
        case Chain():
            d[...] = _chain(a, b, c, unit, unit.model, scales, threads)
        case IntegerDot():
            d[...] = _integer(a, b, c, unit, unit.model, threads)
        case _:
            assert_never(unit.model)


def _rows(work: Callable[[int, int], None], m: int, n: int, k: int, threads: int) -> None:
    split(work, m, threads, max(1, GRAIN // (n * k)))


def _fused(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32] | None,
    unit: Unit,
    model: FusedDot,
    scales: tuple[Any, Any],
    threads: int,
) -> NDArray[np.float32]:
    (m, k), n = a.shape, b.shape[1]
    depth = -(-k // unit.k) * unit.k
    left, right = pack_rows(a, unit.a, depth), pack_panels(b, unit.b, depth)
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

    _rows(work, m, n, depth, threads)
    return d


def _paired(
    a: NDArray[np.float32], b: NDArray[np.float32], c: AnyArray | None, unit: Unit, model: PairedHalves, threads: int
) -> AnyArray:
    """Two f16 steps per 32 products, from zero; then the accumulator is added with one rounding."""
    half = Unit(f"{unit.name} (half)", "f16", "f16", unit.c, unit.d, 16, model.step, unit.evidence)
    k = np.arange(-(-a.shape[1] // 32) * 32).reshape(-1, 32)
    pad = k.size - a.shape[1]
    a, b = np.pad(a, ((0, 0), (0, pad))), np.pad(b, ((0, pad), (0, 0)))
    dtype = operand_dtype(unit.d)
    total = np.zeros((a.shape[0], b.shape[1]), dtype) if c is None else c
    for block in k:
        h: NDArray[np.float32] | None = None
        for parity in (0, 1):
            part = block[block // 2 % 2 == parity]
            h = _fused(
                np.ascontiguousarray(a[:, part]),
                np.ascontiguousarray(b[part]),
                h,
                half,
                model.step,
                (None, None),
                threads,
            )
        assert h is not None
        with np.errstate(all="ignore"):
            total = h.astype(dtype) + total
        total[np.isnan(total)] = _canonical_nan(dtype)
    return total


def _canonical_nan(dtype: np.dtype[Any]) -> Any:
    return np.uint16(0x7FFF).view(np.float16) if dtype == np.float16 else np.uint32(0x7FFFFFFF).view(np.float32)


def _chain(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> AnyArray:
    left, right = values(a, unit.a), values(b, unit.b)
    if unit.scale is not None:
        left = _dequantize(left, scales[0], unit)
        right = _dequantize(np.ascontiguousarray(right.T), scales[1], unit).T
    depth = (
        left.shape[1] if model.tile else -(-left.shape[1] // unit.k) * unit.k
    )  # zeros turn an accumulator of -0 to +0
    left = np.ascontiguousarray(np.pad(left, ((0, 0), (0, depth - left.shape[1]))))
    panels = panels_of(right, depth)
    addend = None if c is None else np.ascontiguousarray(c)
    d = np.empty((left.shape[0], b.shape[1]), left.dtype)
    kernel = _kernels.chain_f64 if left.dtype == np.float64 else _kernels.chain_f32

    def work(i: int, j: int) -> None:
        kernel(left, panels, addend, d, model.tile, _ORDERS[model.order], i, j)

    _rows(work, len(left), d.shape[1], left.shape[1], threads)
    return d


def _dequantize(x: NDArray[np.float32], scales: AnyArray, unit: Unit) -> NDArray[np.float32]:
    """Multiply each block along the last axis by its scale, in float32."""
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"  # which ignores the byte's top bit
    factors = np.repeat(decode(scales, kind), unit.scale_block, axis=1)[:, : x.shape[1]]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.asarray(x * factors, np.float32)


def _integer(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: IntegerDot, threads: int
) -> NDArray[np.int32]:
    left, panels = np.ascontiguousarray(a, np.int32), panels_of(b.astype(np.int32), b.shape[0])
    addend = None if c is None else np.ascontiguousarray(c)
    d = np.empty((a.shape[0], b.shape[1]), np.int32)

    def work(i: int, j: int) -> None:
        _kernels.integer(left, panels, addend, d, unit.k if model.clamp else 0, i, j)

    _rows(work, len(left), d.shape[1], left.shape[1], threads)
    return d
