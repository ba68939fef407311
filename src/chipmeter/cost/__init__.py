"""Cost: the seconds, bytes, joules and dollars of a workload on a chip."""

from chipmeter.cost.calibration import Efficiency, Rate, efficiency
from chipmeter.cost.memory import Footprint, footprint, weight_bytes
from chipmeter.cost.money import dollars, find_price
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.predict import Prediction, decode_step, first_token, training_step, training_steps
from chipmeter.cost.records import Estimate, OpEstimate
from chipmeter.cost.roofline import OpTime, op_time
from chipmeter.cost.serving import Serving
from chipmeter.cost.shape import Shape
from chipmeter.cost.step import estimate

__all__ = [
    "Efficiency",
    "Estimate",
    "Footprint",
    "OpEstimate",
    "OpTime",
    "Plan",
    "Plans",
    "Prediction",
    "Rate",
    "Serving",
    "Shape",
    "decode_step",
    "dollars",
    "efficiency",
    "estimate",
    "find_price",
    "first_token",
    "footprint",
    "op_time",
    "training_step",
    "training_steps",
    "weight_bytes",
]
