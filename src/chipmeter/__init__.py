"""chipmeter: know what an AI chip will compute, to the last bit, and what the work will cost, before you rent one.

>>> import numpy as np
>>> import chipmeter as cm
>>> x = cm.cast(np.float32([[0.1, 0.2]]), "float8_e4m3fn")
>>> cm.matmul(x, x.T, unit="h100/fp8")
array([[0.05157471]], dtype=float32)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from chipmeter._tiers import tier, tiers, use_tier
from chipmeter._version import __version__

if TYPE_CHECKING:
    from chipmeter import ops, testing
    from chipmeter.analysis import error_analysis
    from chipmeter.chips import chip, system
    from chipmeter.collectives import all_gather, all_reduce, all_to_all, broadcast, reduce_scatter
    from chipmeter.comparison import compare
    from chipmeter.cost import Plan, break_even, estimate, serve
    from chipmeter.formats import cast, decode
    from chipmeter.frontier import frontier
    from chipmeter.identification import identify
    from chipmeter.matmul import matmul, sensitivity
    from chipmeter.planning import best_plan, best_serving, price_plan
    from chipmeter.quantize import QuantizedTensor, quantize, sqnr
    from chipmeter.verify import verify

__all__ = [
    "Plan",
    "QuantizedTensor",
    "__version__",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "best_plan",
    "best_serving",
    "break_even",
    "broadcast",
    "cast",
    "chip",
    "compare",
    "decode",
    "error_analysis",
    "estimate",
    "frontier",
    "identify",
    "matmul",
    "ops",
    "price_plan",
    "quantize",
    "reduce_scatter",
    "sensitivity",
    "serve",
    "sqnr",
    "system",
    "testing",
    "tier",
    "tiers",
    "use_tier",
    "verify",
]

# Imported when first asked for: `chipmeter --help` waits for none of it, and whoever only wants bits not for the cost side.
_LATER = {
    "Plan": "chipmeter.cost",
    "QuantizedTensor": "chipmeter.quantize",
    "all_gather": "chipmeter.collectives",
    "all_reduce": "chipmeter.collectives",
    "all_to_all": "chipmeter.collectives",
    "broadcast": "chipmeter.collectives",
    "reduce_scatter": "chipmeter.collectives",
    "break_even": "chipmeter.cost",
    "best_plan": "chipmeter.planning",
    "best_serving": "chipmeter.planning",
    "cast": "chipmeter.formats",
    "chip": "chipmeter.chips",
    "system": "chipmeter.chips",
    "compare": "chipmeter.comparison",
    "decode": "chipmeter.formats",
    "error_analysis": "chipmeter.analysis",
    "estimate": "chipmeter.cost",
    "frontier": "chipmeter.frontier",
    "identify": "chipmeter.identification",
    "matmul": "chipmeter.matmul",
    "price_plan": "chipmeter.planning",
    "quantize": "chipmeter.quantize",
    "sensitivity": "chipmeter.matmul",
    "serve": "chipmeter.cost",
    "sqnr": "chipmeter.quantize",
    "verify": "chipmeter.verify",
}
_MODULES = ("ops", "testing")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"chipmeter.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'chipmeter' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """The package, in which a function wins over the room of the same name, whichever is imported first."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LATER and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
