"""QuantizedTensor: codes, scales and the recipe that made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray, as_array, dtype_of, float64_array, to_torch
from chipmeter.formats.codec import code_dtype, decode
from chipmeter.quantize.recipes import Recipe, recipe_of
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
        Double quantisation: scale i, in C order with the quantised axis last, is scales[i] / scale_factors[i // second] + scale_mean.
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
    scale_mean: np.float32 = field(default_factory=np.float32)

    @classmethod
    def from_parts(
        cls,
        codes: ArrayLike,
        scales: ArrayLike,
        recipe: str | Recipe,
        *,
        axis: int = -1,
        tensor_scale: float = 1.0,
        zero_points: ArrayLike | None = None,
        minimums: ArrayLike | None = None,
        scale_factors: ArrayLike | None = None,
        scale_mean: float = 0.0,
    ) -> QuantizedTensor:
        """Make a tensor of codes and scales from elsewhere, over their memory where they hold one code per byte.

        Parameters
        ----------
        codes, scales : array_like
            NumPy, torch, DLPack or buffers; of the recipe's dtypes, or bytes of the same width.
        recipe : str or Recipe
        axis : int
            The axis that blocks run along.
        tensor_scale : float
        zero_points, minimums, scale_factors : array_like, optional
            Of int32, float16 and float32: what recipes with a mapping, with least numbers and with double quantisation have
            beside codes and scales, as the attributes of the same names say.
        scale_mean : float

        Raises
        ------
        TypeError, ValueError
            For parts that do not belong together, and for NaN among the scales.

        Examples
        --------
        >>> q = QuantizedTensor.from_parts(np.uint8([[0x38, 0xB8]]), np.uint8([[128]]), "mxfp8")
        >>> q.dequantize()
        array([[ 2., -2.]], dtype=float32)
        """
        rule = recipe_of(recipe)
        held = _named(as_array(codes, "codes"), code_dtype(rule.element_format), "codes", rule)
        numbers = _named(as_array(scales, "scales"), dtype_of(rule.scale), "scales", rule)
        if not -held.ndim <= axis < held.ndim:
            raise ValueError(f"axis must lie in {-held.ndim}..{held.ndim - 1} for shape {held.shape}, got {axis}")
        more = {"zero_points": zero_points, "minimums": minimums, "scale_factors": scale_factors}
        found = {name: None if part is None else as_array(part, name) for name, part in more.items()}
        tensor = cls(
            held, numbers, np.float32(tensor_scale), axis % held.ndim, rule, scale_mean=np.float32(scale_mean), **found
        )
        tensor.check()
        bad = np.isnan(tensor.scale_values())
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"scales of {rule.name} must be numbers: {int(bad.sum())} are NaN, the first at {at}")
        return tensor

    def to_torch(self) -> tuple[Any, Any]:
        """Give codes and scales as torch tensors over the same memory.

        Formats that torch has (float8, e8m0, bfloat16, int8) come in its dtypes, other codes as torch.uint8.

        Returns
        -------
        codes, scales : torch.Tensor

        Raises
        ------
        ImportError
            If torch is not installed.
        """
        return to_torch(self.codes), to_torch(self.scales)

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
        if self.scales.shape != want:
            raise ValueError(
                f"scales of the wrong shape: {self.recipe.name} of shape {self.shape} along axis {self.axis} has "
                f"{want}, got {self.scales.shape}"
            )
        if self.scales.dtype.name != self.recipe.scale:
            raise ValueError(f"{self.recipe.name} has scales of {self.recipe.scale}, got {self.scales.dtype}")
        factors = -(-self.scales.size // self.recipe.second) if self.recipe.second else None
        for part_name, shape, dtype in (
            ("zero_points", self.scales.shape if self.recipe.mapping else None, "int32"),
            ("minimums", self.scales.shape if self.recipe.mapping == "least" else None, "float16"),
            ("scale_factors", None if factors is None else (factors,), "float32"),
        ):
            part = getattr(self, part_name)
            if part is None and (shape is None or part_name == "zero_points"):
                continue
            found = None if part is None else (part.shape, part.dtype.name)
            if shape is None or found != (shape, dtype):
                wanted = "none" if shape is None else f"{dtype} of shape {shape}"
                raise ValueError(f"{part_name} of {self.recipe.name}: {wanted} wanted, got {found}")
        if np.isnan(np.asarray(self.tensor_scale)):
            raise ValueError(f"the tensor scale of {self.recipe.name} is NaN")

    def scale_values(self) -> NDArray[np.float32]:
        """Return the scales as numbers, without the tensor scale."""
        if self.scales.dtype == np.float32:
            return self.scales
        if self.scale_factors is None:
            return decode(self.scales)
        moved = np.moveaxis(self.scales, self.axis, -1).astype(np.float32)
        with np.errstate(all="ignore"):
            flat = moved.reshape(-1) / np.repeat(self.scale_factors, self.recipe.second)[: moved.size] + self.scale_mean
        return np.ascontiguousarray(np.moveaxis(flat.reshape(moved.shape), -1, self.axis))

    def dequantize(self, *, out: NDArray[np.float32] | None = None, threads: int | None = None) -> NDArray[np.float32]:
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
        """Signal-to-quantisation-noise ratio against the original, in dB: 20 log10(norm(x) / norm(x - dequantized)), inf if equal.

        >>> from chipmeter import quantize
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
        >>> round(quantize(x, "mxfp8").sqnr(x), 1)
        32.0
        """
        x = float64_array(original, "original")
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


def _named(array: AnyArray, dtype: np.dtype[Any], what: str, recipe: Recipe) -> AnyArray:
    """View bytes as what they are."""
    if array.dtype == dtype:
        return array
    if array.dtype.itemsize != dtype.itemsize or array.dtype.kind not in "uiV":
        raise TypeError(f"{what} of {recipe.name} have dtype {dtype}, or bytes of that width, got {array.dtype}")
    return np.ascontiguousarray(array).reshape(array.shape).view(dtype)


def _or_empty(array: AnyArray | np.float32 | None) -> AnyArray | np.float32:
    return np.empty(0, np.int32) if array is None else array


def scale_shape(recipe: Recipe, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Shape of the scales of a tensor of `shape` whose blocks run along `axis`.

    Tiles reach over the last axis as well, or over the one before it where `axis` is the last.

    >>> from chipmeter.quantize import recipe_of
    >>> scale_shape(recipe_of("mxfp8"), (4, 70), 1), scale_shape(recipe_of("fp8-128x128"), (130, 70), 1)
    ((4, 3), (2, 1))
    """
    if recipe.granularity == "tensor":
        return ()
    grid = list(shape)
    grid[axis] = 1 if recipe.granularity == "row" else -(-shape[axis] // recipe.block)
    if recipe.rows > 1:
        across = len(shape) - (2 if axis == len(shape) - 1 else 1)
        grid[across] = -(-shape[across] // recipe.rows)
    return tuple(grid)
