"""Planning: how to lay a model out over chips, out of all plans that work."""

from chipmeter.planning.evaluate import Site, evaluate, in_full
from chipmeter.planning.nearest import nearest
from chipmeter.planning.records import Asked, Objective, PlanSearch, Ranked, layout
from chipmeter.planning.rules import RULES, Rule, faults, legal
from chipmeter.planning.search import best_plan
from chipmeter.planning.space import Space

__all__ = [
    "RULES",
    "Asked",
    "Objective",
    "PlanSearch",
    "Ranked",
    "Rule",
    "Site",
    "Space",
    "best_plan",
    "evaluate",
    "faults",
    "in_full",
    "layout",
    "legal",
    "nearest",
]
