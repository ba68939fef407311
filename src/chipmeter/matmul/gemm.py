"""matmul: a GEMM as a chain of one matrix unit's instructions over k ascending."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, check_size, output_array
from chipmeter._threads import thread_count
from chipmeter.matmul.execute import execute
from chipmeter.matmul.names import unit as find_unit
from chipmeter.matmul.operands import PANEL, check_operand, check_scales, operand_dtype
from chipmeter.matmul.packed import depth, is_packed
from chipmeter.matmul.units import Order, Unit
from chipmeter.quantize.tensor import QuantizedTensor

if TYPE_CHECKING:
    from chipmeter.matmul.orders import Gemm

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
    gemm: str | Gemm | None = None,
    bias: AnyArray | None = None,
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
        Of the dtype of `unit.a` (ml_dtypes types; float32 for tf32, whose low 13 bits are ignored). Any strides. Of 4-bit
        integers and bits also uint8 that packs them along K (see `chipmeter.matmul.packed`).
    b : ndarray (..., K, N) or QuantizedTensor
        Leading dimensions broadcast as in `numpy.matmul`.
    c : ndarray (..., M, N), optional
        Accumulator input, of the dtype of `unit.c`.
    unit : str or Unit
        See `chipmeter.matmul.unit` for the names; a record of your own works as well.
    scale_a, scale_b : ndarray, optional
        Block scales of a block-scaled unit: (..., M, ceil(K / block)) and (..., ceil(K / block), N), as scale codes.
        A QuantizedTensor brings its own.
    order : str, optional
        For units whose order is not published (`Chain` with policy=True): the order inside a tile, one of
        `Unit.orders`; see `Chain` for what each means.
    gemm : str or Gemm, optional
        What a library does around the unit: split-K, promotion, emulation, an epilogue (see `chipmeter.matmul.orders`).
        The unit's own arithmetic stays as it is; where there is an epilogue, `scale_a` and `scale_b` of an unscaled unit
        are its float32 scales, `c` is its beta operand, and the result has its output type.
    bias : ndarray, optional
        Added by the epilogue of `gemm`; broadcasts to the result.
    out : ndarray, optional
        C-contiguous, of the result's shape and dtype, overlapping no input.
    threads : int, optional
        Default CHIPMETER_NUM_THREADS, else 1.

    Returns
    -------
    ndarray (..., M, N)
        Of the dtype of `unit.d`. For QuantizedTensor operands with float32 scales (per tensor, per row, or the tensor
        scale of NVFP4) the result is then multiplied by their product in float32, as an epilogue does: one rounding for
        the product of the scales, one for the result; s32 results are first rounded to float32.

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
    if gemm is not None:
        from chipmeter.matmul import library  # most products have none around them
        from chipmeter.matmul.gemms import gemm as find_gemm

        plain = partial(matmul, unit=chosen, threads=threads)
        record, workers = find_gemm(gemm), thread_count(threads)
        return library.run(record, chosen, plain, a, b, c, bias, scale_a, scale_b, out, workers)
    if bias is not None:
        raise ValueError("bias is added by an epilogue: give gemm=Gemm(epilogue=Epilogue())")
    a, scale_a, alpha_a = _unwrap(a, scale_a, "a", chosen, -1)
    b, scale_b, alpha_b = _unwrap(b, scale_b, "b", chosen, -2)
    left, right = check_operand(a, chosen.a, "a", chosen), check_operand(b, chosen.b, "b", chosen)
    m, n = left.shape[-2], right.shape[-1]
    k, k_b = depth(left, chosen.a, -1), depth(right, chosen.b, -2)
    if k != k_b:
        packed = f" ({k} and {k_b} elements)" if is_packed(left, chosen.a) or is_packed(right, chosen.b) else ""
        raise ValueError(f"a and b must share K: a has shape {left.shape}, b has shape {right.shape}{packed}")
    batch: tuple[int, ...] = ()
    if left.ndim > 2 or right.ndim > 2:
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
    factor = _product_of(alpha_a, alpha_b)
    kind = operand_dtype(chosen.d)
    result = output_array(out, shape, kind if factor is None else np.dtype(np.float32), left, right, c)
    total = result if kind == result.dtype else np.empty(shape, kind)
    workers = thread_count(threads)

    if batch:
        left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
        right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    for at in np.ndindex(*batch) if batch else ((),):
        pair: tuple[Scales, Scales] = (None, None)
        if scales is not None:
            pair = tuple(
                _scale_operand(s, at, batch, k, chosen, last) for s, last in zip(scales, (True, False), strict=True)
            )  # type: ignore[assignment]
        execute(left[at], right[at], None if addend is None else addend[at], total[at], chosen, pair, workers)
    if factor is not None:
        with _kernels.ieee_environment(), np.errstate(all="ignore"):
            np.multiply(total.astype(np.float32, copy=False), factor, out=result)
    return result


def _product_of(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Multiply the float32 scales of both operands, where there are any."""
    if a is None or b is None:
        return b if a is None else a
    with _kernels.ieee_environment(), np.errstate(all="ignore"):
        return np.asarray(a * b, np.float32)


def _unwrap(
    x: AnyArray | QuantizedTensor, scale: AnyArray | None, what: str, unit: Unit, axis: int
) -> tuple[AnyArray, AnyArray | None, NDArray[np.float32] | None]:
    """Take a QuantizedTensor apart: codes, block scales for the unit, float32 scales for the epilogue."""
    if not isinstance(x, QuantizedTensor):
        return x, scale, None
    if scale is not None:
        raise ValueError(f"{what} is a QuantizedTensor and brings its scales: scale_{what} must be left out")
    if unit.d not in ("f32", "s32"):
        raise ValueError(f"quantised operands need a unit with f32 or s32 results, {unit.name} gives {unit.d}")
    for field, there in (
        ("rows", x.recipe.rows > 1),
        ("mapping", x.zero_points is not None),
        ("signs", x.recipe.signs is not None),
    ):
        if there:
            raise ValueError(f"no unit multiplies {what} as {x.recipe.name} stores it ({field}): dequantize it first")
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
