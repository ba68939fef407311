"""Quantisation: recipes as data, tensors as codes and scales."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.errors import ErrorMetrics, measure
from chipmeter.quantize.metrics import sqnr
from chipmeter.quantize.recipes import RECIPES, Recipe, recipe_of
from chipmeter.quantize.tensor import QuantizedTensor

if TYPE_CHECKING:
    from chipmeter.quantize.both import quantize_both
    from chipmeter.quantize.choose import Choice, Frontier, best_recipe
    from chipmeter.quantize.measured import quantize_measured
    from chipmeter.quantize.storage import QuantizedCheckpoint, load, save

__all__ = [
    "RECIPES",
    "Choice",
    "ErrorMetrics",
    "Frontier",
    "QuantizedCheckpoint",
    "QuantizedTensor",
    "Recipe",
    "best_recipe",
    "load",
    "measure",
    "quantize",
    "quantize_both",
    "quantize_measured",
    "recipe_of",
    "save",
    "sqnr",
]

# What reads and writes files, and what does more than quantise, is imported when it is asked for.
_LATER = {
    "both": ("quantize_both",),
    "measured": ("quantize_measured",),
    "choose": ("Choice", "Frontier", "best_recipe"),
    "storage": ("QuantizedCheckpoint", "load", "save"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
