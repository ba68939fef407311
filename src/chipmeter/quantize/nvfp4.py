"""NVFP4 as the libraries compute it: e2m1 blocks, an e4m3 scale each, and a float32 scale of the whole tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chipmeter.formats.codec import cast
from chipmeter.quantize.rules import Floats, float32_log2

Flavour = Literal["torchao", "transformer-engine", "modelopt", "compressed-tensors"]
"""Whose float32 operations, in whose order; see docs/quantize.md."""
Adaptive = Literal["none", "mae", "mse"]
"""Whether each block takes, of two scales that send its amax to 6 or to 4, the one with the smaller sum of absolute
("mae") or squared ("mse") errors; the larger range on a draw (Transformer Engine, "4 over 6")."""

_ONE = np.float32(1)
_LARGEST = np.float32(np.finfo(np.float32).max)
_TINY = np.float32(np.finfo(np.float32).tiny)


def tensor_scale(amax: np.float32, flavour: Flavour, limit: float = 448.0) -> np.float32:
    """Return the number that decoded blocks are multiplied by; all zero (and for some, not finite) gives 1.

    >>> tensor_scale(np.float32(2688), "torchao"), tensor_scale(np.float32(5376), "transformer-engine")
    (np.float32(1.0), np.float32(2.0))
    """
    return second_level(amax, flavour, limit).tensor_scale


@dataclass(frozen=True)
class SecondLevel:
    """The scale of a whole tensor, as a library applies it."""

    factor: np.float32
    """What the flavour divides by or multiplies with."""
    tensor_scale: np.float32
    amax: np.float32
    top: np.float32
    """What the largest element and the largest scale give."""


def second_level(amax: np.float32, flavour: Flavour, limit: float = 448.0) -> SecondLevel:
    """Find the second level of a tensor from its largest magnitude.

    >>> second_level(np.float32(5376), "transformer-engine").factor
    np.float32(0.5)
    """
    with np.errstate(all="ignore"):
        multiplies = flavour in ("transformer-engine", "compressed-tensors")
        factor = _multiplier(amax, flavour, limit) if multiplies else _divisor(amax, limit)
        return SecondLevel(factor, np.float32(_ONE / factor) if multiplies else factor, amax, np.float32(6 * limit))


def _divisor(amax: np.float32, limit: float) -> np.float32:
    return _ONE if amax == 0 else np.float32(amax / np.float32(6 * limit))


def _multiplier(amax: np.float32, flavour: Flavour, limit: float) -> np.float32:
    top = np.float32(6 * limit)
    if flavour == "compressed-tensors":
        found = np.float32(top / max(amax, _TINY))
        return found if np.isfinite(found) else _ONE
    return _ONE if amax == 0 or not np.isfinite(amax) else min(np.float32(top / amax), _LARGEST)


def quantize_power_of_two(tiles: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Quantise each row of `tiles` below a float32 scale that a logarithm rounds up to a power of two (Transformer Engine).

    >>> codes, scales = quantize_power_of_two(np.float32([[3, -6, 12, 0]]))
    >>> codes, scales
    (array([[ 3, 13,  7,  0]], dtype=uint8), array([2.], dtype=float32))
    """
    amax = np.abs(tiles).max(axis=1)
    with np.errstate(all="ignore"):
        exponent = np.clip(np.ceil(float32_log2(amax / np.float32(6))), -127, 127)
        scales = np.ldexp(np.float32(1), exponent.astype(np.int32)).astype(np.float32)
        y = tiles * np.minimum(_ONE / scales, _LARGEST)[:, None]
    codes = cast(y, "float4_e2m1fn", overflow="saturate").view(np.uint8)
    return np.where(y == 0, np.uint8(0), codes), scales  # what rounds to zero from below keeps its sign
