"""Planning: how to lay a model out over chips, out of all plans that work."""

from chipmeter.planning.evaluate import evaluate, in_full
from chipmeter.planning.nearest import nearest
from chipmeter.planning.one import price_plan
from chipmeter.planning.records import Asked, Objective, PlanSearch, Ranked, layout
from chipmeter.planning.rules import RULES, Rule, faults, legal
from chipmeter.planning.search import best_plan
from chipmeter.planning.serving import Deployment, ServingSearch, best_serving
from chipmeter.planning.site import Site, find_site
from chipmeter.planning.space import Space

__all__ = [
    "RULES",
    "Asked",
    "Deployment",
    "Objective",
    "PlanSearch",
    "Ranked",
    "Rule",
    "ServingSearch",
    "Site",
    "Space",
    "best_plan",
    "best_serving",
    "evaluate",
    "faults",
    "find_site",
    "in_full",
    "layout",
    "legal",
    "nearest",
    "price_plan",
]
