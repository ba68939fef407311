"""The blocks of ggml's tensor types, decoded: what each block holds and the float32 it stands for.

Layouts and arithmetic are those of ggml's `dequantize_row_*` (ggml-quants.c): a block is 32 elements, element j and
element j + 16 share byte j (low and high nibble); scale and minimum are float16; product first, then sum, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import ml_dtypes
import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray

Blocks = NDArray[np.uint8]
Float32 = NDArray[np.float32]

_FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)  # doubled: the scale is halved


class BlockType(msgspec.Struct, frozen=True):
    """One tensor type: elements and bytes per block, and how blocks of bytes become values."""

    name: str
    elements: int
    nbytes: int
    decode: Callable[[Blocks], AnyArray]


def _half(blocks: Blocks, at: int) -> Float32:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(bytes_: Blocks) -> Blocks:
    return np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1)


def _fifth(bytes_: Blocks) -> Blocks:
    """Bit i of four bytes, for element i, where the fifth bit of a code goes."""
    return np.unpackbits(bytes_, axis=1, bitorder="little") << np.uint8(4)


def _q8_0(b: Blocks) -> Float32:
    return np.ascontiguousarray(b[:, 2:]).view(np.int8).astype(np.float32) * _half(b, 0)


def _q4_0(b: Blocks) -> Float32:
    return (_nibbles(b[:, 2:]).astype(np.float32) - np.float32(8)) * _half(b, 0)


def _q4_1(b: Blocks) -> Float32:
    return _nibbles(b[:, 4:]).astype(np.float32) * _half(b, 0) + _half(b, 2)


def _q5_0(b: Blocks) -> Float32:
    codes = _nibbles(b[:, 6:]) | _fifth(np.ascontiguousarray(b[:, 2:6]))
    return (codes.astype(np.float32) - np.float32(16)) * _half(b, 0)


def _q5_1(b: Blocks) -> Float32:
    codes = _nibbles(b[:, 8:]) | _fifth(np.ascontiguousarray(b[:, 4:8]))
    return codes.astype(np.float32) * _half(b, 0) + _half(b, 2)


def _mxfp4(b: Blocks) -> Float32:
    byte = b[:, :1].astype(np.uint32)  # half of 2^(byte - 127): subnormal for bytes 0 and 1, no NaN
    scale = np.where(byte < 2, np.uint32(0x00200000) << byte, (byte - 1) << 23).astype(np.uint32).view(np.float32)
    return _FP4[_nibbles(b[:, 1:])] * scale


def _plain(dtype: str | type) -> Callable[[Blocks], AnyArray]:
    return lambda b: np.ascontiguousarray(b).view(dtype)


TYPES: Final[dict[int, BlockType]] = {
    0: BlockType("F32", 1, 4, _plain("<f4")),
    1: BlockType("F16", 1, 2, lambda b: _plain("<f2")(b).astype(np.float32)),
    2: BlockType("Q4_0", 32, 18, _q4_0),
    3: BlockType("Q4_1", 32, 20, _q4_1),
    6: BlockType("Q5_0", 32, 22, _q5_0),
    7: BlockType("Q5_1", 32, 24, _q5_1),
    8: BlockType("Q8_0", 32, 34, _q8_0),
    24: BlockType("I8", 1, 1, _plain("i1")),
    25: BlockType("I16", 1, 2, _plain("<i2")),
    26: BlockType("I32", 1, 4, _plain("<i4")),
    27: BlockType("I64", 1, 8, _plain("<i8")),
    28: BlockType("F64", 1, 8, _plain("<f8")),
    30: BlockType("BF16", 1, 2, lambda b: _plain(ml_dtypes.bfloat16)(b).astype(np.float32)),
    39: BlockType("MXFP4", 32, 17, _mxfp4),
}
"""By ggml's number for the type."""
