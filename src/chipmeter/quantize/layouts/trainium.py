"""Trainium: four codes of the free dimension in one word, and MX groups of 8 partitions by 4 elements."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray
from chipmeter.quantize.layouts.bits import pack_nibbles, raw_bytes, unpack_nibbles


def pack_x4(codes: ArrayLike, bits: int) -> AnyArray:
    """Put four consecutive codes into a word, element 0 lowest: 8-bit codes in uint32, 4-bit codes in uint16.

    Parameters
    ----------
    codes : array_like
        One code per byte, shape (..., 4n).
    bits : {8, 4}

    Returns
    -------
    ndarray of uint32 or uint16, shape (..., n)

    Examples
    --------
    >>> [hex(w) for w in pack_x4(np.uint8([1, 2, 3, 4]), 8)], [hex(w) for w in pack_x4(np.uint8([1, 2, 3, 4]), 4)]
    (['0x4030201'], ['0x4321'])
    """
    if bits not in (4, 8):
        raise ValueError(f"x4 words hold codes of 8 or 4 bits, got {bits!r}")
    raw = raw_bytes(codes, "codes", bits)
    if raw.shape[-1] % 4:
        raise ValueError(f"four codes make a word: the last axis must be a multiple of 4, got {raw.shape[-1]}")
    if bits == 8:
        return raw.view("<u4").astype(np.uint32, copy=False)
    return pack_nibbles(raw).view("<u2").astype(np.uint16, copy=False)


def unpack_x4(words: ArrayLike) -> AnyArray:
    """Undo `pack_x4`; the width of the words tells that of the codes.

    >>> unpack_x4(np.uint16([0x4321])), unpack_x4(np.uint32([0x04030201]))
    (array([1, 2, 3, 4], dtype=uint8), array([1, 2, 3, 4], dtype=uint8))
    """
    given = np.ascontiguousarray(np.asarray(words))
    if given.dtype.kind not in "iu" or given.dtype.itemsize not in (2, 4) or given.ndim == 0:
        raise TypeError(f"x4 words are of 32 or 16 bits, got {given.dtype} of shape {given.shape}")
    raw = given.astype(f"<u{given.dtype.itemsize}").view(np.uint8)
    return raw if given.dtype.itemsize == 4 else unpack_nibbles(raw)


def to_groups(tile: ArrayLike) -> AnyArray:
    """Gather the MX groups of a tile: 8 partitions by 4 elements make the 32 values that share a scale.

    Parameters
    ----------
    tile : array_like
        Shape (P, F), P a multiple of 8 and F of 4.

    Returns
    -------
    ndarray, shape (P / 8, F / 4, 32)
        Partition-major within a group.

    Examples
    --------
    >>> to_groups(np.arange(64).reshape(8, 8))[0, 1, :6]
    array([ 4,  5,  6,  7, 12, 13])
    """
    given = np.asarray(tile)
    if given.ndim != 2 or given.shape[0] % 8 or given.shape[1] % 4:
        raise ValueError(f"a tile has 8n partitions of 4m elements, got shape {given.shape}")
    p, f = given.shape[0] // 8, given.shape[1] // 4
    return np.ascontiguousarray(given.reshape(p, 8, f, 4).transpose(0, 2, 1, 3)).reshape(p, f, 32)


def from_groups(groups: ArrayLike) -> AnyArray:
    """Undo `to_groups`.

    >>> from_groups(to_groups(np.arange(64).reshape(8, 8)))[1]
    array([ 8,  9, 10, 11, 12, 13, 14, 15])
    """
    given = np.asarray(groups)
    if given.ndim != 3 or given.shape[2] != 32:
        raise ValueError(f"groups have 32 elements, shape (P / 8, F / 4, 32), got {given.shape}")
    p, f, _ = given.shape
    return np.ascontiguousarray(given.reshape(p, f, 8, 4).transpose(0, 2, 1, 3)).reshape(p * 8, f * 4)
