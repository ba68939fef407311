"""Quantisation: recipes as data, tensors as codes and scales."""

from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.metrics import sqnr
from chipmeter.quantize.recipes import RECIPES, Recipe, recipe_of
from chipmeter.quantize.tensor import QuantizedTensor

__all__ = ["RECIPES", "QuantizedTensor", "Recipe", "quantize", "recipe_of", "sqnr"]
