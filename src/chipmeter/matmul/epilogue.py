"""The float32 arithmetic around a product: fused multiply-add over whole matrices, alpha, beta, bias, conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter._threads import split
from chipmeter.formats import cast
from chipmeter.matmul.orders import Epilogue
from chipmeter.matmul.units import OPERANDS

Float32 = NDArray[np.float32]

_NAN32 = np.uint32(0x7FFFFFFF).view(np.float32)
_NAN_CODES = {"f32": None, "bf16": 0x7FFF, "f16": 0x7FFF, "e4m3": 0x7F, "e5m2": 0x7F}
_CHUNK = 1 << 15


def canonical(x: AnyArray) -> AnyArray:
    """Write the NaN of NVIDIA's units over every NaN of a float32 array, in place; other types are left alone."""
    if x.dtype == np.float32:
        x[np.isnan(x)] = _NAN32
    return x


def fma32(x: Any, y: Any, z: Any, threads: int = 1) -> Float32:
    """Compute x * y + z element by element with one rounding to float32, to nearest even; operands broadcast.

    The product of two float32 is exact in float64. Its sum with z is rounded to odd there, after which the rounding to
    float32 is that of the exact sum (Boldo and Melquiond, 2008). NaN is written as 0x7FFFFFFF.

    >>> x = np.float32(1 + 2.0**-12)
    >>> fma32(x, x, np.float32(-1)).item() == 2.0**-11 + 2.0**-24, (x * x - np.float32(1)).item() == 2.0**-11
    (True, True)
    """
    x, y, z = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32), np.asarray(z, np.float32))
    out = np.empty(x.shape, np.float32)
    flat = out.reshape(-1)
    lines = [v.reshape(-1) if v.flags.c_contiguous else np.ascontiguousarray(v).reshape(-1) for v in (x, y, z)]

    def work(begin: int, end: int) -> None:
        for at in range(begin, end, _CHUNK):
            part = slice(at, min(at + _CHUNK, end))
            with _kernels.ieee_environment():  # of this thread, whatever other libraries left
                flat[part] = _fma32(*(v[part] for v in lines))

    split(work, flat.size, threads, _CHUNK)
    return out


def _fma32(x: Float32, y: Float32, z: Float32) -> Float32:
    with np.errstate(all="ignore"):
        product, addend = x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)
        total = product + addend
        virtual = total - product
        lost = (product - (total - virtual)) + (addend - virtual)  # exact (Knuth's TwoSum)
        bits = total.view(np.int64)
        even = np.isfinite(total) & (lost != 0) & (bits & 1 == 0)
        bits += np.where(even, np.where((lost > 0) == (total > 0), 1, -1), 0)
        return np.asarray(canonical(total.astype(np.float32)))


def apply(
    record: Epilogue,
    acc: Float32,
    c: AnyArray | None,
    bias: AnyArray | None,
    scale_a: AnyArray | None,
    scale_b: AnyArray | None,
    threads: int,
) -> AnyArray:
    """Run an epilogue over the accumulators of a product; operands are checked already."""
    one = np.float32(1)
    with np.errstate(all="ignore"):
        scales = (one if scale_a is None else scale_a) * (one if scale_b is None else scale_b)
        alpha = np.float32(record.alpha) * scales
        addend = np.float32(0) if c is None else np.float32(record.beta) * c.astype(np.float32)
        y = fma32(acc, alpha, addend, threads)
        if bias is not None:
            y += bias.astype(np.float32)
    canonical(y)
    if record.output == "f32":
        return y
    with np.errstate(all="ignore"):
        if record.result_scale is not None:
            y *= np.float32(record.result_scale)
    overflow: Any = "saturate" if record.output in ("e4m3", "e5m2") else "ofp8"
    code = _NAN_CODES[record.output]
    result: AnyArray = cast(
        canonical(y), OPERANDS[record.output], rounding=record.rounding, overflow=overflow, nan=code, seed=record.seed,
        threads=threads,
    )  # fmt: skip
    if code is not None:  # cast keeps the sign or payload of a float16 NaN; the units' NaN is one code
        raw = result.view(f"u{result.dtype.itemsize}")
        raw[np.isnan(y)] = code
    return result
