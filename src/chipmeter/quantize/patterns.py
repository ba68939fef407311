"""Which recipe for which tensor: patterns over dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from chipmeter.quantize.recipes import Recipe, recipe_of

KEEP = "keep"


@dataclass(frozen=True)
class Rule:
    """One `--recipe` argument: a pattern ("" for every matrix) and a recipe, or None to leave the tensor as it is."""

    pattern: str
    recipe: Recipe | None

    def matches(self, name: str) -> bool:
        """Whether the pattern is found in a name, as a run of whole parts between dots.

        >>> rule = parse_rule("layers.*.mlp=mxfp8")
        >>> rule.matches("model.layers.3.mlp.up_proj.weight"), rule.matches("model.layers.3.mlp2.weight")
        (True, False)
        """
        if not self.pattern:
            return True
        parts = (".*" if p == "**" else re.escape(p).replace(r"\*", r"[^.]*") for p in self.pattern.split("."))
        return re.search(rf"(?:^|\.){'[.]'.join(parts)}(?:\.|$)", name) is not None


def parse_rule(text: str) -> Rule:
    """Read "RECIPE" or "PATTERN=RECIPE".

    Raises
    ------
    ValueError
        For an unknown recipe, or nothing before or after the sign.
    """
    pattern, sign, name = text.rpartition("=")
    if not name or (sign and not pattern):
        raise ValueError(f"a recipe is given as RECIPE or PATTERN=RECIPE, got {text!r}")
    return Rule(pattern, None if name == KEEP else recipe_of(name))


def recipe_for(name: str, axes: int, rules: Iterable[Rule]) -> Recipe | None:
    """Find the recipe of a tensor: of the last rule that matches; None to keep it.

    A tensor of fewer than two axes (a bias, a norm) is kept unless a pattern is its full name.

    >>> rules = [parse_rule("nvfp4"), parse_rule("lm_head=keep")]
    >>> recipe_for("layers.0.up.weight", 2, rules).name, recipe_for("lm_head.weight", 2, rules)
    ('nvfp4', None)
    """
    found: Recipe | None = None
    for rule in rules:
        if rule.matches(name) and (axes > 1 or rule.pattern == name):
            found = rule.recipe
    return found
