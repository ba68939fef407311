"""How far a quantised tensor is from its original: sums that the kernel takes chunk by chunk, in a fixed order."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, real_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.codec import decode
from chipmeter.formats.records import FloatFormat, IntegerFormat
from chipmeter.quantize.hadamard import hadamard
from chipmeter.quantize.recipe import Recipe
from chipmeter.quantize.restore import value_spec

if TYPE_CHECKING:
    from chipmeter.quantize.tensor import QuantizedTensor

CHUNK = 1 << 16
"""Elements whose sums are added in one go: chunks have a fixed place in the tensor, whoever works on them."""
OCTAVES = 2048


@dataclass(frozen=True)
class ErrorMetrics:
    """How far a quantised tensor is from its original.

    Attributes
    ----------
    elements : int
    sqnr : float
        Decibels; inf where nothing differs, nan where NaN or infinity is in either or the original is all zero.
    max_error : float
        Largest absolute difference, rounded to float32 if it fits; nan where NaN is in either.
    relative_l2 : float
        Norm of the difference over the norm of the original.
    clipped : int
        Elements beyond the largest code by more than half the step below it: saturation cut them.
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


def measure(original: ArrayLike, quantized: QuantizedTensor, *, threads: int | None = None) -> ErrorMetrics:
    """Compare a quantised tensor with what it was made from.

    Up to 128 elements of a block are summed in binary32, differences, squares and sums each rounded once: element i is
    added to lane i mod 16, in order, then lanes l and l + 8, l and l + 4, l and l + 2 and the last two. Of numbers and
    what they round to, the difference is exact unless the code was cut by saturation or is that of another number. Where
    either sum leaves 2^-100 to 2^100, or NaN or infinity are among the numbers, the same elements are summed in binary64
    instead, in eight lanes: nothing overflows. Sums of longer blocks, of chunks (as many rows along the quantised axis as
    have 65536 elements, or that much of a row) and of the tensor are binary64, in a fixed order, so that nothing depends
    on tier or threads. Counts are exact, the largest difference is rounded to float32 if it fits, and both sums are
    within 2^-20 of the exact ones: SQNR within 9e-6 dB, relative_l2 within 1e-6 of itself. The histogram sorts by the
    sums as computed. Of tiles, the elements of a row count as a block of their own.

    Parameters
    ----------
    original : array_like of float32
        What was quantised.
    quantized : QuantizedTensor
    threads : int, optional

    Returns
    -------
    ErrorMetrics

    Raises
    ------
    TypeError, ValueError
        For float64, or if the shapes differ.

    Examples
    --------
    >>> from chipmeter import quantize
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
    >>> found = measure(x, quantize(x, "mxfp4"))
    >>> round(found.sqnr, 1), found.clipped, found.flushed, found.histogram
    (20.3, 0, 4, ((6, 2),))
    """
    x = real_array(original, "original")
    if x.shape != quantized.shape:
        raise ValueError(f"the original has shape {x.shape}, this tensor {quantized.shape}")
    if x.dtype != np.float32:
        raise TypeError("measure compares with what was quantised: float32 or narrower, got float64")
    recipe, axis, workers = quantized.recipe, quantized.axis, thread_count(threads)

    def rows(a: AnyArray) -> AnyArray:
        return np.ascontiguousarray(np.moveaxis(a, axis, -1)) if a.ndim else a

    x, codes, scales = rows(x), rows(quantized.codes), rows(quantized.scale_values())
    zeros = None if quantized.zero_points is None else rows(quantized.zero_points).astype(np.float32)
    meter = Meter(recipe, x.shape, float(quantized.tensor_scale))
    if recipe.signs is None:
        back = None if quantized.minimums is None else rows(quantized.dequantize(threads=threads))
        meter.add(x, codes, scales, zeros, workers, back)
        return meter.result()
    turned = Meter(recipe, x.shape, float(quantized.tensor_scale))  # saturation acts on what was transformed
    turned.add(hadamard(x, recipe.signs), codes, scales, zeros, workers)
    meter.add(x, codes, scales, zeros, workers, rows(quantized.dequantize(threads=threads)))
    return meter.result(clipped=turned.clipped)


class Meter:
    """Sums over the chunks of a tensor whose last axis is the quantised one.

    Parameters
    ----------
    recipe : Recipe
    shape : tuple of int
    tensor_scale : float
    """

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], tensor_scale: float) -> None:
        self.length = shape[-1]
        self.elements = math.prod(shape)
        self.block = recipe.block or self.length
        self.recipe = recipe
        self.spec = value_spec(recipe.element_format, recipe.element_unit, False, recipe.two_level, tensor_scale)
        self.low, self.high = _limits(recipe)
        padded = -(-self.length // self.block) * self.block
        self.lines = CHUNK // padded
        self.segment = 0 if self.lines else max(self.block, CHUNK // self.block * self.block)
        self.height = shape[-2] if recipe.rows > 1 else 1
        self.clipped = self.flushed = self.exact = 0
        self.largest = 0.0
        self.signal: list[float] = []
        self.error: list[float] = []
        self.octaves = np.zeros(OCTAVES, np.uint64)
        self._lock = threading.Lock()

    def chunks(self, elements: int) -> int:
        """Count the chunks of so many elements, whole lines or the rest of one."""
        n = min(self.length, elements)
        return -(-(elements // n) // self.lines) if self.lines else elements // n * -(-n // self.segment)

    def add(
        self,
        x: NDArray[np.float32],
        codes: AnyArray,
        scales: NDArray[np.float32],
        zeros: NDArray[np.float32] | None,
        threads: int = 1,
        given: NDArray[np.float32] | None = None,
    ) -> None:
        """Add a tensor, or whole chunks of one: whole lines of it, or a part of one line."""
        n = min(self.length, x.size)
        lines = x.size // n
        if self.recipe.granularity == "tensor":
            grid = _kernels.Grid(n, n, lines, lines, 1)
        else:
            grid = _kernels.Grid(n, self.block, self.height, self.recipe.rows, 1)
        flat, raw, numbers = x.reshape(-1), codes.reshape(-1).view(np.uint8), scales.reshape(-1)
        zero = None if zeros is None or not zeros.any() else zeros.reshape(-1)
        back = None if given is None else given.reshape(-1)

        def work(begin: int, end: int) -> None:
            for i in range(begin, end, 64):
                j = min(i + 64, end)
                sums, counts = np.empty((j - i, 3)), np.empty((j - i, 3), np.uint64)
                octaves = np.zeros(OCTAVES, np.uint64)
                _kernels.measure(
                    flat, raw, numbers, zero, i, j, grid, self.spec, self.lines, self.segment, self.low, self.high, back,
                    sums, counts, octaves,
                )  # fmt: skip
                self.gather(sums, counts, octaves)

        split(work, self.chunks(x.size), threads, 1)

    def gather(self, sums: NDArray[np.float64], counts: NDArray[np.uint64], octaves: NDArray[np.uint64]) -> None:
        """Take over what the kernel says of some chunks."""
        clipped, flushed, exact = counts.sum(axis=0).tolist()
        with self._lock:
            self.signal += sums[:, 0].tolist()
            self.error += sums[:, 1].tolist()
            self.largest = max(self.largest, float(sums[:, 2].max()))
            self.clipped, self.flushed, self.exact = self.clipped + clipped, self.flushed + flushed, self.exact + exact
            self.octaves += octaves

    def result(self, clipped: int | None = None) -> ErrorMetrics:
        """Add the chunks up, exactly."""
        total, lost = _total(self.signal), _total(self.error)
        unsized = not math.isfinite(lost) or not math.isfinite(total) or (total == 0 and lost > 0)
        decibels = relative = math.nan
        if not unsized:
            decibels = 10 * math.log10(total / lost) if lost else math.inf
            relative = math.sqrt(lost / total) if lost else 0.0
        worst = math.nan if any(map(math.isnan, self.error)) else self.largest
        histogram = tuple((int(n) - 1024, int(self.octaves[n])) for n in np.flatnonzero(self.octaves))
        clipped = self.clipped if clipped is None else clipped
        return ErrorMetrics(self.elements, decibels, worst, relative, clipped, self.flushed, histogram, self.exact)


def _total(sums: list[float]) -> float:
    return math.fsum(sums) if all(map(math.isfinite, sums)) else math.nan


def _limits(recipe: Recipe) -> tuple[float, float]:
    """Say beyond which numbers, in steps of the scale, saturation cuts: half a step above the largest code."""
    element, unit = recipe.element_format, recipe.element_unit
    if recipe.mapping == "least":  # from the least number to the largest: nothing is cut
        return -math.inf, math.inf
    if isinstance(element, IntegerFormat):
        low = element.min if recipe.mapping is not None else -element.max
        return (low - 0.5) * unit, (element.max + 0.5) * unit
    if isinstance(element, FloatFormat):
        below = float(element.value(element.max_code - 1)) if element.max_code else 0.0
        top = element.max + (element.max - below) / 2
        return -top, top
    values = sorted(decode(np.arange(1 << element.bits, dtype=np.uint8), element).tolist())
    return values[0] - (values[1] - values[0]) / 2, values[-1] + (values[-1] - values[-2]) / 2
