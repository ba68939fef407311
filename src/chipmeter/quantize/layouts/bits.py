"""Several codes in one byte or word, along the last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray


def raw_bytes(codes: ArrayLike, name: str, bits: int = 8) -> NDArray[np.uint8]:
    """View codes of one byte each as uint8, refusing other dtypes and codes that need more than `bits` bits.

    Narrow signed integers, which are held sign-extended, are cut to their width.
    """
    given = np.asarray(codes)
    if given.dtype.itemsize != 1 or given.dtype == np.bool_:
        raise TypeError(f"{name} must hold one code per byte, got {given.dtype}")
    if given.ndim == 0:
        raise ValueError(f"{name} needs at least one axis")
    raw = np.ascontiguousarray(given).view(np.uint8)
    if given.dtype.name in ("int4", "int2"):
        raw = raw & np.uint8((1 << int(given.dtype.name[3:])) - 1)
    if bits < 8 and raw.size and raw.max() >> bits:
        raise ValueError(f"{name} must hold codes of {bits} bits, got {int(raw.max()):#x}")
    return raw


def pack_nibbles(codes: ArrayLike, *, high_first: bool = False) -> NDArray[np.uint8]:
    """Put two 4-bit codes into a byte.

    Parameters
    ----------
    codes : array_like
        One code per byte, shape (..., 2n).
    high_first : bool
        Whether the even index takes the high nibble (bitsandbytes and torchao nf4) and not the low one (CUDA, OCP,
        torchao fp4, DeepGEMM).

    Returns
    -------
    ndarray of uint8, shape (..., n)

    Examples
    --------
    >>> pack_nibbles(np.uint8([1, 2, 3, 4])), pack_nibbles(np.uint8([1, 2, 3, 4]), high_first=True)
    (array([33, 67], dtype=uint8), array([18, 52], dtype=uint8))
    """
    raw = raw_bytes(codes, "codes", 4)
    if raw.shape[-1] % 2:
        raise ValueError(f"two codes make a byte: the last axis must be even, got {raw.shape[-1]}")
    low, high = (raw[..., 1::2], raw[..., 0::2]) if high_first else (raw[..., 0::2], raw[..., 1::2])
    return (low | high << 4).astype(np.uint8, copy=False)


def unpack_nibbles(packed: ArrayLike, *, high_first: bool = False) -> NDArray[np.uint8]:
    """Undo `pack_nibbles`.

    >>> unpack_nibbles(np.uint8([33, 67]))
    array([1, 2, 3, 4], dtype=uint8)
    """
    raw = raw_bytes(packed, "packed")
    codes = np.empty((*raw.shape[:-1], 2 * raw.shape[-1]), np.uint8)
    codes[..., int(high_first) :: 2] = raw & 15
    codes[..., int(not high_first) :: 2] = raw >> 4
    return codes


def pack_sixes(codes: ArrayLike) -> NDArray[np.uint8]:
    """Put four 6-bit codes into three bytes, code i at bits 6i of the little-endian 24-bit word.

    Parameters
    ----------
    codes : array_like
        One code per byte, shape (..., 4n).

    Returns
    -------
    ndarray of uint8, shape (..., 3n)

    Examples
    --------
    >>> [f"{byte:02x}" for byte in pack_sixes(np.uint8([0x3F, 0, 0x3F, 0]))]
    ['3f', 'f0', '03']
    """
    raw = raw_bytes(codes, "codes", 6)
    if raw.shape[-1] % 4:
        raise ValueError(f"four codes make three bytes: the last axis must be a multiple of 4, got {raw.shape[-1]}")
    a, b, c, d = (raw[..., i::4] for i in range(4))
    three = np.stack([a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2], axis=-1)
    return three.reshape(*raw.shape[:-1], raw.shape[-1] // 4 * 3)


def unpack_sixes(packed: ArrayLike) -> NDArray[np.uint8]:
    """Undo `pack_sixes`.

    >>> unpack_sixes(pack_sixes(np.uint8([1, 2, 3, 63])))
    array([ 1,  2,  3, 63], dtype=uint8)
    """
    raw = raw_bytes(packed, "packed")
    if raw.shape[-1] % 3:
        raise ValueError(f"four codes come in three bytes: the last axis must be a multiple of 3, got {raw.shape[-1]}")
    a, b, c = (raw[..., i::3] for i in range(3))
    four = np.stack([a, a >> 6 | b << 2, b >> 4 | c << 4, c >> 2], axis=-1) & np.uint8(63)
    return four.reshape(*raw.shape[:-1], raw.shape[-1] // 3 * 4)


def pack_bits(values: ArrayLike, bits: int, *, signed: bool = True) -> NDArray[np.int32]:
    """Pack integers of 1 to 8 bits densely into 32-bit words: value i at bit i * bits, crossing word boundaries.

    Parameters
    ----------
    values : array_like of int
        Shape (..., n).
    bits : int
    signed : bool
        Whether values lie in [-2^(bits-1), 2^(bits-1)) and are stored offset by 2^(bits-1), as compressed-tensors
        `pack_to_int32` does; unsigned ones are stored as they are.

    Returns
    -------
    ndarray of int32, shape (..., ceil(n * bits / 32))
        Unused high bits of the last word are zero.

    Examples
    --------
    >>> pack_bits([-8, 7, 0], 4).view(np.uint32)
    array([2288], dtype=uint32)
    """
    _check_bits(bits)
    given = np.asarray(values)
    if given.dtype.kind not in "iu" or given.ndim == 0:
        raise TypeError(f"values must be an array of integers, got {given.dtype} of shape {given.shape}")
    low = -(1 << bits - 1) if signed else 0
    offset = given.astype(np.int64) - low
    if offset.size and (offset.min() < 0 or offset.max() >> bits):
        raise ValueError(f"values of {bits} bits lie in {low}..{low + (1 << bits) - 1}, got others")
    words = -(-given.shape[-1] * bits // 32)
    stream = np.zeros((*given.shape[:-1], words * 32), np.uint8)
    stream[..., : given.shape[-1] * bits] = (offset[..., None] >> np.arange(bits) & 1).reshape(*given.shape[:-1], -1)
    return np.packbits(stream, axis=-1, bitorder="little").view("<i4").astype(np.int32, copy=False)


def unpack_bits(packed: ArrayLike, bits: int, count: int, *, signed: bool = True) -> AnyArray:
    """Undo `pack_bits` for `count` values; int8 if signed, else uint8.

    >>> unpack_bits(pack_bits([-8, 7, 0], 4), 4, 3)
    array([-8,  7,  0], dtype=int8)
    """
    _check_bits(bits)
    words = np.ascontiguousarray(np.asarray(packed))
    if words.dtype.kind not in "iu" or words.dtype.itemsize != 4 or words.ndim == 0:
        raise TypeError(f"packed values come in 32-bit words, got {words.dtype} of shape {words.shape}")
    if not 0 <= count * bits <= words.shape[-1] * 32:
        raise ValueError(f"{count} values of {bits} bits do not fit the {words.shape[-1]} words given")
    stream = np.unpackbits(words.astype("<u4").view(np.uint8), axis=-1, bitorder="little")[..., : count * bits]
    values = np.packbits(stream.reshape(*words.shape[:-1], count, bits), axis=-1, bitorder="little")[..., 0]
    return (values.astype(np.int16) - (1 << bits - 1)).astype(np.int8) if signed else values


def _check_bits(bits: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 8:
        raise ValueError(f"bits must be an integer in 1..8, got {bits!r}")
