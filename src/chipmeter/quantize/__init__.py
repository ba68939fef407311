"""Quantisation: recipes as data, tensors as codes and scales."""

from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.choose import Choice, Frontier, best_recipe
from chipmeter.quantize.metrics import ErrorMetrics, measure, sqnr
from chipmeter.quantize.recipes import RECIPES, Recipe, recipe_of
from chipmeter.quantize.storage import QuantizedCheckpoint, load, save
from chipmeter.quantize.tensor import QuantizedTensor

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
    "recipe_of",
    "save",
    "sqnr",
]
