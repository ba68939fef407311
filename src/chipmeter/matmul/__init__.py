"""Matrix units: records, and GEMMs with their bits."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import aliases, unit, units
from chipmeter.matmul.units import (
    BinaryDot,
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

if TYPE_CHECKING:
    from chipmeter.matmul.deviation import Deviation, Sensitivity, sensitivity
    from chipmeter.matmul.gemms import GEMMS
    from chipmeter.matmul.mx import mx_layout, mx_scale_layout
    from chipmeter.matmul.nc import Psum, nc_transpose
    from chipmeter.matmul.orders import Bf16Terms, Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK
    from chipmeter.matmul.sparsity import Sparse, from_masked, sparse_matmul, sparsify

__all__ = [
    "GEMMS",
    "Bf16Terms",
    "BinaryDot",
    "Chain",
    "Deviation",
    "Epilogue",
    "ExactDot",
    "FlooredDot",
    "FlushedDot",
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
    "Sparse",
    "SplitK",
    "StreamK",
    "Unit",
    "aliases",
    "from_masked",
    "matmul",
    "mx_layout",
    "mx_scale_layout",
    "nc_transpose",
    "sensitivity",
    "sparse_matmul",
    "sparsify",
    "unit",
    "units",
]

# What surrounds a product is imported when it is asked for: a plain product should not wait for it.
_LATER = {
    "gemms": ("GEMMS",),
    "mx": ("mx_layout", "mx_scale_layout"),
    "nc": ("Psum", "nc_transpose"),
    "orders": ("Bf16Terms", "Epilogue", "Gemm", "Ozaki", "Promote", "SplitK", "StreamK"),
    "deviation": ("Deviation", "Sensitivity", "sensitivity"),
    "sparsity": ("Sparse", "from_masked", "sparse_matmul", "sparsify"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
