"""QuantizedTensor: codes, scales and the recipe that made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.quantize.recipes import Recipe
from chipmeter.quantize.restore import dequantize


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A quantised tensor.

    Attributes
    ----------
    codes : ndarray
        One code per element, in the original shape and the dtype of the element format (unpacked).
    scales : ndarray
        float32 of shape () for granularity "tensor"; float32 with the quantised axis of length 1 for "row"; for "block"
        numbers or codes in the recipe's scale format with that axis of length ceil(n / block).
    tensor_scale : float32
        Second level of NVFP4; 1 otherwise.
    axis : int
        The quantised axis, non-negative.
    recipe : Recipe
    zero_points : ndarray of int32, optional
        What a zero is coded as, of the shape of `scales`, where the recipe has a mapping.
    minimums : ndarray of float16, optional
        What is added to each block, of the shape of `scales` (mapping "least").
    scale_factors : ndarray of float32, optional
        Double quantisation: scale i, in C order, is scales[i] / scale_factors[i // second] + scale_mean.
    scale_mean : float32
        0 otherwise.
    """

    codes: AnyArray
    scales: AnyArray
    tensor_scale: np.float32
    axis: int
    recipe: Recipe
    zero_points: AnyArray | None = None
    minimums: AnyArray | None = None
    scale_factors: AnyArray | None = None
    scale_mean: np.float32 = np.float32(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes that codes (packed) and scales take in memory that wastes none."""
        bits = self.recipe.element_format.bits
        parts = self.scales.nbytes + (4 if self.recipe.two_level else 0) + (4 if self.scale_factors is not None else 0)
        parts += sum(a.nbytes for a in (self.minimums, self.scale_factors) if a is not None)
        if self.recipe.mapping == "affine":
            parts += -(-self.scales.size * bits // 8)
        return -(-self.codes.size * bits // 8) + parts

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
        factors = -(-self.scales.size // self.recipe.second) if self.recipe.second else None
        for field, shape, dtype in (
            ("zero_points", self.scales.shape if self.recipe.mapping else None, "int32"),
            ("minimums", self.scales.shape if self.recipe.mapping == "least" else None, "float16"),
            ("scale_factors", None if factors is None else (factors,), "float32"),
        ):
            part = getattr(self, field)
            if part is None and (shape is None or field == "zero_points"):
                continue
            found = None if part is None else (part.shape, part.dtype.name)
            if shape is None or found != (shape, dtype):
                wanted = "none" if shape is None else f"{dtype} of shape {shape}"
                raise ValueError(f"{field} of {self.recipe.name}: {wanted} wanted, got {found}")
        if np.isnan(np.asarray(self.tensor_scale)):
            raise ValueError(f"the tensor scale of {self.recipe.name} is NaN")

    def scale_values(self) -> NDArray[np.float32]:
        """Return the scales as numbers, without the tensor scale."""
        if self.scales.dtype == np.float32:
            return self.scales
        if self.scale_factors is None:
            return decode(self.scales)
        flat = self.scales.reshape(-1).astype(np.float32)
        with np.errstate(all="ignore"):
            flat /= np.repeat(self.scale_factors, self.recipe.second)[: flat.size]
            return (flat + self.scale_mean).reshape(self.scales.shape)

    def dequantize(
        self, *, out: NDArray[np.float32] | None = None, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Return code * scale in float32: the element times its block scale (an exact product), then the tensor scale.

        See `chipmeter.quantize.restore.dequantize`, which also takes packed codes.

        >>> from chipmeter import quantize
        >>> quantize(np.float32([0.5, 1, 2, 6]), "mxfp4").dequantize()
        array([0.5, 1. , 2. , 6. ], dtype=float32)
        """
        return dequantize(
            self.codes,
            self.scales if self.scale_factors is None else self.scale_values(),
            self.recipe,
            axis=self.axis,
            tensor_scale=float(self.tensor_scale),
            zero_points=self.zero_points,
            minimums=self.minimums,
            out=out,
            threads=threads,
        )

    def sqnr(self, original: ArrayLike) -> float:
        """Signal-to-quantisation-noise ratio against the original, in dB: 20 log10(|x| / |x - dequantized|), inf if equal.

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
            and all(
                _or_empty(getattr(self, field)).tobytes() == _or_empty(getattr(other, field)).tobytes()
                for field in ("zero_points", "minimums", "scale_factors", "scale_mean")
            )
        )

    __hash__ = None  # type: ignore[assignment]


def _or_empty(array: AnyArray | np.float32 | None) -> AnyArray | np.float32:
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
