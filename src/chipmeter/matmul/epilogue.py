"""The float32 arithmetic around a product: fused multiply-add over whole matrices, alpha, beta, bias, conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter._threads import split
from chipmeter.formats import cast
from chipmeter.matmul.canonical import canonical
from chipmeter.matmul.orders import Epilogue
from chipmeter.matmul.units import OPERANDS

Float32 = NDArray[np.float32]

_NAN_CODES = {"f32": None, "bf16": 0x7FFF, "f16": 0x7FFF, "e4m3": 0x7F, "e5m2": 0x7F}
_GRAIN = 1 << 17


def fma32(x: Any, y: Any, z: Any, threads: int = 1) -> Float32:
    """Compute x * y + z element by element with one rounding to float32, to nearest even; operands broadcast.

    Subnormals are kept; NaN is written as 0x7FFFFFFF.

    >>> x = np.float32(1 + 2.0**-12)
    >>> fma32(x, x, np.float32(-1)).item() == 2.0**-11 + 2.0**-24, (x * x - np.float32(1)).item() == 2.0**-11
    (True, True)
    """
    operands = np.broadcast_arrays(*(np.asarray(v, np.float32) for v in (x, y, z)))
    out = np.empty(operands[0].shape, np.float32)
    p, q, r = (np.ascontiguousarray(v).reshape(-1) for v in operands)
    flat = out.reshape(-1)

    def work(begin: int, end: int) -> None:
        _kernels.fma_f32(p[begin:end], q[begin:end], r[begin:end], flat[begin:end])

    split(work, flat.size, threads, _GRAIN)
    return out


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
