"""matmul over dask arrays: blocks of rows and columns, never of K, so that every output is one machine's."""

from __future__ import annotations

from typing import Any

from chipmeter._arrays import AnyArray
from chipmeter.matmul import Unit
from chipmeter.matmul import matmul as one_machine
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.operands import operand_dtype
from chipmeter.report.extras import needs


def matmul(a: Any, b: Any, c: Any = None, *, unit: str | Unit, **options: Any) -> Any:
    """Multiply dask arrays with the bits of a matrix unit: d = a @ b + c, lazily.

    The reduction over K is part of a unit's definition, so K is never divided: operands are rechunked to whole K, and a
    block of the result is one call of `chipmeter.matmul`. The bits are those of one machine for any chunks and workers.

    Parameters
    ----------
    a : dask array (M, K)
    b : dask array (K, N)
    c : dask array (M, N), optional
        Dtypes as `chipmeter.matmul` takes them.
    unit : str or Unit
    options
        Passed on: `order`, `threads` (of each block).

    Returns
    -------
    dask array (M, N)
        Chunked as the rows of `a` and the columns of `b`.

    Raises
    ------
    ImportError
        If dask is not installed.
    TypeError, ValueError
        For what `chipmeter.matmul` refuses, at once where it can be seen without computing; block scales are not taken.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> x = da.from_array(np.eye(4, 6, dtype=np.float16), chunks=2)
    >>> matmul(x, x.T, unit="h100/fp16").compute().trace()
    np.float32(4.0)
    """
    da = needs("dask.array")
    chosen = find_unit(unit)
    if chosen.scale is not None:
        raise ValueError(f"{chosen.name} takes block scales, which dask arrays do not carry; use a unit without")
    for what, x in (("a", a), ("b", b), ("c", c)):
        if not (what == "c" and x is None) and not isinstance(x, da.Array):
            raise TypeError(f"{what} must be a dask array, got {type(x).__name__}")
        if x is not None and x.ndim != 2:
            raise ValueError(f"{what} must have two dimensions, got shape {x.shape}")
        kind = {"a": chosen.a, "b": chosen.b, "c": chosen.c}[what]
        if x is not None and x.dtype != operand_dtype(kind):
            raise TypeError(f"{what} must have dtype {operand_dtype(kind)} for {chosen.name}, got {x.dtype}")
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"a and b must share K: a has shape {a.shape}, b has shape {b.shape}")
    if c is not None and c.shape != (a.shape[0], b.shape[1]):
        raise ValueError(f"c must have the result's shape {(a.shape[0], b.shape[1])}, got {c.shape}")
    left, right = a.rechunk({1: -1}), b.rechunk({0: -1})
    addend = () if c is None else (c.rechunk((left.chunks[0], right.chunks[1])), "mn")

    def block(x: AnyArray, y: AnyArray, z: AnyArray | None = None) -> AnyArray:
        return one_machine(x, y, z, unit=chosen, **options)

    dtype = operand_dtype(chosen.d)
    meta = needs("numpy").empty((0, 0), dtype)
    return da.blockwise(block, "mn", left, "mk", right, "kn", *addend, dtype=dtype, meta=meta, concatenate=True)
