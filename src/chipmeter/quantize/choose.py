"""Which recipe for a tensor: error against stored bits, and the best under a budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import real_array
from chipmeter.quantize.blocks import quantize
from chipmeter.quantize.metrics import sqnr
from chipmeter.quantize.recipes import RECIPES, Recipe, recipe_of


@dataclass(frozen=True)
class Choice:
    """One recipe on one tensor.

    Attributes
    ----------
    recipe : Recipe
    bits : float
        Stored bits per element of this tensor: packed codes, scales and tensor scale, tails included.
    sqnr : float
        Decibels; inf where the tensor comes back exactly, nan where the error has no size (NaN or infinity in the
        tensor or in what comes back).
    optimal : bool
        Whether no other recipe tried is as small and as exact, and better in one of the two.
    """

    recipe: Recipe
    bits: float
    sqnr: float
    optimal: bool


@dataclass(frozen=True)
class Frontier:
    """What `best_recipe` found.

    Attributes
    ----------
    choices : tuple of Choice
        Every recipe tried, by bits, then by falling SQNR (nan last), then in the order given.
    budget_bits : float
    best : Choice or None
        The one of highest SQNR within the budget; the smaller where two are alike, then the one given first. None
        where no recipe fits the budget with an error that has a size.
    """

    choices: tuple[Choice, ...]
    budget_bits: float
    best: Choice | None

    @property
    def frontier(self) -> tuple[Choice, ...]:
        """The choices that are optimal: from few bits to many, SQNR rising."""
        return tuple(choice for choice in self.choices if choice.optimal)


def best_recipe(
    tensor: ArrayLike,
    budget_bits: float,
    recipes: Iterable[str | Recipe] | None = None,
    *,
    axis: int = -1,
    threads: int | None = None,
) -> Frontier:
    """Quantise a tensor by each recipe and say which is best within a budget of bits.

    Parameters
    ----------
    tensor : array_like of float32
        What `quantize` takes.
    budget_bits : float
        Stored bits per element, scales included; inf for no limit.
    recipes : iterable of str or Recipe, optional
        Default every named recipe that takes a tensor of this shape.
    axis : int
        The axis that blocks run along.
    threads : int, optional

    Returns
    -------
    Frontier
        Frozen; one recipe given twice is tried once.

    Raises
    ------
    TypeError, ValueError
        For a budget that is not a positive number, no recipes, or what `quantize` refuses.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 256)).astype(np.float32)
    >>> found = best_recipe(x, 5, ["mxfp4", "nvfp4", "mxfp8"])
    >>> found.best.recipe.name, found.best.bits
    ('nvfp4', 4.515625)
    >>> [(c.recipe.name, round(c.sqnr, 1)) for c in found.frontier]
    [('mxfp4', 18.4), ('nvfp4', 20.5), ('mxfp8', 29.8)]
    """
    if isinstance(budget_bits, bool) or not isinstance(budget_bits, (int, float, np.integer, np.floating)):
        raise TypeError(f"budget_bits is a number of bits per element, got {type(budget_bits).__name__}")
    if not budget_bits > 0:
        raise ValueError(f"budget_bits must be positive, got {budget_bits}")
    if isinstance(recipes, (str, Recipe)):
        raise TypeError("recipes is a list of recipes; put the one in brackets")
    tried = list(dict.fromkeys(recipe_of(r) for r in (RECIPES.values() if recipes is None else recipes)))
    if not tried:
        raise ValueError("best_recipe needs at least one recipe")
    x = real_array(tensor, "tensor")
    measured = []
    for recipe in tried:
        if recipes is None and not fits(recipe, x.shape, axis):
            continue
        q = quantize(x, recipe, axis=axis, threads=threads)
        measured.append((recipe, 8 * q.nbytes / x.size, sqnr(x, q.dequantize())))
    measured.sort(key=lambda m: (m[1], math.isnan(m[2]), -m[2] if m[2] == m[2] else 0.0))
    choices, top = [], -math.inf
    for recipe, bits, db in measured:  # sorted, so whoever beats all before it is beaten by none
        optimal = db > top
        choices.append(Choice(recipe, bits, db, optimal))
        top = db if optimal else top
    fitting = [choice for choice in choices if choice.optimal and choice.bits <= budget_bits]
    return Frontier(tuple(choices), float(budget_bits), fitting[-1] if fitting else None)


def fits(recipe: Recipe, shape: tuple[int, ...], axis: int = -1) -> bool:
    """Whether a recipe takes a tensor of `shape`: tiles need two axes, a Hadamard transform whole groups of 16.

    >>> fits(recipe_of("nvfp4-te-rht"), (4, 70)), fits(recipe_of("fp8-128x128"), (4, 70)), fits(recipe_of("nvfp4"), (3,))
    (False, True, True)
    """
    return not (recipe.rows > 1 and len(shape) < 2) and (recipe.signs is None or shape[axis] % 16 == 0)
