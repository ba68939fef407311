"""Operands of less than a byte: one element per byte, or packed along K as registers hold them.

A uint8 array is packed: two 4-bit integers or eight bits per byte, the element of least k in the lowest bits. That is
the order of PTX registers, so 32-bit words of them are packed operands too: `words.view(np.uint8)` for A, and
`words.view(np.uint8).T` for B stored by columns.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from chipmeter._arrays import AnyArray, dtype_of

PER_BYTE = {"s4": 2, "u4": 2, "b1": 8}
"""Elements in a byte of a packed operand, by type."""

Axis = Literal[-1, -2]
"""Where K lies: last in A, last but one in B."""


def is_packed(x: AnyArray, kind: str) -> bool:
    """Whether an operand of a type is given packed.

    >>> is_packed(np.zeros((1, 4), np.uint8), "b1"), is_packed(np.zeros((1, 4), bool), "b1")
    (True, False)
    """
    return kind in PER_BYTE and x.dtype == np.uint8


def depth(x: AnyArray, kind: str, axis: Axis) -> int:
    """Count the elements along K.

    >>> depth(np.zeros((1, 4), np.uint8), "b1", -1)
    32
    """
    return int(x.shape[axis]) * (PER_BYTE[kind] if is_packed(x, kind) else 1)


def as_bytes(x: AnyArray, kind: str, axis: Axis) -> AnyArray:
    """Return what the kernels read: bytes of eight bits for b1, one sign-extended integer per byte otherwise.

    >>> as_bytes(np.uint8([[0x8F]]), "s4", -1)
    array([[-1, -8]], dtype=int8)
    """
    if kind == "b1":
        return x if is_packed(x, kind) else np.packbits(x, axis=axis, bitorder="little")
    if kind not in ("s4", "u4"):
        return x
    low = _nibbles(x, axis) if is_packed(x, kind) else x.view(np.uint8)
    if kind == "u4":
        return np.asarray(low & np.uint8(15))
    up = np.asarray(low << np.uint8(4)).view(np.int8)
    return np.right_shift(up, 4, out=up)


def elements(x: AnyArray, kind: str, axis: Axis) -> AnyArray:
    """Return an operand with one element per byte, whichever way it is given.

    >>> elements(np.uint8([[0b101]]), "b1", -1).astype(int)
    array([[1, 0, 1, 0, 0, 0, 0, 0]])
    """
    if not is_packed(x, kind):
        return x
    if kind == "b1":
        return np.unpackbits(x, axis=axis, bitorder="little").view(np.bool_)
    return as_bytes(x, kind, axis).view(dtype_of("int4" if kind == "s4" else "uint4"))


def _nibbles(x: AnyArray, axis: Axis) -> AnyArray:
    """Put the two halves of each byte side by side along K; what lies above the low half is left to the caller."""
    shape = list(x.shape)
    shape[axis] *= 2
    out = np.empty(shape, np.uint8)
    last = np.swapaxes(out, axis, -1)
    last[..., ::2] = np.swapaxes(x, axis, -1)
    last[..., 1::2] = np.swapaxes(x >> np.uint8(4), axis, -1)
    return out
