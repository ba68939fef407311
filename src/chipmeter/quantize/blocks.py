"""quantize: a recipe carried out, one kernel call per range of blocks."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import thread_count
from chipmeter.quantize.forward import quantize_tiles
from chipmeter.quantize.panels import quantize_down
from chipmeter.quantize.recipes import Recipe, recipe_of
from chipmeter.quantize.tensor import QuantizedTensor
from chipmeter.quantize.turned import turned


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
    if _turns(x, rule, axis):
        over = x.T
        if axis % 2 == 1 and rule.separable and over.size and over.dtype == np.float32:
            return quantize_down(over, rule, thread_count(threads))
        return turned(quantize(over, rule, axis=1 - axis % 2, threads=threads), threads)
    source = real_array(x, "x")
    if source.dtype != np.float32:
        raise TypeError(
            "quantize takes float32 (or narrower): float64 would be rounded twice; cast it to float32 yourself"
        )
    if source.size == 0 or source.ndim == 0:
        raise ValueError(f"quantize needs at least one axis and one element, got shape {source.shape}")
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -source.ndim <= axis < source.ndim:
        raise ValueError(f"axis must lie in {-source.ndim}..{source.ndim - 1} for shape {source.shape}, got {axis!r}")
    axis %= source.ndim
    workers = thread_count(threads)
    if rule.tail == "refuse":
        _refuse_tails(source.shape, rule, axis)
    if rule.rows > 1 and source.ndim < 2:
        raise ValueError(f"recipe {rule.name!r} makes tiles of {rule.rows} x {rule.block}: x needs two axes")
    if rule.special:
        from chipmeter.quantize.special import quantize_special

        return quantize_special(source, rule, axis)
    parts = quantize_tiles(source, rule, axis, workers)
    return QuantizedTensor(parts.codes, parts.scales, parts.tensor_scale, axis, rule, parts.zero_points)


def _turns(x: ArrayLike, rule: Recipe, axis: int) -> TypeGuard[AnyArray]:
    """Whether x is the transpose of a matrix in memory order and the recipe can run along the other axis of that."""
    if rule.special or rule.signs is not None or rule.adaptive != "none" or rule.tail == "refuse":
        return False
    columns_first = isinstance(x, np.ndarray) and x.ndim == 2 and x.flags.f_contiguous and not x.flags.c_contiguous
    return columns_first and axis in (-2, -1, 0, 1)


def _refuse_tails(shape: tuple[int, ...], rule: Recipe, axis: int) -> None:
    reached = len(shape) - 1 if axis != len(shape) - 1 else axis - 1
    if rule.block and (shape[axis] % rule.block or (rule.rows > 1 and reached >= 0 and shape[reached] % rule.rows)):
        raise ValueError(
            f"recipe {rule.name!r} takes whole blocks of {rule.rows} x {rule.block}, got shape {shape} along axis {axis}"
        )
