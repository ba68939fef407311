"""Mappings of groups to integers, and 4-bit tables: torchao, bitsandbytes, NF4 with two levels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chipmeter.formats.codec import cast, decode
from chipmeter.quantize.rules import Floats

Mapping = Literal["symmetric", "symmetric-no-clipping", "affine", "extreme", "least"]
"""From the least and the largest number of a group to its scale: `symmetric` max(-min, max) / ((high - low) / 2), so
127.5 for int8; `symmetric-no-clipping` max(min / low, max / high); `affine` (max - min) / (high - low) with a zero point;
min and max include 0. Scales are at least the smallest normal float32; zero points are low - round(min / scale) within
[low, high], of symmetric mappings (high + low + 1) // 2; codes clamp(round(x * (1 / scale)) + zero), to nearest even, in
float32. (torchao choose_qparams_affine.) `extreme`: the number of largest magnitude, with its sign, over
-8; `least`: (max - min) / 15 and the minimum, which is stored as well (ggml Q4_0 and Q4_1)."""

_ONE = np.float32(1)


NF4_SHORT = decode(np.arange(16, dtype=np.uint8), "nf4_short")
"""The table of nf4 as torchao prints it, to four decimals."""


def quantize_bnb4(tiles: Floats, kind: Literal["nf4", "fp4"]) -> tuple[NDArray[np.uint8], Floats]:
    """Quantise blocks to bitsandbytes' nf4 or fp4: x * (1 / max(amax, 1e-38)) clamped to [-1, 1], then the table.

    The nearest entry is found among the sorted ones, ties to the lower; in fp4, negative numbers next to zero take
    code 0 and positive ones code 8. The scale is amax.

    >>> quantize_bnb4(np.float32([[-4, 0, 2]]), "nf4")
    (array([[ 0,  7, 12]], dtype=uint8), array([4.], dtype=float32))
    """
    amax = np.abs(tiles).max(axis=1)
    with np.errstate(all="ignore"):
        y = np.clip(tiles * (_ONE / np.maximum(amax, np.float32(1e-38)))[:, None], -_ONE, _ONE).astype(np.float32)
    if kind == "nf4":
        return cast(y, "nf4").view(np.uint8), amax
    table = fp4_table()
    order = np.argsort(table, kind="stable")  # both zeros: code 0 below code 8, with 0 between them
    midpoints = (table[order][1:] + table[order][:-1]) / np.float32(2)
    return order[np.searchsorted(midpoints, y, side="left")].astype(np.uint8), amax


def fp4_table() -> Floats:
    """Return the 16 values of bitsandbytes' fp4 by code; code 8 is +0 again.

    >>> fp4_table()[8:11]
    array([ 0.        , -0.00520833, -0.6666667 ], dtype=float32)
    """
    return decode(np.arange(16, dtype=np.uint8), "fp4_bitsandbytes")


def quantize_nf4_double(
    x: Floats, block: int, scaler_block: int
) -> tuple[NDArray[np.uint8], NDArray[np.int8], Floats, np.float32]:
    """Quantise to nf4 with int8 scales under float32 ones, as torchao's NF4Tensor does.

    Returns
    -------
    codes : ndarray of uint8, shape of x
    scalers : ndarray of int8
        amax of each block less their mean, times a factor, to nearest even.
    factors : ndarray of float32
        256 / (2 * largest) of each group of `scaler_block` scalers: what they were multiplied by. The last may be short;
        inf, with scalers 0, where all of a group are the mean.
    mean : float32
        Of the amax, summed in float32 in 32 lanes, then four lanes to one, then the eight in order.

    Examples
    --------
    >>> codes, scalers, factors, mean = quantize_nf4_double(np.float32([1, -1, 0, 3]), 2, 2)
    >>> codes, scalers, factors, mean
    (array([15,  0,  7, 15], dtype=uint8), array([-128,  127], dtype=int8), array([128.], dtype=float32), np.float32(2.0))
    """
    blocks = x.reshape(-1, block)
    scalers = np.abs(blocks).max(axis=1)
    with np.errstate(all="ignore"):
        normal = blocks / scalers[:, None]
    codes = np.empty(normal.shape, np.uint8)
    for i in range(0, len(normal), 4096):
        codes[i : i + 4096] = np.abs(normal[i : i + 4096, :, None] - NF4_SHORT).argmin(axis=-1)
    mean = np.float32(_sum_by_lanes(scalers) / np.float32(scalers.size))
    groups = np.zeros(-(-scalers.size // scaler_block) * scaler_block, np.float32)
    with np.errstate(invalid="ignore"):
        groups[: scalers.size] = scalers - mean
    groups = groups.reshape(-1, scaler_block)
    with np.errstate(all="ignore"):
        factors = np.float32(256) / (np.float32(2) * np.abs(groups).max(axis=1))
        q = np.clip(np.rint(np.nan_to_num(groups * factors[:, None], nan=0.0)), -128, 127).astype(np.int8)
    return codes.reshape(x.shape), q.reshape(-1)[: scalers.size], factors.astype(np.float32), mean


def _sum_by_lanes(values: Floats) -> np.float32:
    lanes = np.zeros((4, 8), np.float32)
    padded = np.zeros(-(-values.size // 32) * 32, np.float32)
    padded[: values.size] = values
    for row in padded.reshape(-1, 4, 8):
        lanes += row
    total = np.float32(0)
    for lane in lanes[0] + lanes[1] + lanes[2] + lanes[3]:
        total = np.float32(total + lane)
    return total
