"""Matrix units: records, and GEMMs with their bits."""

from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import aliases, unit, units
from chipmeter.matmul.orders import GEMMS, Bf16Terms, Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK
from chipmeter.matmul.sensitivity import Deviation, Sensitivity, sensitivity
from chipmeter.matmul.units import Chain, FusedDot, IntegerDot, Model, Order, PairedHalves, Unit

__all__ = [
    "GEMMS",
    "Bf16Terms",
    "Chain",
    "Deviation",
    "Epilogue",
    "FusedDot",
    "Gemm",
    "IntegerDot",
    "Model",
    "Order",
    "Ozaki",
    "PairedHalves",
    "Promote",
    "Sensitivity",
    "SplitK",
    "StreamK",
    "Unit",
    "aliases",
    "matmul",
    "sensitivity",
    "unit",
    "units",
]
