"""What every public function checks at the door: real arrays, sane outputs, no overlap."""

from __future__ import annotations

import math
import sys
from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _recycle
from chipmeter._transpose import contiguous

AnyArray = NDArray[Any]


def dtype_of(name: str) -> np.dtype[Any]:
    """Find a NumPy or ml_dtypes dtype by name.

    >>> dtype_of("float8_e4m3fn").itemsize
    1
    """
    return np.dtype(getattr(ml_dtypes, name, name))


def as_array(x: ArrayLike, what: str) -> AnyArray:
    """Give an array over the memory of whatever holds one: NumPy, torch, DLPack, the buffer protocol; else convert.

    torch's bfloat16 and 8-bit floats, which neither NumPy nor DLPack exchanges, come as the ml_dtypes of the same name.
    torch is recognised, never imported: who has a tensor has imported it.

    Raises
    ------
    TypeError
        For a tensor that is not in this machine's memory, or not strided; for masked elements; for what is no array.

    Examples
    --------
    >>> as_array(memoryview(b"ab"), "x")
    array([97, 98], dtype=uint8)
    """
    if type(x) is np.ndarray:
        return x
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise TypeError(
            f"{what} has masked elements, whose values are not meant to be read; fill them first: x.filled(0)"
        )
    if isinstance(x, (np.ndarray, np.generic, int, float, list, tuple)):
        return _converted(x, what)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        if x.device.type != "cpu" or x.layout is not torch.strided:
            raise TypeError(f"{what} must be a dense tensor on the CPU, got layout {x.layout} on {x.device}")
        held = x.detach().resolve_conj().resolve_neg()
        name = str(held.dtype).removeprefix("torch.")
        if name == "bfloat16" or name.startswith("float8"):
            word = torch.int16 if name == "bfloat16" else torch.uint8
            return np.asarray(held.view(word).numpy()).view(dtype_of(name))
        return np.asarray(held.numpy())
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__") and not hasattr(x, "__array_interface__"):
        try:
            return np.from_dlpack(cast(Any, x))
        except (BufferError, RuntimeError) as error:
            raise TypeError(f"{what} cannot be read through DLPack: {error}") from error
    return _converted(x, what)


def _converted(x: ArrayLike, what: str) -> AnyArray:
    try:
        return np.asarray(x)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise TypeError(f"{what} cannot be read as an array: {error}") from error


def float64_array(x: ArrayLike, what: str) -> NDArray[np.float64]:
    """Take an array of numbers as float64.

    Raises
    ------
    TypeError
        For anything that is not an array of real numbers.
    """
    a = as_array(x, what)
    if a.dtype.kind in "cSUMmO" or a.dtype.names:
        raise TypeError(f"{what} must be an array of real numbers, got dtype {a.dtype}")
    return a.astype(np.float64, copy=False)


def to_torch(x: AnyArray) -> Any:
    """Give a torch tensor over an array's memory, without a copy.

    Parameters
    ----------
    x : ndarray
        Writable; of a dtype that torch has too: its own, bfloat16 and the 8-bit floats of the same name. Other one-byte
        codes (4- and 6-bit floats, int4) come as torch.uint8.

    Raises
    ------
    ImportError
        If torch is not installed.
    """
    import torch

    if x.dtype.kind in "fiub" and x.dtype.isbuiltin == 1:
        return torch.from_numpy(x)
    held = torch.from_numpy(x.view(np.int16 if x.dtype.itemsize == 2 else np.uint8))
    shared = x.dtype.name == "bfloat16" or x.dtype.name.startswith(
        "float8"
    )  # torch's uint4 is a name without operations
    dtype = getattr(torch, x.dtype.name, None) if shared else None
    return held if dtype is None else held.view(dtype)


def real_array(x: ArrayLike, what: str) -> AnyArray:
    """Take an array of real numbers, C-contiguous, as float32 or float64; half types widen to float32, exactly.

    Raises
    ------
    TypeError
        For anything that is not an array of float16, bfloat16, a type of at most 8 bits, float32 or float64.
    """
    a = as_array(x, what)
    if a.dtype in (np.float32, np.float64):
        return contiguous(a)
    if is_small_float(a.dtype):
        return contiguous(a).astype(np.float32)
    raise TypeError(f"{what} must be an array of float32 or float64 (or a narrower float), got dtype {a.dtype}")


def is_small_float(dtype: np.dtype[Any]) -> bool:
    """Whether this is float16 or one of ml_dtypes' floating-point types (all are exact in float32)."""
    return dtype.itemsize <= 2 and dtype.name.startswith(("float", "bfloat"))


def check_size(shape: tuple[int, ...], itemsize: int, what: str) -> None:
    """Refuse a shape whose size in bytes does not fit the address space."""
    if math.prod(shape) * itemsize > sys.maxsize:
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
