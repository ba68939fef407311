"""Matrix units: records, and GEMMs with their bits."""

from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import aliases, unit, units
from chipmeter.matmul.units import (
    Chain,
    ExactDot,
    FlooredDot,
    FlushedDot,
    FusedDot,
    IntegerDot,
    Model,
    Order,
    PairedHalves,
    Unit,
)

__all__ = [
    "Chain",
    "ExactDot",
    "FlooredDot",
    "FlushedDot",
    "FusedDot",
    "IntegerDot",
    "Model",
    "Order",
    "PairedHalves",
    "Unit",
    "aliases",
    "matmul",
    "unit",
    "units",
]
