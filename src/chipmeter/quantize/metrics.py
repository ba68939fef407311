"""Error of an approximation against the truth."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter.formats.codec import decode
from chipmeter.formats.records import FloatFormat, Format, IntegerFormat

if TYPE_CHECKING:
    from chipmeter.quantize.tensor import QuantizedTensor


def sqnr(truth: ArrayLike, approximation: ArrayLike) -> float:
    """Signal-to-quantisation-noise ratio in dB, 20 log10(norm(truth) / norm(truth - approximation)), over the whole array.

    inf where both agree exactly; nan where either holds NaN or infinity, or where the truth is all zero and the
    approximation is not. Computed in float64.

    >>> round(sqnr([3.0, 4.0], [3.0, 4.5]), 3)
    20.0
    """
    x, y = np.asarray(truth, np.float64), np.asarray(approximation, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"shapes differ: {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    with np.errstate(over="ignore"):
        difference = x - y
    if not difference.any():
        return float("inf")
    return 20.0 * (_log10_norm(x) - _log10_norm(difference)) if x.any() else float("nan")


def _log10_norm(x: NDArray[np.float64]) -> float:
    """Return log10 of the Euclidean norm; the squares of very large and very small numbers would leave float64."""
    top = float(np.abs(x).max())
    return float(np.log10(top) + np.log10(np.linalg.norm(x / top)))


CHUNK = 1 << 16
"""Elements that are summed in one go: memory stays small and the order of the sums is fixed."""


@dataclass(frozen=True)
class ErrorMetrics:
    """How far a quantised tensor is from its original.

    Attributes
    ----------
    elements : int
    sqnr : float
        Decibels; inf where nothing differs, nan where NaN or infinity is in either or the original is all zero.
    max_error : float
        Largest absolute difference; nan where NaN is in either.
    relative_l2 : float
        Norm of the difference over the norm of the original.
    clipped : int
        Elements whose code is the largest and whose error exceeds half the step below it: saturation cut them.
    flushed : int
        Elements that were not zero and came back as zero.
    histogram : tuple of (int, int)
        (n, blocks): in how many blocks the signal power is 2^n to 2^(n+1) times the error power, rising in n. Blocks
        without error, of zeros or with NaN or infinity are left out.
    exact_blocks : int
        Blocks without any error.
    """

    elements: int
    sqnr: float
    max_error: float
    relative_l2: float
    clipped: int
    flushed: int
    histogram: tuple[tuple[int, int], ...]
    exact_blocks: int


def measure(original: ArrayLike, quantized: QuantizedTensor) -> ErrorMetrics:
    """Compare a quantised tensor with what it was made from.

    Differences and squares are binary64 (differences of float32 are rounded once, squares of float32 are exact); sums
    run over chunks of `CHUNK` elements in the order of the blocks, pairwise within a chunk, and the chunks' sums are
    added exactly and rounded once. Nothing depends on tier or threads.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> from chipmeter import quantize
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
    >>> found = measure(x, quantize(x, "mxfp4"))
    >>> round(found.sqnr, 1), found.clipped, found.flushed, found.histogram
    (20.3, 0, 4, ((6, 2),))
    """
    x = np.asarray(original)
    if x.shape != quantized.shape:
        raise ValueError(f"the original has shape {x.shape}, this tensor {quantized.shape}")
    recipe, axis = quantized.recipe, quantized.axis
    element = recipe.element_format
    block = recipe.block or x.shape[axis]
    length = x.shape[axis]
    x = np.moveaxis(x, axis, -1).reshape(-1, length)
    y = np.moveaxis(quantized.dequantize(), axis, -1).reshape(-1, length)
    codes = np.moveaxis(quantized.codes, axis, -1).reshape(-1, length)
    top, half_step = _top(element)
    rows = max(1, CHUNK // length)
    signal: list[float] = []
    noise: list[float] = []
    octaves: Counter[int] = Counter()
    worst, clipped, flushed, exact = 0.0, 0, 0, 0
    for begin in range(0, len(x), rows):
        a, b = x[begin : begin + rows].astype(np.float64), y[begin : begin + rows].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(a - b)
            worst = float(np.maximum(worst, difference.max()))
            largest = np.abs(decode(codes[begin : begin + rows], element)) == top
            clipped += int((largest & (difference > np.abs(b) * (half_step / top)) & (np.abs(a) > np.abs(b))).sum())
            flushed += int(((a != 0) & (b == 0)).sum())
            s, e = _block_sums(np.square(a), block), _block_sums(np.square(difference), block)
            signal.append(float(s.sum()))
            noise.append(float(e.sum()))
            exact += int((e == 0).sum())
            sized = (e > 0) & (s > 0) & np.isfinite(e) & np.isfinite(s)
            octaves.update((np.frexp(s[sized] / e[sized])[1] - 1).tolist())
    total, lost = _total(signal), _total(noise)
    if not np.isfinite(lost) or not np.isfinite(total) or (total == 0 and lost > 0):
        decibels = relative = float("nan")
    else:
        decibels = 10 * math.log10(total / lost) if lost else float("inf")
        relative = math.sqrt(lost / total) if lost else 0.0
    return ErrorMetrics(x.size, decibels, worst, relative, clipped, flushed, tuple(sorted(octaves.items())), exact)


def _block_sums(squares: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """Sum along the last axis within blocks; the last may be shorter."""
    edges = np.arange(0, squares.shape[-1], block)
    return np.add.reduceat(squares, edges, axis=-1)


def _total(sums: list[float]) -> float:
    return math.fsum(sums) if all(map(math.isfinite, sums)) else float("nan")


def _top(element: Format) -> tuple[float, float]:
    """Largest magnitude of a format, and half the step below it."""
    if isinstance(element, FloatFormat):
        return element.max, (element.max - float(element.value(element.max_code - 1))) / 2
    if isinstance(element, IntegerFormat):
        return float(element.max), 0.5
    return max(element.values), (max(element.values) - sorted(element.values)[-2]) / 2
