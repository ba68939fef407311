"""The NaN that matrix units write."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from chipmeter._arrays import AnyArray

_NAN32 = np.uint32(0x7FFFFFFF).view(np.float32)

_Array = TypeVar("_Array", bound=AnyArray)


def canonical(x: _Array) -> _Array:
    """Write one NaN over every NaN of a float32 or float64 array, in place; other types are left alone.

    In float32 it is that of NVIDIA's units, in float64 the quiet one without sign or payload.
    """
    if x.dtype in (np.float32, np.float64):
        x[np.isnan(x)] = _NAN32 if x.dtype == np.float32 else np.nan
    return x
