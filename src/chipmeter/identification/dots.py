"""Single dot products through a matrix product: probe i is row i of A with column i of B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.records import FORMATS, FloatFormat
from chipmeter.identification.device import Device
from chipmeter.identification.vectors import LINES, decoded, layout
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import OPERANDS

ONE = {"ue8m0": 0x7F, "ue4m3": 0x38}


class NotVisible(Exception):
    """An input that would show a property does not exist in these types."""


def encode(values: NDArray[np.float64], kind: str) -> AnyArray:
    """Write exact values as operands.

    Raises
    ------
    NotVisible
        If one of them is not a number of the type.
    """
    dtype = operand_dtype(kind)
    with np.errstate(all="ignore"):
        x = values.astype(np.float32).astype(dtype) if dtype.itemsize < 4 else values.astype(dtype)
    if dtype.kind != "f" or dtype.itemsize < 4:
        zero = values == 0
        x = np.where(zero & ~_has_minus_zero(kind), np.zeros((), dtype), x).astype(dtype)
    same = np.where(np.isnan(values), np.isnan(decoded(x, kind)), decoded(x, kind) == values)
    if not same.all():
        raise NotVisible
    return x


def _has_minus_zero(kind: str) -> bool:
    fmt = FORMATS.get(OPERANDS[kind])
    return not isinstance(fmt, FloatFormat) or fmt.nan != "negative_zero"


@dataclass(frozen=True)
class Dots:
    """Runs dot products of chosen numbers on a device, K padded with zeros to a multiple of `step`."""

    device: Device
    step: int

    def __call__(self, a: ArrayLike, b: ArrayLike, c: ArrayLike | None = None) -> AnyArray:
        """Compute c[i] + sum over k of a[i, k] * b[i, k].

        Parameters
        ----------
        a, b : array_like (P, n) of float64
            Exact operands; b may be (n,).
        c : array_like (P,), optional

        Returns
        -------
        ndarray (P,)
            In the dtype of the result.
        """
        left = np.atleast_2d(np.asarray(a, np.float64))
        right = np.broadcast_to(np.asarray(b, np.float64), left.shape)
        count, n = left.shape
        pad = ((0, 0), (0, -n % self.step))
        x, y = encode(np.pad(left, pad), self.device.types[0]), encode(np.pad(right, pad), self.device.types[1])
        z = None
        if c is not None:
            if not self.device.addend:
                raise NotVisible
            z = encode(np.broadcast_to(np.asarray(c, np.float64), (count,)), self.device.types[2])
        parts = []
        for begin in range(0, count, LINES):
            part = slice(begin, min(begin + LINES, count))
            parts.append(self._block(x[part], y[part], None if z is None else z[part]))
        return np.concatenate(parts)

    def _block(self, x: AnyArray, y: AnyArray, z: AnyArray | None) -> AnyArray:
        count, k = x.shape
        rows, columns = (np.zeros((LINES, k), v.dtype) for v in (x, y))
        rows[:count], columns[:count] = x, y
        addend: AnyArray | None = None
        if z is not None:
            addend = np.zeros((LINES, LINES), z.dtype)
            addend[np.arange(count), np.arange(count)] = z
        scales: Any = None
        if self.device.scale is not None:
            shape = (LINES, -(-k // self.device.scale_block))
            ones = np.full(shape, ONE[self.device.scale], np.uint8)
            scales = ones, np.ascontiguousarray(ones.T)
        d = self.device(rows, np.ascontiguousarray(columns.T), addend, scales)
        return d[np.arange(count), np.arange(count)]

    def span(self) -> tuple[int, int]:
        """Exponents of the smallest normal and of the largest power of two, common to A and B.

        Raises
        ------
        NotVisible
            For integers.
        """
        left, right = (layout(t) for t in self.device.types[:2])
        if left is None or right is None:
            raise NotVisible
        return max(left.lowest, right.lowest), min(left.highest, right.highest)

    def least(self) -> int:
        """Exponent of the smallest positive number common to A and B."""
        kinds = [layout(t) for t in self.device.types[:2]]
        return max(k.lowest - k.mantissa_bits for k in kinds if k is not None)
