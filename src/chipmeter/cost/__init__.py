"""Cost: the seconds, bytes, joules and dollars of a workload on a chip."""

from chipmeter.cost.calibration import Efficiency, LinkRate, Rate, efficiency
from chipmeter.cost.memory import Footprint, footprint, weight_bytes
from chipmeter.cost.money import dollars, find_price
from chipmeter.cost.records import Estimate, OpEstimate
from chipmeter.cost.roofline import OpTime, op_time
from chipmeter.cost.step import estimate

__all__ = [
    "Efficiency",
    "Estimate",
    "Footprint",
    "LinkRate",
    "OpEstimate",
    "OpTime",
    "Rate",
    "dollars",
    "efficiency",
    "estimate",
    "find_price",
    "footprint",
    "op_time",
    "weight_bytes",
]
