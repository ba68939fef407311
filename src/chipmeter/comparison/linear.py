"""A linear layer as a chip computes it: operands quantised for the matrix unit, the product with the unit's bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import cast
from chipmeter.matmul import matmul
from chipmeter.matmul.units import OPERANDS, Unit
from chipmeter.quantize import QuantizedTensor, quantize
from chipmeter.quantize.recipes import RECIPES

Float32 = NDArray[np.float32]

RECIPE_OF_OPERAND = {
    ("e4m3", None): "fp8-row",
    ("e4m3ieee", None): "fp8-240-row",
    ("s8", None): "int8-row",
    ("e4m3", "ue8m0"): "mxfp8-roundup",
    ("e2m3", "ue8m0"): "mxfp6-roundup",
    ("e2m1", "ue8m0"): "mxfp4-roundup",
    ("e2m1", "ue4m3"): "nvfp4",
}
"""How float32 data becomes a unit's operands, by operand and scale type: one scale per token and per output channel
without block scales; the round-up rule for MX. Types that are not here are cast element by element."""

OTHER_RECIPES = {
    ("e4m3", None): ("fp8",),
    ("e4m3ieee", None): ("fp8-240",),
    ("s8", None): ("int8",),
    ("e4m3", "ue8m0"): ("mxfp8",),
    ("e2m3", "ue8m0"): ("mxfp6",),
    ("e2m1", "ue8m0"): ("mxfp4",),
}
"""What else is in use: one scale per tensor, and OCP's floor rule for MX."""


def recipes_of(unit: Unit) -> tuple[str, ...]:
    """List the recipes that give a unit its operands, the usual one first.

    >>> from chipmeter.matmul import unit
    >>> recipes_of(unit("h100/fp8")), recipes_of(unit("h100/bf16"))
    (('fp8-row', 'fp8'), ('bfloat16',))
    """
    kind = (unit.a, unit.scale)
    return (RECIPE_OF_OPERAND.get(kind, OPERANDS[unit.a]), *OTHER_RECIPES.get(kind, ()))


@dataclass(frozen=True)
class EmulatedLinear:
    """`x @ weight.T + bias` with the bits of one matrix unit; the bias is added in float32.

    Called as `chipmeter.networks.Linear`: (x (tokens, k), weight (n, k), bias or None, name) -> (tokens, n), float32.

    Examples
    --------
    >>> from chipmeter.matmul import unit
    >>> linear = EmulatedLinear(unit("h100/bf16"))
    >>> linear(np.ones((1, 16), np.float32), np.ones((2, 16), np.float32), None, "ones")
    array([[16., 16.]], dtype=float32)
    """

    unit: Unit
    threads: int | None = None
    named: str | None = None
    """A recipe in place of the usual one."""

    @property
    def recipe(self) -> str:
        """Name of the recipe, or of the format that elements are cast to."""
        return self.named or recipes_of(self.unit)[0]

    def __call__(self, x: Float32, weight: Float32, bias: Float32 | None, name: str) -> Float32:
        """Compute the layer."""
        a, b = self._operand(x, -1), self._operand(weight.T, 0)
        y = np.asarray(matmul(a, b, unit=self.unit, threads=self.threads), np.float32)
        return y if bias is None else np.asarray(y + bias, np.float32)

    def _operand(self, x: Float32, axis: int) -> AnyArray | QuantizedTensor:
        """Turn data into operands; a weight comes as a transposed view, whose codes are turned instead of its numbers."""
        if self.recipe in RECIPES:
            return quantize(x, self.recipe, axis=axis, threads=self.threads)
        if self.unit.a == "f32":
            return x
        return cast(x, self.recipe, threads=self.threads) if axis else cast(x.T, self.recipe, threads=self.threads).T


def exact_linear(x: Float32, weight: Float32) -> NDArray[np.float64]:
    """Compute the product of float32 data in float64, whose error is far below any format's."""
    return x.astype(np.float64) @ weight.astype(np.float64).T


Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the work that is finished, 0 to 1."""
