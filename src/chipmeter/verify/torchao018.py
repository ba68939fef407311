"""torchao 0.18 `to_mx`, where it departs from the integer rules of its git main: infinities, float32 log2, byte 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import FloatFormat, cast
from chipmeter.quantize.rules import float32_log2, powers, scale_bytes

Values = NDArray[np.float32]


def quantize_blocks(blocks: Values, element: FloatFormat, rule: str) -> tuple[NDArray[np.uint8], AnyArray, Values]:
    """Return scale bytes, codes and the scaled values of blocks along the last axis, in the release's own operations."""
    amax = np.abs(blocks).max(axis=-1)
    top = np.float32(element.max)
    with np.errstate(all="ignore"):
        if rule == "round-up":
            up = np.ceil(float32_log2(amax / top))
            byte = np.where(np.isnan(amax), 255, np.clip(np.nan_to_num(up, nan=0.0), -127, 127) + 127).astype(np.uint8)
            factor = np.where(byte == 0, np.float32(1), powers(254 - np.minimum(byte, 254)))
            factor = np.where(byte == 255, np.float32(np.nan), factor).astype(np.float32)
            y = blocks * factor[..., None]
        else:
            byte = _bytes(amax, element, rule)
            scale = np.where(byte == 0, np.float32(2.0**-126), powers(byte))
            scale = np.where(byte == 255, np.float32(np.inf), scale).astype(np.float32)
            y = np.asarray(blocks / scale[..., None], np.float32)
        y = np.where(np.isnan(y), y, np.clip(y, -top, top)).astype(np.float32)
    return byte, cast(y, element, overflow="saturate"), y


def _bytes(amax: Values, element: FloatFormat, rule: str) -> NDArray[np.uint8]:
    """Apply the integer rule, but an infinity counts as a number of exponent 128, fraction 0."""
    exponent = (amax.view(np.uint32) >> 23).astype(np.int64)
    fraction = amax.view(np.uint32) & 0x7FFFFF
    even_up = (rule == "even") & (exponent == 254) & (fraction >= (1 << 23) - (1 << 22 - element.mantissa_bits))
    lost = np.isinf(amax) | even_up
    byte = np.where(lost, 255 - element.max_exponent, scale_bytes(amax, element, rule))
    return byte.astype(np.uint8)
