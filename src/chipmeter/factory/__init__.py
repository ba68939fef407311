"""The AI factory planner: which systems to own or rent, how many, and what runs where."""

from chipmeter.factory.plan import FactoryPlan, plan_factory
from chipmeter.factory.read import read_plan
from chipmeter.factory.records import Candidate, Limits, Problem, Serving, Site, Training

__all__ = [
    "Candidate",
    "FactoryPlan",
    "Limits",
    "Problem",
    "Serving",
    "Site",
    "Training",
    "plan_factory",
    "read_plan",
]
