"""Codes of less than a byte, as checkpoints store them: dense, the first code in the lowest bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray

Bytes = NDArray[np.uint8]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits fill; the last byte may be partly empty.

    >>> packed_bytes(5, 4), packed_bytes(4, 6), packed_bytes(5, 6)
    (3, 3, 4)
    """
    return -(-count * bits // 8)


def pack_codes(codes: AnyArray, bits: int) -> Bytes:
    """Pack one-byte codes densely in C order: code i at bit i * bits, counted from the lowest bit of the first byte.

    This is the low-nibble-first order of CUDA, OCP and safetensors F4, and the 4-in-3-bytes order of F6. Bits above the
    width are dropped; empty bits of the last byte are zero.

    Parameters
    ----------
    codes : ndarray
        Any shape, a dtype of one byte.
    bits : {1, 2, 4, 6, 8}

    Returns
    -------
    ndarray of uint8
        One axis, `packed_bytes(codes.size, bits)` long; for 8 bits a view where codes are contiguous.

    Raises
    ------
    ValueError
        For another width, or codes of more than a byte.

    Examples
    --------
    >>> pack_codes(np.uint8([1, 2, 3]), 4)
    array([33,  3], dtype=uint8)
    """
    _check(bits)
    if codes.dtype.itemsize != 1:
        raise ValueError(f"codes to pack have one byte each, got dtype {codes.dtype}")
    raw = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    if bits == 8:
        return raw
    per_group, group_bytes = (4, 3) if bits == 6 else (8 // bits, 1)
    whole = raw.size // per_group * per_group
    out = np.empty(packed_bytes(raw.size, bits), np.uint8)
    _pack_groups(raw[:whole].reshape(-1, per_group), out[: whole // per_group * group_bytes], bits)
    if whole < raw.size:
        tail = np.zeros((1, per_group), np.uint8)
        tail[0, : raw.size - whole] = raw[whole:]
        last = np.empty(group_bytes, np.uint8)
        _pack_groups(tail, last, bits)
        out[whole // per_group * group_bytes :] = last[: len(out) - whole // per_group * group_bytes]
    return out


def unpack_codes(packed: AnyArray, bits: int, count: int) -> Bytes:
    """Undo `pack_codes`: the first `count` codes of `packed` bytes.

    Raises
    ------
    ValueError
        If there are fewer or more bytes than the codes fill: a truncated or misread buffer.

    Examples
    --------
    >>> unpack_codes(np.uint8([33, 3]), 4, 3)
    array([1, 2, 3], dtype=uint8)
    >>> unpack_codes(np.uint8([33]), 4, 3)
    Traceback (most recent call last):
    ...
    ValueError: 3 codes of 4 bits fill 2 bytes, got 1
    """
    _check(bits)
    raw = np.ascontiguousarray(packed).reshape(-1).view(np.uint8)
    if raw.size != packed_bytes(count, bits):
        raise ValueError(f"{count} codes of {bits} bits fill {packed_bytes(count, bits)} bytes, got {raw.size}")
    if bits == 8:
        return raw
    mask = np.uint8((1 << bits) - 1)
    per_group, group_bytes = (4, 3) if bits == 6 else (8 // bits, 1)
    groups = -(-count // per_group)
    if groups * group_bytes != raw.size:
        raw = np.concatenate([raw, np.zeros(groups * group_bytes - raw.size, np.uint8)])
    out = np.empty((groups, per_group), np.uint8)
    if bits == 6:
        a, b, c = raw[0::3], raw[1::3], raw[2::3]
        out[:, 0], out[:, 1] = a & mask, (a >> 6 | b << 2) & mask
        out[:, 2], out[:, 3] = (b >> 4 | c << 4) & mask, c >> 2
    else:
        for i in range(per_group):
            np.bitwise_and(raw >> np.uint8(i * bits), mask, out=out[:, i])
    return out.reshape(-1)[:count]


def _pack_groups(groups: Bytes, out: NDArray[Any], bits: int) -> None:
    if bits in (4, 6):
        _kernels.pack(groups.reshape(-1), out, bits)
        return
    codes = [groups[:, i] & np.uint8((1 << bits) - 1) for i in range(groups.shape[1])]
    out[...] = codes[0]
    for i, code in enumerate(codes[1:], 1):
        out |= code << np.uint8(i * bits)


def _check(bits: int) -> None:
    if bits not in (1, 2, 4, 6, 8):
        raise ValueError(f"codes of 1, 2, 4, 6 or 8 bits can be packed, got {bits}")
