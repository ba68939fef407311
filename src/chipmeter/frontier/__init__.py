"""The frontier: error under each chip's bits against what the work costs there, for every chip, format and recipe."""

from chipmeter.frontier.points import AXES, Axis, Frontier, Point, pareto
from chipmeter.frontier.run import frontier
from chipmeter.frontier.store import Store

__all__ = ["AXES", "Axis", "Frontier", "Point", "Store", "frontier", "pareto"]
