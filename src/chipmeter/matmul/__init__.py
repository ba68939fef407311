"""Matrix units: records, and GEMMs with their bits."""

from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.gemms import GEMMS
from chipmeter.matmul.mx_layout import mx_layout, mx_scale_layout
from chipmeter.matmul.names import aliases, unit, units
from chipmeter.matmul.nc import Psum, nc_transpose
from chipmeter.matmul.orders import Bf16Terms, Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK
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
    "Psum",
    "Sensitivity",
    "SplitK",
    "StreamK",
    "Unit",
    "aliases",
    "matmul",
    "mx_layout",
    "mx_scale_layout",
    "nc_transpose",
    "sensitivity",
    "unit",
    "units",
]
