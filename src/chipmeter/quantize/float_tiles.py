"""Tiles with float32 scales: per tensor, row, 1x128 and 128x128 block, in the forms that libraries use."""

from __future__ import annotations

from typing import Literal

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import cast, code_dtype
from chipmeter.formats.records import FloatFormat, IntegerFormat
from chipmeter.quantize.rules import Floats

ScaleForm = Literal["divide", "reciprocal", "multiplier", "logarithm"]
"""From amax to the elements, each operation in float32: `divide` scale = amax / limit, y = x / scale (DeepSeek-V3);
`reciprocal` the same scale, y = x * (1 / scale) (DeepGEMM); `multiplier` S = limit / amax, y = x * S, and 1 / S is
stored (Transformer Engine); `logarithm` scale = 2^ceil(log2(amax / limit)) by the float32 logarithm, within 2^-127..2^127,
y = x * min(1 / scale, FLT_MAX), and the number -0 becomes +0 (Transformer Engine's NVFP4 with power-of-two scales)."""
Ties = Literal["even", "zero"]

_ONE, _LARGEST = np.float32(1), np.float32(np.finfo(np.float32).max)


def multiplier(
    amax: Floats, limit: float, *, smallest: float = 0.0, power_of_two: bool = False, largest: float = float(_LARGEST)
) -> Floats:
    """Return Transformer Engine's S = limit / max(amax, smallest).

    1 where amax is zero or not finite; at most `largest`; with `power_of_two` its fraction is cleared.

    >>> multiplier(np.float32([448, 2, 0]), 448.0)
    array([  1., 224.,   1.], dtype=float32)
    """
    with np.errstate(all="ignore"):
        top = np.maximum(amax, np.float32(smallest))
        s = np.float32(limit) / top
        s = np.where(np.isinf(s), np.float32(largest), s).astype(np.float32)
        if power_of_two:
            s = (s.view(np.uint32) & 0x7F800000).view(np.float32)
        return np.where((top == 0) | ~np.isfinite(top), _ONE, s).astype(np.float32)


def encode(
    y: Floats, element: FloatFormat | IntegerFormat, ties: Ties = "even", negative_zero: bool = True
) -> AnyArray:
    """Encode to nearest, saturating, ties to even or toward zero.

    >>> from chipmeter.formats import FORMATS
    >>> encode(np.float32([0.75, -0.1]), FORMATS["float4_e2m1fn"], "zero", False)
    array([0.5, 0], dtype='float4_e2m1fn')
    """
    if isinstance(element, IntegerFormat):
        whole = np.clip(np.rint(np.where(np.isnan(y), 0, y)), -element.max, element.max)
        return whole.astype(code_dtype(element))
    if ties == "zero":  # ties toward zero are ties away from it of the float32 below
        y = (y.view(np.uint32) - ((y != 0) & np.isfinite(y))).view(np.float32)
    codes: AnyArray = cast(
        y, element, rounding="nearest-even" if ties == "even" else "nearest-away", overflow="saturate"
    )
    if not negative_zero:
        raw = codes.view(np.uint8)
        raw[raw == 1 << element.bits - 1] = 0
    return codes
