"""QuantizedTensor: codes, scales and the recipe that made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.quantize.recipes import Recipe


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A quantised tensor.

    Attributes
    ----------
    codes : ndarray
        One code per element, in the original shape and the dtype of the element format (unpacked).
    scales : ndarray
        float32 of shape () for granularity "tensor"; float32 with the quantised axis of length 1 for "row"; for "block"
        e8m0 or e4m3 codes with that axis of length ceil(n / block).
    tensor_scale : float32
        Second level of NVFP4; 1 otherwise.
    axis : int
        The quantised axis, non-negative.
    recipe : Recipe
    zero_points : ndarray of int32, optional
        What a zero is coded as, of the shape of `scales`, where the recipe has a mapping.
    """

    codes: AnyArray
    scales: AnyArray
    tensor_scale: np.float32
    axis: int
    recipe: Recipe
    zero_points: AnyArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes that codes (packed) and scales take in memory that wastes none."""
        scales = self.scales.nbytes + (4 if self.recipe.two_level else 0)
        return -(-self.codes.size * self.recipe.element_format.bits // 8) + scales

    def check(self) -> None:
        """Refuse parts that do not belong together: for tensors that come from a file.

        Raises
        ------
        ValueError
            Saying what was found and what the recipe asks for.
        """
        if not isinstance(self.axis, int) or not 0 <= self.axis < self.codes.ndim:
            raise ValueError(f"axis must lie in 0..{self.codes.ndim - 1} for shape {self.shape}, got {self.axis!r}")
        want = scale_shape(self.recipe, self.shape, self.axis)
        if want is not None and self.scales.shape != want:
            raise ValueError(
                f"scales of the wrong shape: {self.recipe.name} of shape {self.shape} along axis {self.axis} has "
                f"{want}, got {self.scales.shape}"
            )
        if self.scales.dtype.name != self.recipe.scale:
            raise ValueError(f"{self.recipe.name} has scales of {self.recipe.scale}, got {self.scales.dtype}")

    def scale_values(self) -> NDArray[np.float32]:
        """Return the scales as numbers, without the tensor scale."""
        if self.scales.dtype == np.float32:
            return self.scales
        return decode(self.scales)

    def dequantize(self) -> NDArray[np.float32]:
        """Return code * scale in float32: the element times its block scale (an exact product), then the tensor scale.

        >>> from chipmeter import quantize
        >>> quantize(np.float32([0.5, 1, 2, 6]), "mxfp4").dequantize()
        array([0.5, 1. , 2. , 6. ], dtype=float32)
        """
        if not self.recipe.plain:
            from chipmeter.quantize.general import dequantize_general

            moved = [
                None if a is None else np.moveaxis(a, self.axis, -1)
                for a in (self.codes, self.scales, self.zero_points)
            ]
            assert moved[0] is not None
            assert moved[1] is not None
            values = dequantize_general(moved[0], moved[1], self.tensor_scale, moved[2], self.recipe)
            return np.ascontiguousarray(np.moveaxis(values, -1, self.axis))
        values, scales = decode(self.codes), self.scale_values()
        if self.recipe.granularity == "block":
            scales = np.repeat(scales, self.recipe.block, axis=self.axis)
            scales = scales[tuple(slice(n) for n in self.shape)]
        with np.errstate(over="ignore", invalid="ignore"):
            values *= scales
            return values * self.tensor_scale if self.recipe.two_level else values

    def sqnr(self, original: ArrayLike) -> float:
        """Signal-to-quantisation-noise ratio against the original, in dB: 20 log10(norm(x) / norm(x - dequantized)), inf if equal.

        >>> from chipmeter import quantize
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
        >>> round(quantize(x, "mxfp8").sqnr(x), 1)
        32.0
        """
        x = np.asarray(original, np.float64)
        if x.shape != self.shape:
            raise ValueError(f"the original has shape {x.shape}, this tensor {self.shape}")
        from chipmeter.quantize.metrics import sqnr

        return sqnr(x, self.dequantize())

    def __repr__(self) -> str:
        scales = "" if self.recipe.granularity == "tensor" else f", scales {self.scales.shape}"
        return f"QuantizedTensor({self.recipe.name}, shape {self.shape}, {self.recipe.bits_per_element:g} bits{scales})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QuantizedTensor):
            return NotImplemented
        return (
            self.recipe == other.recipe
            and self.axis == other.axis
            and self.codes.shape == other.codes.shape
            and self.codes.tobytes() == other.codes.tobytes()
            and self.scales.tobytes() == other.scales.tobytes()
            and self.tensor_scale.tobytes() == other.tensor_scale.tobytes()
            and np.array_equal(_or_empty(self.zero_points), _or_empty(other.zero_points))
        )

    __hash__ = None  # type: ignore[assignment]


def _or_empty(array: AnyArray | None) -> AnyArray:
    return np.empty(0, np.int32) if array is None else array


def scale_shape(recipe: Recipe, shape: tuple[int, ...], axis: int) -> tuple[int, ...] | None:
    """Shape of the scales of a tensor of `shape` whose blocks run along `axis`; None where tiles span rows as well.

    >>> from chipmeter.quantize import recipe_of
    >>> scale_shape(recipe_of("mxfp8"), (4, 70), 1)
    (4, 3)
    """
    if recipe.granularity == "tensor":
        return ()
    if recipe.rows > 1:
        return None
    along = 1 if recipe.granularity == "row" else -(-shape[axis] // recipe.block)
    return (*shape[:axis], along, *shape[axis + 1 :])
