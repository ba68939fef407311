"""NVFP4 as the libraries compute it: e2m1 blocks, an e4m3 scale each, and a float32 scale of the whole tensor."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chipmeter._names import unknown_name
from chipmeter.formats.codec import cast, decode
from chipmeter.quantize.rules import Floats, float32_log2

Flavour = Literal["torchao", "transformer-engine", "modelopt", "compressed-tensors"]
"""Whose float32 operations, in whose order; see docs/quantize.md."""
Adaptive = Literal["none", "mae", "mse"]
"""Whether each block takes, of two scales that send its amax to 6 or to 4, the one with the smaller sum of absolute
("mae") or squared ("mse") errors; the larger range on a draw (Transformer Engine, "4 over 6")."""

_ONE, _SIX = np.float32(1), np.float32(6)
_LARGEST = np.float32(np.finfo(np.float32).max)
_TINY = np.float32(np.finfo(np.float32).tiny)


def tensor_scale(amax: np.float32, flavour: Flavour, limit: float = 448.0) -> np.float32:
    """Return the number that decoded blocks are multiplied by; all zero (and for some, not finite) gives 1.

    >>> tensor_scale(np.float32(2688), "torchao"), tensor_scale(np.float32(5376), "transformer-engine")
    (np.float32(1.0), np.float32(2.0))
    """
    return second_level(amax, flavour, limit)[1]


def second_level(amax: np.float32, flavour: Flavour, limit: float = 448.0) -> tuple[np.float32, np.float32]:
    """Return what the flavour divides by or multiplies with, and `tensor_scale`.

    >>> second_level(np.float32(5376), "transformer-engine")
    (np.float32(0.5), np.float32(2.0))
    """
    with np.errstate(all="ignore"):
        second = _multiplier(amax, flavour, limit) if _multiplies(flavour) else _divisor(amax, limit)
        return second, np.float32(_ONE / second) if _multiplies(flavour) else second


def _multiplies(flavour: Flavour) -> bool:
    return flavour in ("transformer-engine", "compressed-tensors")


def _divisor(amax: np.float32, limit: float) -> np.float32:
    return _ONE if amax == 0 else np.float32(amax / np.float32(6 * limit))


def _multiplier(amax: np.float32, flavour: Flavour, limit: float) -> np.float32:
    top = np.float32(6 * limit)
    if flavour == "compressed-tensors":
        found = np.float32(top / max(amax, _TINY))
        return found if np.isfinite(found) else _ONE
    return _ONE if amax == 0 or not np.isfinite(amax) else min(np.float32(top / amax), _LARGEST)


def quantize_tiles(
    tiles: Floats,
    tensor_amax: np.float32 | None,
    flavour: Flavour = "torchao",
    *,
    power_of_two: bool = False,
    adaptive: Adaptive = "none",
    limit: float = 448.0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | Floats]:
    """Quantise tiles, each a row of `tiles`.

    Parameters
    ----------
    tiles : ndarray of float32, shape (n, elements)
    tensor_amax : float32 or None
        Largest magnitude of the tensor; None (torchao) for no second level.
    flavour : str
    power_of_two : bool
        Transformer Engine: float32 scales rounded up to powers of two, without a second level.
    adaptive : {"none", "mae", "mse"}
        Transformer Engine: the better of two scales for each block of 16 elements.
    limit : float
        Largest block scale that the tensor scale aims at: 448, or 256 for a margin under `adaptive`.

    Returns
    -------
    codes : ndarray of uint8, shape (n, elements)
        e2m1 codes, one per byte.
    scales : ndarray, shape (n,)
        e4m3 codes as uint8; float32 powers of two for `power_of_two`.

    Examples
    --------
    >>> codes, scales = quantize_tiles(np.float32([[3, -6, 12, 0]]), np.float32(2688))
    >>> codes, scales
    (array([[ 3, 13,  7,  0]], dtype=uint8), array([64], dtype=uint8))
    """
    if flavour not in get_args(Flavour):
        raise unknown_name("NVFP4 flavour", flavour, get_args(Flavour))
    amax = np.abs(tiles).max(axis=1)
    with np.errstate(all="ignore"):
        if flavour == "transformer-engine":
            if power_of_two:
                return _power_of_two(tiles, amax)
            assert tensor_amax is not None
            if adaptive != "none":
                return _four_over_six(tiles, amax, tensor_amax, adaptive, limit)
            up = _multiplier(tensor_amax, flavour, limit)
            scales = _e4m3(np.minimum(amax * (up * np.float32(1 / 6)), _LARGEST))
            return _te_codes(tiles, scales, up), scales
        if flavour == "compressed-tensors":
            assert tensor_amax is not None
            up = _multiplier(tensor_amax, flavour, limit)
            scales = _e4m3(up * (amax / _SIX))
            scales = np.where(scales == 0, np.uint8(0x20), scales)  # 0.125, the epsilon of e4m3
            return _codes(tiles / (_value(scales) / up)[:, None]), scales
        second = _ONE if tensor_amax is None else _divisor(tensor_amax, limit)
        if flavour == "modelopt":
            wanted = amax / (_SIX * second)
            wanted = np.where(wanted == 0, _ONE, wanted)
            scales = _e4m3(np.clip(wanted, np.float32(2.0**-9), np.float32(448)))
            return _without_negative_zero(tiles / (_value(scales) * second)[:, None]), scales
        wanted = amax / _SIX if tensor_amax is None else amax / _SIX / second
        scales = _e4m3(np.clip(wanted, np.float32(2.0**-6), np.float32(448)))
        factor = _ONE / _value(scales) if tensor_amax is None else _ONE / second / _value(scales)
        return _codes(tiles * factor[:, None]), scales


def _te_codes(tiles: Floats, scales: NDArray[np.uint8], up: np.float32) -> NDArray[np.uint8]:
    down = _ONE / up
    factor = np.minimum(_ONE / (_value(scales) * down), _LARGEST)
    return _without_negative_zero(tiles * factor[:, None])


def _without_negative_zero(y: Floats) -> NDArray[np.uint8]:
    """Encode, +0 for the number -0; what rounds to zero from below keeps its sign."""
    return np.where(y == 0, np.uint8(0), _codes(y))


def _power_of_two(tiles: Floats, amax: Floats) -> tuple[NDArray[np.uint8], Floats]:
    exponent = np.clip(np.ceil(float32_log2(amax / _SIX)), -127, 127)
    scales = np.ldexp(np.float32(1), exponent.astype(np.int32)).astype(np.float32)
    factor = np.minimum(_ONE / scales, _LARGEST)
    return _without_negative_zero(tiles * factor[:, None]), scales


def _four_over_six(
    tiles: Floats, amax: Floats, tensor_amax: np.float32, adaptive: Adaptive, limit: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    up = _multiplier(tensor_amax, "transformer-engine", limit)
    base = amax / _SIX * up
    scales = [_e4m3(np.minimum(base * factor, _LARGEST)) for factor in (np.float32(1.5), _ONE)]  # to 4, to 6
    codes = [_te_codes(tiles, s, up) for s in scales]
    blocks = tiles.reshape(len(tiles), -1, 16)
    errors = []
    for c, s in zip(codes, scales, strict=True):
        back = decode(c, "float4_e2m1fn") * _value(s)[:, None] * tensor_amax / np.float32(6 * limit)
        d = back.astype(np.float32).reshape(blocks.shape) - blocks
        d = np.abs(d) if adaptive == "mae" else d * d
        total = np.zeros(d.shape[:2], np.float32)
        for i in range(16):  # one after another, in float32
            total = total + d[..., i]
        errors.append(total.sum(axis=1, dtype=np.float32) if d.shape[1] > 1 else total[:, 0])
    four = errors[0] < errors[1]
    return np.where(four[:, None], codes[0], codes[1]), np.where(four, scales[0], scales[1])


def _e4m3(x: Floats) -> NDArray[np.uint8]:
    return cast(x, "float8_e4m3fn", overflow="saturate").view(np.uint8)


def _value(scales: NDArray[np.uint8]) -> Floats:
    return decode(scales, "float8_e4m3fn")


def _codes(y: Floats) -> NDArray[np.uint8]:
    return cast(y.astype(np.float32), "float4_e2m1fn", overflow="saturate").view(np.uint8)
