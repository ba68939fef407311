"""Packed storage and hardware layouts as exact index maps: every packing has its inverse, and neither rounds.

Codes are unsigned integers, one per element; positions that a layout adds (padding) hold 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray

Bytes = NDArray[np.uint8]

QUADRANT = 32
"""Partitions of one quadrant of the NeuronCore's SBUF."""


def _divides(codes: AnyArray, group: int, what: str) -> None:
    if codes.ndim == 0 or codes.shape[-1] % group:
        raise ValueError(f"{what} takes a last axis that is a multiple of {group}, got shape {codes.shape}")


def pack_nibbles(codes: Bytes, *, high_first: bool = False) -> Bytes:
    """Put two 4-bit codes into a byte along the last axis.

    Parameters
    ----------
    codes : ndarray of uint8
        Codes below 16; the last axis is even.
    high_first : bool
        The even index goes to the high nibble (bitsandbytes and torchao nf4) instead of the low one (OCP, CUDA,
        torchao, Transformer Engine, ModelOpt).

    Examples
    --------
    >>> pack_nibbles(np.uint8([[1, 2, 3, 4]]))
    array([[33, 67]], dtype=uint8)
    """
    _divides(codes, 2, "a nibble packing")
    first, second = codes[..., 0::2], codes[..., 1::2]
    return np.asarray(first << 4 | second if high_first else first | second << 4, np.uint8)


def unpack_nibbles(packed: Bytes, *, high_first: bool = False) -> Bytes:
    """Undo `pack_nibbles`.

    >>> unpack_nibbles(np.uint8([0x21]), high_first=True)
    array([2, 1], dtype=uint8)
    """
    low, high = packed & 15, packed >> 4
    pair = np.stack([high, low] if high_first else [low, high], axis=-1)
    return pair.reshape(*packed.shape[:-1], 2 * packed.shape[-1])


def pack_halves(codes: Bytes, block: int = 32) -> Bytes:
    """Pack as GGUF does: byte j of a block holds element j in its low nibble and element j + block / 2 in its high one.

    >>> pack_halves(np.uint8([1, 2, 3, 4]), block=4)
    array([49, 66], dtype=uint8)
    """
    if block < 2 or block % 2:
        raise ValueError(f"block must be a positive even number, got {block}")
    _divides(codes, block, "this packing")
    halves = codes.reshape(*codes.shape[:-1], -1, 2, block // 2)
    packed = np.asarray(halves[..., 0, :] | halves[..., 1, :] << 4, np.uint8)
    return packed.reshape(*codes.shape[:-1], -1)


def unpack_halves(packed: Bytes, block: int = 32) -> Bytes:
    """Undo `pack_halves`.

    >>> unpack_halves(np.uint8([49, 66]), block=4)
    array([1, 2, 3, 4], dtype=uint8)
    """
    if block < 2 or block % 2:
        raise ValueError(f"block must be a positive even number, got {block}")
    _divides(packed, block // 2, "this packing")
    rows = packed.reshape(*packed.shape[:-1], -1, block // 2)
    return np.concatenate([rows & 15, rows >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def pack_6bit(codes: Bytes) -> Bytes:
    """Put four 6-bit codes into three bytes, little endian: element i takes bits 6i to 6i + 5 of the 24.

    >>> pack_6bit(np.uint8([1, 2, 3, 4]))
    array([129,  48,  16], dtype=uint8)
    """
    _divides(codes, 4, "a 6-bit packing")
    a, b, c, d = (codes[..., i::4] for i in range(4))
    packed = np.stack([a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2], axis=-1)
    return packed.reshape(*codes.shape[:-1], -1)


def unpack_6bit(packed: Bytes) -> Bytes:
    """Undo `pack_6bit`.

    >>> unpack_6bit(np.uint8([129, 48, 16]))
    array([1, 2, 3, 4], dtype=uint8)
    """
    _divides(packed, 3, "packed 6-bit codes")
    a, b, c = (packed[..., i::3] for i in range(3))
    codes = np.stack([a & 63, (a >> 6 | b << 2) & 63, (b >> 4 | c << 4) & 63, c >> 2], axis=-1)
    return codes.reshape(*packed.shape[:-1], -1)


def pack_int32(codes: Bytes, bits: int) -> NDArray[np.uint32]:
    """Pack n-bit codes densely into 32-bit words: element i starts at bit n * i, and may cross into the next word.

    Signed integers of compressed-tensors are stored offset-binary: pass value + 2^(n-1).

    >>> pack_int32(np.uint8([1, 2, 3]), 4)
    array([801], dtype=uint32)
    """
    _check_bits(bits)
    stream = (codes[..., None] >> np.arange(bits, dtype=np.uint8)) & 1
    stream = stream.reshape(*codes.shape[:-1], -1)
    gap = -stream.shape[-1] % 32
    stream = np.concatenate([stream, np.zeros((*stream.shape[:-1], gap), np.uint8)], axis=-1)
    packed = np.packbits(stream, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32, copy=False)


def unpack_int32(words: NDArray[np.uint32], bits: int, count: int) -> Bytes:
    """Undo `pack_int32` for `count` elements per row.

    >>> unpack_int32(np.uint32([801]), 4, 3)
    array([1, 2, 3], dtype=uint8)
    """
    _check_bits(bits)
    if count < 0 or count * bits > words.shape[-1] * 32:
        raise ValueError(f"{count} codes of {bits} bits do not fit in {words.shape[-1]} words")
    raw = np.ascontiguousarray(words.astype("<u4")).view(np.uint8)
    stream = np.unpackbits(raw, axis=-1, bitorder="little")[..., : count * bits]
    weights = (1 << np.arange(bits)).astype(np.uint8)
    codes: Bytes = (stream.reshape(*words.shape[:-1], count, bits) * weights).sum(axis=-1, dtype=np.uint8)
    return codes


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must lie in 1..8, got {bits}")


def swizzle_128x4(scales: AnyArray) -> AnyArray:
    """Lay out block scales as cuBLAS reads them: tiles of 128 rows and 4 columns, 512 bytes each.

    Scale (r, c) goes to ((r // 128) * C + c // 4) * 512 + (r % 32) * 16 + (r % 128) // 32 * 4 + c % 4, where C is the
    number of tiles per row (cuBLAS "1D block scaling factors layout"; the same for blocks of 32 and of 16).

    >>> swizzle_128x4(np.arange(1, 129, dtype=np.uint8).reshape(128, 1))[:20]
    array([ 1,  0,  0,  0, 33,  0,  0,  0, 65,  0,  0,  0, 97,  0,  0,  0,  2,
            0,  0,  0], dtype=uint8)
    """
    rows, columns = _matrix(scales)
    full = np.zeros((-(-rows // 128) * 128, -(-columns // 4) * 4), scales.dtype)
    full[:rows, :columns] = scales
    tiles = full.reshape(-1, 4, 32, full.shape[1] // 4, 4)
    return np.ascontiguousarray(tiles.transpose(0, 3, 2, 1, 4)).reshape(-1)


def unswizzle_128x4(packed: AnyArray, rows: int, columns: int) -> AnyArray:
    """Undo `swizzle_128x4`: read a rows x columns matrix of scales.

    >>> unswizzle_128x4(swizzle_128x4(np.uint8([[7, 8]])), 1, 2)
    array([[7, 8]], dtype=uint8)
    """
    down, across = -(-rows // 128), -(-columns // 4)
    if rows < 1 or columns < 1 or packed.size != down * across * 512:
        raise ValueError(f"{rows} x {columns} scales take {down * across * 512} positions, got {packed.size}")
    tiles = packed.reshape(down, across, 32, 4, 4).transpose(0, 3, 2, 1, 4)
    return np.ascontiguousarray(tiles.reshape(down * 128, across * 4)[:rows, :columns])


def pack_ue8m0(exponents: Bytes) -> NDArray[np.int32]:
    """Pack four exponent bytes into an int32, the first in the low byte (DeepGEMM); the tail is padded with 0.

    >>> pack_ue8m0(np.uint8([[1, 2]]))
    array([[513]], dtype=int32)
    """
    gap = -exponents.shape[-1] % 4
    full = np.concatenate([exponents, np.zeros((*exponents.shape[:-1], gap), np.uint8)], axis=-1)
    return np.ascontiguousarray(full).view("<i4").astype(np.int32, copy=False)


def unpack_ue8m0(words: NDArray[np.int32], count: int) -> Bytes:
    """Undo `pack_ue8m0` for `count` exponents per row.

    >>> unpack_ue8m0(np.int32([[513]]), 2)
    array([[1, 2]], dtype=uint8)
    """
    if not 0 <= count <= 4 * words.shape[-1]:
        raise ValueError(f"{count} exponents do not fit in {words.shape[-1]} words")
    return np.ascontiguousarray(words.astype("<i4")).view(np.uint8)[..., :count]


def trainium_groups(tile: AnyArray) -> AnyArray:
    """Cut a [P, F] tile into Trainium's scaling groups of 8 partitions x 4 free elements: shape [P/8, F/4, 32].

    >>> trainium_groups(np.arange(64).reshape(8, 8))[0, 1, :5]
    array([ 4,  5,  6,  7, 12])
    """
    partitions, free = _matrix(tile)
    if partitions % 8 or free % 4:
        raise ValueError(f"a tile of 8 x 4 groups has P a multiple of 8 and F of 4, got shape {tile.shape}")
    groups = tile.reshape(partitions // 8, 8, free // 4, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(groups).reshape(partitions // 8, free // 4, 32)


def trainium_tile(groups: AnyArray) -> AnyArray:
    """Undo `trainium_groups`.

    >>> trainium_tile(trainium_groups(np.arange(64).reshape(8, 8)))[1, :3]
    array([ 8,  9, 10])
    """
    if groups.ndim != 3 or groups.shape[2] != 32:
        raise ValueError(f"groups have shape [P/8, F/4, 32], got {groups.shape}")
    down, across, _ = groups.shape
    tile = groups.reshape(down, across, 8, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tile).reshape(down * 8, across * 4)


def pack_x4(codes: Bytes) -> NDArray[np.uint32]:
    """Put four 8-bit codes into a 32-bit element, the first in the low byte (Trainium's `_x4` types).

    >>> pack_x4(np.uint8([1, 2, 0, 0]))
    array([513], dtype=uint32)
    """
    _divides(codes, 4, "an x4 packing")
    return np.ascontiguousarray(codes).view("<u4").astype(np.uint32, copy=False)


def unpack_x4(words: NDArray[np.uint32]) -> Bytes:
    """Undo `pack_x4`.

    >>> unpack_x4(np.uint32([513]))
    array([1, 2, 0, 0], dtype=uint8)
    """
    return np.ascontiguousarray(words.astype("<u4")).view(np.uint8)


def quadrant_rows(scales: AnyArray, *, offset: int = 0) -> AnyArray:
    """Place dense scale rows in SBUF partitions: row i goes to partition (i // 4) * 32 + i % 4 + offset.

    Parameters
    ----------
    scales : ndarray, shape (P / 8, F / 4)
    offset : {0, 4, 8, 12}
        Which of the four tensors that may share a scale tile this is.

    Examples
    --------
    >>> np.flatnonzero(quadrant_rows(np.ones((8, 1), np.uint8), offset=4))
    array([ 4,  5,  6,  7, 36, 37, 38, 39])
    """
    rows, columns = _matrix(scales)
    at = _quadrant_index(rows, offset)
    placed = np.zeros((-(-rows // 4) * QUADRANT, columns), scales.dtype)
    placed[at] = scales
    return placed


def dense_rows(placed: AnyArray, rows: int, *, offset: int = 0) -> AnyArray:
    """Undo `quadrant_rows`.

    >>> dense_rows(quadrant_rows(np.uint8([[5], [6]])), 2).ravel()
    array([5, 6], dtype=uint8)
    """
    if not 0 < rows <= placed.shape[0] // QUADRANT * 4:
        raise ValueError(
            f"{placed.shape[0]} partitions hold {placed.shape[0] // QUADRANT * 4} scale rows, got rows={rows}"
        )
    dense: AnyArray = placed[_quadrant_index(rows, offset)]
    return dense


def _quadrant_index(rows: int, offset: int) -> NDArray[np.intp]:
    if offset not in (0, 4, 8, 12):
        raise ValueError(f"offset must be 0, 4, 8 or 12, got {offset}")
    i = np.arange(rows)
    return i // 4 * QUADRANT + i % 4 + offset


def _matrix(a: AnyArray) -> tuple[int, int]:
    if a.ndim != 2 or a.size == 0:
        raise ValueError(f"this layout is of a matrix with at least one element, got shape {a.shape}")
    return a.shape[0], a.shape[1]
