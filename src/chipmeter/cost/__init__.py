"""Cost: the seconds, bytes, joules and dollars of a workload on a chip."""

from chipmeter.cost.calibration import Efficiency, Rate, efficiency
from chipmeter.cost.memory import Footprint, footprint, weight_bytes
from chipmeter.cost.money import BreakEven, break_even, dollars, find_price, offers
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.predict import Prediction, decode_step, first_token, training_step, training_steps
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import Estimate, OpEstimate
from chipmeter.cost.roofline import OpTime, op_time
from chipmeter.cost.serving import Serving
from chipmeter.cost.serving_curve import Draft, LoadPoint, ServingCurve
from chipmeter.cost.shape import Shape
from chipmeter.cost.site import Ownership, ownership
from chipmeter.cost.step import estimate
from chipmeter.cost.under_load import serve

__all__ = [
    "BreakEven",
    "Draft",
    "Efficiency",
    "Estimate",
    "Footprint",
    "LoadPoint",
    "OpEstimate",
    "OpTime",
    "Ownership",
    "Plan",
    "Plans",
    "Prediction",
    "Range",
    "Rate",
    "Serving",
    "ServingCurve",
    "Shape",
    "break_even",
    "decode_step",
    "dollars",
    "efficiency",
    "estimate",
    "find_price",
    "first_token",
    "footprint",
    "offers",
    "op_time",
    "ownership",
    "serve",
    "training_step",
    "training_steps",
    "weight_bytes",
]
