"""Assertions on bits: where two arrays first differ, and by how many units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray, as_array, is_small_float
from chipmeter.matmul import Unit, matmul
from chipmeter.quantize import QuantizedTensor

_EDGES = (1, 2, 4, 8, 16, 64, 256, 1 << 16)
"""Upper edges of the classes of the histogram, in units in the last place."""


def assert_bits_equal(actual: Any, expected: Any, *, nan_payloads: bool = True, what: str = "actual") -> None:
    """Assert that two arrays have the same dtype, shape and bits: -0 is not +0, and NaN equals only its own payload.

    Parameters
    ----------
    actual, expected : array_like
        Arrays, or anything that exports the buffer protocol or DLPack on the host.
    nan_payloads : bool
        False: any NaN equals any NaN.
    what : str
        Name of `actual` in the message.

    Raises
    ------
    AssertionError
        Naming how many elements differ, the first of them with both values and bits, and for floats a histogram of
        the distances in units in the last place.

    Examples
    --------
    >>> assert_bits_equal(np.float32([1, 2]), np.float32([1, 2]))
    >>> assert_bits_equal(np.float32([1, 0.0]), np.float32([1, -0.0]))
    Traceback (most recent call last):
    ...
    AssertionError: actual: 1 of 2 elements differ in bits; first at (1,): got 0.0 (0x00000000), expected -0.0 (0x80000000)
      ulp distance: 0: 1
    """
    got, want = as_array(actual, "actual"), as_array(expected, "expected")
    if got.dtype != want.dtype:
        raise AssertionError(f"{what}: dtype {got.dtype}, expected {want.dtype}")
    if got.shape != want.shape:
        raise AssertionError(f"{what}: shape {got.shape}, expected {want.shape}")
    x, y = codes(got), codes(want)
    differ = x != y
    floats = got.dtype.kind == "f" or is_small_float(got.dtype)
    if floats and not nan_payloads:
        differ &= ~(np.isnan(got) & np.isnan(want))
    count = int(np.count_nonzero(differ))
    if count == 0:
        return
    first = tuple(int(i) for i in np.argwhere(differ)[0]) if differ.ndim else ()
    digits = 2 * got.dtype.itemsize
    message = (
        f"{what}: {count} of {differ.size} elements differ in bits; first at {first}: got {got[first]} "
        f"(0x{int(x[first]):0{digits}x}), expected {want[first]} (0x{int(y[first]):0{digits}x})"
    )
    if floats:
        message += "\n  ulp distance: " + histogram(x[differ], y[differ], got[differ], want[differ])
    raise AssertionError(message)


def assert_matches_unit(
    actual: Any,
    a: AnyArray | QuantizedTensor,
    b: AnyArray | QuantizedTensor,
    c: AnyArray | None = None,
    *,
    unit: str | Unit,
    nan_payloads: bool = True,
    **options: Any,
) -> None:
    """Assert that a product has the bits a matrix unit gives for the same operands.

    Parameters
    ----------
    actual : array_like (..., M, N)
        What a device, or anything else, computed.
    a, b, c, unit
        As `chipmeter.matmul` takes them; `options` are passed on to it (block scales, order, threads).
    nan_payloads : bool
        False: any NaN equals any NaN.

    Raises
    ------
    AssertionError
        As `assert_bits_equal`, with the unit named.

    Examples
    --------
    >>> a, b = np.float16([[1, 1.5 * 2**-12]]), np.float16([[1], [2**-12]])
    >>> rounded = a.astype(np.float32) @ b.astype(np.float32)  # to nearest; tensor cores cut
    >>> assert_matches_unit(rounded, a, b, unit="h100/fp16")
    Traceback (most recent call last):
    ...
    AssertionError: product by h100/fp16: 1 of 1 elements differ in bits; first at (0, 0): got 1.0000001192092896 (0x3f800001), expected 1.0 (0x3f800000)
      ulp distance: 1: 1
    """
    expected = matmul(a, b, c, unit=unit, **options)
    name = unit if isinstance(unit, str) else unit.name
    assert_bits_equal(actual, expected, nan_payloads=nan_payloads, what=f"product by {name}")


def codes(x: AnyArray) -> NDArray[np.unsignedinteger[Any]]:
    """View the bits of an array's elements as unsigned integers of their width."""
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}").reshape(x.shape)


def histogram(x: AnyArray, y: AnyArray, got: AnyArray, want: AnyArray) -> str:
    """Count distances in units in the last place, in classes; pairs with a NaN are counted apart."""
    nan = np.isnan(got) | np.isnan(want)
    distance = np.abs(_ordinal(x[~nan]) - _ordinal(y[~nan]))
    parts = []
    low = 0
    for edge in _EDGES:
        count = int(np.count_nonzero((distance >= low) & (distance < edge)))
        if count:
            parts.append(f"{low if edge == low + 1 else f'{low}-{edge - 1}'}: {count}")
        low = edge
    beyond = int(np.count_nonzero(distance >= low))
    if beyond:
        parts.append(f">={low}: {beyond}")
    if nan.any():
        parts.append(f"NaN: {int(np.count_nonzero(nan))}")
    return ", ".join(parts)


def _ordinal(x: AnyArray) -> NDArray[Any]:
    """Give each float its place in the order, so that neighbours differ by 1 and both zeros are 0."""
    wide = x.astype(object) if x.dtype.itemsize == 8 else x.astype(np.int64)
    sign = 1 << (8 * x.dtype.itemsize - 1)
    return np.where(x >= sign, sign - wide, wide)
