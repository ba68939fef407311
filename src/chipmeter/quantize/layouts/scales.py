"""Where block scales lie in memory: cuBLAS 128x4, DeepGEMM's packed exponents, Trainium's quadrants."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray
from chipmeter.quantize.layouts.bits import raw_bytes


def swizzle_128x4_index(rows: int, columns: int) -> NDArray[np.int64]:
    """Map each scale of a matrix to its place in the "128x4" layout of cuBLAS.

    The matrix is cut into tiles of 128 rows and 4 columns, tiles in row-major order; inside a tile the scale (r, c)
    lies at (r mod 32) * 16 + (r // 32) * 4 + c. (cuBLAS documentation, 1-D block scaling factors layout.)

    Returns
    -------
    ndarray of int64, shape (rows, columns)

    Examples
    --------
    >>> swizzle_128x4_index(128, 4)[[0, 1, 32, 127], 3]
    array([  3,  19,   7, 511])
    """
    if rows < 0 or columns < 0:
        raise ValueError(f"rows and columns must not be negative, got {rows} and {columns}")
    r, c = np.arange(rows, dtype=np.int64)[:, None], np.arange(columns, dtype=np.int64)[None, :]
    tile = r // 128 * -(-columns // 4) + c // 4
    return tile * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4


def swizzle_128x4(scales: ArrayLike) -> AnyArray:
    """Lay scales of shape (rows, columns) out as cuBLAS reads them; padding is zero.

    Returns
    -------
    ndarray of the same dtype, shape (ceil(rows / 128) * ceil(columns / 4) * 512,)

    Examples
    --------
    >>> swizzle_128x4(np.uint8([[1, 2], [3, 4]]))[:20]
    array([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0],
          dtype=uint8)
    """
    given = np.asarray(scales)
    if given.ndim != 2:
        raise ValueError(f"the 128x4 layout is of a matrix of scales, got shape {given.shape}")
    rows, columns = given.shape
    flat = np.zeros(-(-rows // 128) * -(-columns // 4) * 512, given.dtype)
    flat[swizzle_128x4_index(rows, columns)] = given
    return flat


def unswizzle_128x4(flat: ArrayLike, rows: int, columns: int) -> AnyArray:
    """Undo `swizzle_128x4`.

    >>> unswizzle_128x4(swizzle_128x4(np.uint8([[1, 2], [3, 4]])), 2, 2)
    array([[1, 2],
           [3, 4]], dtype=uint8)
    """
    given = np.asarray(flat)
    size = -(-rows // 128) * -(-columns // 4) * 512
    if given.shape != (size,):
        raise ValueError(f"{rows} x {columns} scales take {size} places in the 128x4 layout, got shape {given.shape}")
    found: AnyArray = given[swizzle_128x4_index(rows, columns)]
    return found


def pack_ue8m0(scales: ArrayLike) -> NDArray[np.int32]:
    """Put four consecutive exponent bytes into a word, little-endian, the last one padded with zeros (DeepGEMM).

    Parameters
    ----------
    scales : array_like
        e8m0 codes, shape (..., n).

    Returns
    -------
    ndarray of int32, shape (..., ceil(n / 4))

    Examples
    --------
    >>> hex(pack_ue8m0(np.uint8([0x7F, 0x80, 1]))[0])
    '0x1807f'
    """
    raw = raw_bytes(scales, "scales")
    padded = np.zeros((*raw.shape[:-1], -(-raw.shape[-1] // 4) * 4), np.uint8)
    padded[..., : raw.shape[-1]] = raw
    return padded.view("<i4").astype(np.int32, copy=False)


def unpack_ue8m0(packed: ArrayLike, count: int) -> NDArray[np.uint8]:
    """Undo `pack_ue8m0` for `count` scales.

    >>> unpack_ue8m0(np.int32([0x01807F]), 3)
    array([127, 128,   1], dtype=uint8)
    """
    words = np.ascontiguousarray(np.asarray(packed))
    if words.dtype.kind not in "iu" or words.dtype.itemsize != 4 or words.ndim == 0:
        raise TypeError(f"packed exponents come in 32-bit words, got {words.dtype} of shape {words.shape}")
    if not 0 <= count <= 4 * words.shape[-1]:
        raise ValueError(f"{words.shape[-1]} words hold at most {4 * words.shape[-1]} scales, got count={count}")
    return np.ascontiguousarray(words.astype("<u4").view(np.uint8)[..., :count])


_QUADRANT, _ROWS = 32, 4


def to_quadrants(scales: ArrayLike, *, offset: int = 0) -> NDArray[np.uint8]:
    """Place dense MX scales in the partitions that Trainium reads them from.

    Row i of the dense scales goes to partition i // 4 * 32 + offset + i mod 4: four scale rows per quadrant of 32
    partitions. Offsets 0, 4, 8 and 12 let four tensors share a tile. (AWS Neuron SDK, MX matmul.)

    Parameters
    ----------
    scales : array_like
        Shape (P / 8, F / 4), P a multiple of 32.
    offset : {0, 4, 8, 12}

    Returns
    -------
    ndarray of uint8, shape (P, F / 4)
        Zero where no scale lies.

    Examples
    --------
    >>> np.flatnonzero(to_quadrants(np.uint8([[1], [2], [3], [4], [5], [6], [7], [8]]), offset=4))
    array([ 4,  5,  6,  7, 36, 37, 38, 39])
    """
    raw = raw_bytes(scales, "scales")
    _check_offset(offset)
    if raw.ndim != 2 or raw.shape[0] % _ROWS:
        raise ValueError(f"scales fill quadrants by four rows: the shape must be (4n, F), got {raw.shape}")
    tile = np.zeros((raw.shape[0] // _ROWS * _QUADRANT, raw.shape[1]), np.uint8)
    tile[_partitions(raw.shape[0], offset)] = raw
    return tile


def from_quadrants(tile: ArrayLike, *, offset: int = 0) -> NDArray[np.uint8]:
    """Undo `to_quadrants`.

    >>> from_quadrants(to_quadrants(np.uint8([[1], [2], [3], [4]]))).ravel()
    array([1, 2, 3, 4], dtype=uint8)
    """
    raw = raw_bytes(tile, "tile")
    _check_offset(offset)
    if raw.ndim != 2 or raw.shape[0] % _QUADRANT:
        raise ValueError(f"a tile has whole quadrants of 32 partitions, got shape {raw.shape}")
    return raw[_partitions(raw.shape[0] // _QUADRANT * _ROWS, offset)]


def _partitions(rows: int, offset: int) -> NDArray[np.int64]:
    i = np.arange(rows, dtype=np.int64)
    return i // _ROWS * _QUADRANT + offset + i % _ROWS


def _check_offset(offset: int) -> None:
    if offset not in (0, 4, 8, 12):
        raise ValueError(f"offset must be 0, 4, 8 or 12, got {offset!r}")
