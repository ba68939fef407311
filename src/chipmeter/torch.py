"""Inside PyTorch models: linear layers computed with the bits of a chip's matrix unit.

Needs PyTorch (``pip install 'chipmeter[torch]'``). Nothing else of chipmeter imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chipmeter.comparison.linear import EmulatedLinear, recipes_of
from chipmeter.matmul import Unit
from chipmeter.matmul import unit as find_unit
from chipmeter.quantize.recipes import recipe_of

try:
    import torch
except ModuleNotFoundError:
    raise ImportError("torch is not installed: pip install 'chipmeter[torch]'") from None

__all__ = ["EmulatedLayer", "emulate"]


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """The emulated product forward; backward as if it had been exact (straight through)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, linear: EmulatedLinear) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        rows = _array(x.reshape(-1, x.shape[-1]))
        y = linear(rows, _array(weight), None if bias is None else _array(bias), "")
        return torch.from_numpy(y).reshape(*x.shape[:-1], weight.shape[0]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        rows, cols = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
        return (
            grad @ weight.to(grad.dtype) if ctx.needs_input_grad[0] else None,
            (rows.T @ cols).to(weight.dtype) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.has_bias and ctx.needs_input_grad[2] else None,
            None,
        )


class EmulatedLayer(torch.nn.Module):  # type: ignore[misc]
    """A linear layer that shares the parameters of the one it replaces and computes with a unit's bits.

    Parameters
    ----------
    original : torch.nn.Linear
    linear : EmulatedLinear
        The unit and recipe.
    """

    def __init__(self, original: Any, linear: EmulatedLinear) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias
        self.linear = linear

    def forward(self, x: Any) -> Any:
        """Compute ``x @ weight.T + bias``.

        Parameters
        ----------
        x : tensor (..., k)
            On the CPU; of float32, float16 or bfloat16, each of which is exact in float32.

        Returns
        -------
        tensor (..., n)
            Of the dtype of `x`.
        """
        return _Product.apply(x, self.weight, self.bias, self.linear)

    def extra_repr(self) -> str:
        """Tell unit and recipe."""
        return f"{self.weight.shape[1]} -> {self.weight.shape[0]}, {self.linear.unit.name}, {self.linear.recipe}"


def emulate(
    module: Any,
    *,
    unit: str | Unit,
    recipe: str | None = None,
    select: Callable[[str], bool] | None = None,
    threads: int | None = None,
) -> Any:
    """Replace the linear layers of a module, in place, by emulated ones.

    Parameters are shared, not copied, so an optimiser keeps working; gradients pass straight through the quantisation, as
    if the product had been exact.

    Parameters
    ----------
    module : torch.nn.Module
        On the CPU. A linear layer itself gives the layer that replaces it.
    unit : str or Unit
        The matrix unit, with a float32 result.
    recipe : str, optional
        How operands are quantised; default that of the unit's operands.
    select : callable, optional
        Whether to replace the layer of a qualified name; default all.
    threads : int, optional
        Of the emulation.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError
        If `module` is no module.
    ValueError
        For an unknown unit or recipe, one that does not give the unit's operands, or a module without such a layer.

    Examples
    --------
    >>> net = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> emulate(net, unit="h100/fp8")[2]
    EmulatedLayer(8 -> 2, hopper/wgmma.e4m3.e4m3.f32.f32, fp8-row)
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    chosen = find_unit(unit)
    if recipe is not None and recipe not in recipes_of(chosen):
        recipe_of(recipe)
        raise ValueError(f"{chosen.name} takes operands by {', '.join(recipes_of(chosen))}, got {recipe!r}")
    linear = EmulatedLinear(chosen, threads, recipe)
    if isinstance(module, torch.nn.Linear):
        return EmulatedLayer(module, linear)
    wanted = [
        (name, child)
        for name, child in module.named_modules()
        if isinstance(child, torch.nn.Linear) and (select is None or select(name))
    ]
    if not wanted:
        raise ValueError(f"{type(module).__name__} has no linear layer to replace")
    for name, child in wanted:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, EmulatedLayer(child, linear))
    return module


def _array(x: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """See a tensor as a float32 array: without a copy if it is one, widened exactly if it is narrower."""
    if x.device.type != "cpu":
        raise ValueError(f"the emulation runs on the CPU; move the tensor there first, it is on {x.device}")
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"tensors must be float32, float16 or bfloat16, got {x.dtype}")
    found: np.ndarray[Any, np.dtype[np.float32]] = x.detach().float().contiguous().numpy()
    return found
