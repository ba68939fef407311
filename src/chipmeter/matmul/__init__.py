"""Matrix units: records, and GEMMs with their bits."""

from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import aliases, unit, units
from chipmeter.matmul.sensitivity import Deviation, Sensitivity, sensitivity
from chipmeter.matmul.units import Chain, FusedDot, IntegerDot, Model, Order, PairedHalves, Unit

__all__ = [
    "Chain",
    "Deviation",
    "FusedDot",
    "IntegerDot",
    "Model",
    "Order",
    "PairedHalves",
    "Sensitivity",
    "Unit",
    "aliases",
    "matmul",
    "sensitivity",
    "unit",
    "units",
]
