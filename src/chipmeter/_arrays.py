"""What every public function checks at the door: real arrays, sane outputs, no overlap."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _recycle

AnyArray = NDArray[Any]


def dtype_of(name: str) -> np.dtype[Any]:
    """Find a NumPy or ml_dtypes dtype by name.

    >>> dtype_of("float8_e4m3fn").itemsize
    1
    """
    return np.dtype(getattr(ml_dtypes, name, name))


def real_array(x: ArrayLike, what: str) -> AnyArray:
    """Take an array of real numbers, C-contiguous, as float32 or float64; half types widen to float32, exactly.

    Raises
    ------
    TypeError
        For anything that is not an array of float16, bfloat16, a type of at most 8 bits, float32 or float64.
    """
    a = np.asarray(x)
    if a.dtype in (np.float32, np.float64):
        return np.ascontiguousarray(a).reshape(a.shape)
    if is_small_float(a.dtype):
        return np.ascontiguousarray(a).reshape(a.shape).astype(np.float32)
    raise TypeError(f"{what} must be an array of float32 or float64 (or a narrower float), got dtype {a.dtype}")


def is_small_float(dtype: np.dtype[Any]) -> bool:
    """Whether this is float16 or one of ml_dtypes' floating-point types (all are exact in float32)."""
    return dtype.itemsize <= 2 and dtype.name.startswith(("float", "bfloat"))


def check_size(shape: tuple[int, ...], itemsize: int, what: str) -> None:
    """Refuse a shape whose size in bytes does not fit the address space."""
    if math.prod(shape) * itemsize > np.iinfo(np.intp).max:
        raise ValueError(f"{what} of shape {shape} is too large for this machine's address space")


def output_array(
    out: AnyArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: AnyArray | None
) -> AnyArray:
    """Allocate the output, or check the caller's: right dtype and shape, C-contiguous, writable, no overlap with inputs."""
    if out is None:
        check_size(shape, dtype.itemsize, "the result")
        return _recycle.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(f"out must have dtype {dtype} and shape {shape}, got dtype {out.dtype} and shape {out.shape}")
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous: a strided output would be written to a copy and lost")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if any(i is not None and np.may_share_memory(out, i) for i in inputs):
        raise ValueError("out overlaps an input in memory; pass an array of its own")
    return out
