"""quantize: a recipe carried out, one kernel call per range of blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.policies import decode_spec, encode_spec
from chipmeter.formats.records import FORMATS, FloatFormat, IntegerFormat
from chipmeter.quantize.recipes import Recipe, recipe_of
from chipmeter.quantize.tensor import QuantizedTensor

GRAIN = 1 << 16
"""Elements below which another thread costs more than it saves."""

_RULES = {"floor": 0, "ceil": 1, "even": 2, "round-up": 3, "headroom": 4, "three-quarters": 5}
_E4M3 = FORMATS["float8_e4m3fn"]


def quantize(x: ArrayLike, recipe: str | Recipe, *, axis: int = -1, threads: int | None = None) -> QuantizedTensor:
    """Quantise a tensor by a recipe.

    Rounding: scales as the recipe's rule says (exact integer arithmetic on the bits of amax for powers of two; IEEE
    float32 operations otherwise); elements are x times the reciprocal of a power-of-two scale, or x / scale, in
    float32, then one rounding to nearest even that saturates. Same bits on every tier and for any number of threads.

    Parameters
    ----------
    x : array_like of float32
        float16, bfloat16 and narrower floats are widened exactly; float64 is refused, as it would round twice.
    recipe : str or Recipe
        A name (`chipmeter.quantize.RECIPES`) or a record of your own.
    axis : int
        The axis that blocks run along; for "row" the axis that shares a scale.
    threads : int, optional

    Returns
    -------
    QuantizedTensor
        Where the axis is not a multiple of the block, the last block is shorter and its scale is that of the elements
        it has. NVFP4 of an all-zero tensor takes the tensor scale 1.

    Notes
    -----
    NaN in a power-of-two block makes its scale NaN (255), and so does infinity; in the other recipes NaN and infinity
    reach the scale they share.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, an unknown recipe, an axis out of range, or an empty array.

    Examples
    --------
    >>> q = quantize(np.arange(64, dtype=np.float32).reshape(2, 32), "mxfp8")
    >>> q
    QuantizedTensor(mxfp8, shape (2, 32), 8.25 bits, scales (2, 1))
    >>> q.scales.view(np.uint8).ravel()
    array([123, 124], dtype=uint8)
    """
    rule = recipe_of(recipe)
    source = real_array(x, "x")
    if source.dtype != np.float32:
        raise TypeError(
            "quantize takes float32 (or narrower): float64 would be rounded twice; cast it to float32 yourself"
        )
    if source.size == 0 or source.ndim == 0:
        raise ValueError(f"quantize needs at least one axis and one element, got shape {source.shape}")
    if not -source.ndim <= axis < source.ndim:
        raise ValueError(f"axis must lie in {-source.ndim}..{source.ndim - 1} for shape {source.shape}, got {axis}")
    axis %= source.ndim
    moved = np.ascontiguousarray(np.moveaxis(source, axis, -1))
    workers = thread_count(threads)
    if (
        rule.tail == "refuse"
        and rule.block
        and (moved.shape[-1] % rule.block or (moved.shape[-2:-1] or (1,))[0] % rule.rows)
    ):
        raise ValueError(
            f"recipe {rule.name!r} takes whole blocks of {rule.rows} x {rule.block}, got shape {source.shape} along axis {axis}"
        )
    if rule.special:
        from chipmeter.quantize.special import quantize_special

        return quantize_special(source, rule, axis)
    tensor_scale, zero = np.float32(1), None
    if not rule.plain:
        from chipmeter.quantize.general import quantize_general

        codes, scales, tensor_scale, zero = quantize_general(moved, rule)
    elif rule.granularity == "block":
        codes, scales, tensor_scale = _quantize_blocks(moved, rule, workers)
    else:
        codes, scales = _quantize_scaled(moved, rule, workers)
    if rule.granularity != "tensor":
        scales = np.ascontiguousarray(np.moveaxis(scales, -1, axis))
    if zero is not None:
        zero = np.ascontiguousarray(np.moveaxis(zero, -1, axis))
    return QuantizedTensor(np.ascontiguousarray(np.moveaxis(codes, -1, axis)), scales, tensor_scale, axis, rule, zero)


def _quantize_blocks(x: NDArray[np.float32], rule: Recipe, threads: int) -> tuple[AnyArray, AnyArray, np.float32]:
    """Codes, scales and tensor scale of blocks along the last axis."""
    length = x.shape[-1]
    count = -(-length // rule.block)
    if length % rule.block:  # zeros at the end change neither amax nor any code before them
        padded = np.zeros((*x.shape[:-1], count * rule.block), np.float32)
        padded[..., :length] = x
        x = padded
    blocks = x.reshape(-1, rule.block)
    codes = _recycle.empty(blocks.shape, np.dtype(np.uint8))
    scales = np.empty(len(blocks), np.uint8)
    element = rule.element_format
    assert isinstance(element, FloatFormat)
    spec = encode_spec(element, "nearest-even", "saturate")
    tensor_scale = np.float32(1)
    grain = max(1, GRAIN // rule.block)
    if rule.two_level:
        tensor_scale = nvfp4_tensor_scale(x)
        scale_spec, back = encode_spec(_e4m3(), "nearest-even", "ofp8"), decode_spec(_e4m3())

        def work(i: int, j: int) -> None:
            _kernels.nvfp4_f32(
                blocks[i:j],
                codes[i:j],
                scales[i:j],
                float(tensor_scale),
                2.0**-6,
                448.0,
                element.max,
                scale_spec,
                back,
                spec,
            )

    else:
        top = np.float32(element.max).view(np.uint32) & 0x7FFFFF
        kind = _RULES[rule.rule]

        def work(i: int, j: int) -> None:
            _kernels.mx_f32(blocks[i:j], codes[i:j], scales[i:j], kind, element.max_exponent, int(top), True, spec)

    split(work, len(blocks), threads, grain)
    shaped = codes.reshape(x.shape)[..., :length].view(code_dtype(element))
    return shaped, scales.reshape(*x.shape[:-1], count).view(code_dtype(FORMATS[rule.scale])), tensor_scale


def nvfp4_tensor_scale(x: NDArray[np.float32]) -> np.float32:
    """Second-level scale of NVFP4: amax / (448 * 6) in float32, 1 for an all-zero tensor.

    >>> nvfp4_tensor_scale(np.float32([-2688, 1]))
    np.float32(1.0)
    """
    amax = np.uint32(_kernels.amax_f32(x.reshape(-1))).view(np.float32)
    return np.float32(1) if amax == 0 else np.float32(amax / np.float32(448.0 * 6.0))


def _quantize_scaled(x: NDArray[np.float32], rule: Recipe, threads: int) -> tuple[AnyArray, AnyArray]:
    """Codes and float32 scales amax / element maximum of the whole tensor or of each row; an all-zero one takes 1."""
    rows = x.reshape(1, -1) if rule.granularity == "tensor" else x.reshape(-1, x.shape[-1])
    element = rule.element_format
    assert isinstance(element, (FloatFormat, IntegerFormat))
    amax = np.asarray([_kernels.amax_f32(row) for row in rows], np.uint32).view(np.float32)
    scales = np.where(amax == 0, np.float32(1), amax / np.float32(element.max)).astype(np.float32)
    scales = np.where(scales == 0, np.float32(2.0**-149), scales)  # amax so small that the quotient vanished
    if isinstance(element, IntegerFormat):
        signed = np.empty(rows.shape, np.int8)

        def work(i: int, j: int) -> None:
            _kernels.scaled_f32_s8(rows[i:j], scales[i:j], signed[i:j], -element.max, element.max)

        codes: AnyArray = signed
    else:
        raw = _recycle.empty(rows.shape, np.dtype(np.uint8))
        spec = encode_spec(element, "nearest-even", "saturate")

        def work(i: int, j: int) -> None:
            _kernels.scaled_f32_u8(rows[i:j], scales[i:j], raw[i:j], spec)

        codes = raw.view(code_dtype(element))
    split(work, len(rows), threads, max(1, GRAIN // rows.shape[1]))
    shape = () if rule.granularity == "tensor" else (*x.shape[:-1], 1)
    return codes.reshape(x.shape), scales.reshape(shape)


def _e4m3() -> FloatFormat:
    assert isinstance(_E4M3, FloatFormat)
    return _E4M3
