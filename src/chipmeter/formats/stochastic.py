"""Stochastic rounding by the bit rules of libraries and instruction sets, on random numbers that the caller gives."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter._arrays import AnyArray, output_array
from chipmeter._names import unknown_name
from chipmeter.formats.codec import code_dtype, encode_floats
from chipmeter.formats.policies import Overflow, check_policy
from chipmeter.formats.records import FloatFormat, format_of

StochasticRule = Literal["truncated", "midpoint", "nearest-even", "nearest-odd"]
"""How the dropped fraction d (in units of the last place) and an n-bit random number r decide, the magnitude going up
iff: `truncated` floor(d 2^n) + r >= 2^n (add bits and truncate: `chipmeter.cast`, PTX cvt.rs, AMD CVT_SR, gfloat
StochasticFastest; too small by less than 2^-n ulp on average), `midpoint` floor(d 2^(n+1)) + 2r + 1 >= 2^(n+1) (gfloat
StochasticFast), `nearest-even` and `nearest-odd` round(d 2^n) + r >= 2^n, ties of that rounding to even or odd (gfloat
Stochastic and StochasticOdd; without bias)."""


def cast_stochastic(
    x: ArrayLike,
    format: str | FloatFormat,
    bits: ArrayLike,
    random_bits: int,
    *,
    rule: StochasticRule = "truncated",
    overflow: Overflow = "saturate",
    nan: int | None = None,
) -> AnyArray:
    """Round float32 to a format stochastically, by one of the rules in use.

    Parameters
    ----------
    x : array_like of float32
        Narrower floats are widened exactly.
    format : str or FloatFormat
        Anything but e8m0.
    bits : array_like of unsigned int
        Random numbers in [0, 2^random_bits), of x's shape.
    random_bits : int
        n, 1 to 31.
    rule : {"truncated", "midpoint", "nearest-even", "nearest-odd"}
        See `StochasticRule`.
    overflow, nan
        As in `chipmeter.cast`.

    Returns
    -------
    ndarray
        Codes, as from `chipmeter.cast`.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, rule or shape, or random numbers out of range.

    Examples
    --------
    1.25 lies halfway between two e2m1 numbers; the rules differ where the fraction meets the random number:

    >>> for rule in ("truncated", "midpoint"):
    ...     print(cast_stochastic(np.full(4, 1.25, np.float32), "e2m1", np.arange(4), 2, rule=rule).astype(np.float32))
    [1.  1.  1.5 1.5]
    [1.  1.  1.5 1.5]
    """
    fmt = format_of(format)
    if not isinstance(fmt, FloatFormat) or fmt.powers_only:
        raise ValueError(f"stochastic rules round to floating-point formats with a significand, got {fmt.name}")
    if rule not in get_args(StochasticRule):
        raise unknown_name("stochastic rule", rule, get_args(StochasticRule))
    if isinstance(random_bits, bool) or not isinstance(random_bits, int) or not 1 <= random_bits <= 31:
        raise ValueError(f"random_bits must be an integer in 1..31, got {random_bits!r}")
    source = np.asarray(x)
    if source.dtype == np.float64 or source.dtype.kind in "iub":
        raise TypeError(f"x must be float32 or narrower, got {source.dtype}")
    source = np.ascontiguousarray(source, np.float32).reshape(source.shape)
    words = _random_numbers(bits, source.shape, random_bits).astype(np.uint32).reshape(-1)
    check_policy("stochastic", overflow)
    codes = output_array(None, source.shape, code_dtype(fmt))
    number = get_args(StochasticRule).index(rule)
    encode_floats(source, codes, fmt, "stochastic", overflow, nan, words, 0, 0, random_bits, None, number)
    return codes


def jitter_e2m1(x: ArrayLike, bits: ArrayLike) -> NDArray[np.float32]:
    """Round float32 to e2m1 values as Transformer Engine does before Blackwell: jitter the value, then truncate.

    t = |x| + r / 256 * step(|x|) with one rounding to float32, and the result is t cut down to a multiple of step(t),
    at most 6; the step is 0.5 below 2, 1 below 4 and 2 from there. NaN becomes +6. Biased next to the steps, where
    `cast_stochastic` is not.

    Parameters
    ----------
    x : array_like of float32
    bits : array_like of unsigned int
        Random bytes, one per element.

    Returns
    -------
    ndarray of float32
        Values of e2m1; a negative number that becomes zero keeps its sign.

    Examples
    --------
    >>> jitter_e2m1(np.float32([1.25, 1.25, 7, -3]), np.uint8([127, 128, 0, 0]))
    array([ 1. ,  1.5,  6. , -3. ], dtype=float32)
    """
    source = np.asarray(x)
    if source.dtype != np.float32:
        raise TypeError(f"x must be float32, got {source.dtype}")
    r = _random_numbers(bits, source.shape, 8)
    magnitude = np.abs(source).astype(np.float64)
    with np.errstate(over="ignore"):
        t = (magnitude + r / 256 * _step(magnitude)).astype(np.float32)
    capped = np.minimum(t, np.float32(8)).astype(np.float64)
    values = np.minimum(np.floor(capped / _step(capped)) * _step(capped), 6)
    return np.where(np.isnan(source), 6, np.copysign(values, source)).astype(np.float32)


def _step(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(magnitude < 2, 0.5, np.where(magnitude < 4, 1.0, 2.0))


def ptx_random_bits(words: ArrayLike, format: str) -> tuple[NDArray[np.uint32], int]:
    """Split the random operand of PTX `cvt.rs` into the numbers its elements use (PTX ISA 9, sm_100a).

    Parameters
    ----------
    words : array_like of uint32
        One `rbits` operand per instruction, shape (n,).
    format : {"bfloat16", "float16", "float4_e2m1fn"}
        bf16x2: 16 bits each; f16x2: the low 13 bits of each half; e2m1x4: one byte each. The lanes that pairs of fp8
        and fp6 elements share are not published to the bit, so they are refused.

    Returns
    -------
    numbers : ndarray of uint32, shape (n, elements)
        In the order of the operands that the instruction lists, a first; a takes the upper half.
    random_bits : int
        To give to `cast_stochastic` with rule "truncated".

    Examples
    --------
    >>> numbers, n = ptx_random_bits(np.uint32([0xAABBCCDD]), "e2m1")
    >>> [hex(v) for v in numbers[0]], n
    (['0xaa', '0xcc', '0xbb', '0xdd'], 8)
    """
    name = format_of(format).name
    shifts = {"bfloat16": (16, 0), "float16": (16, 0), "float4_e2m1fn": (24, 8, 16, 0)}
    widths = {"bfloat16": 16, "float16": 13, "float4_e2m1fn": 8}
    if name not in shifts:
        raise ValueError(f"cvt.rs bit lanes are known for {', '.join(shifts)}, got {name}")
    given = _random_numbers(words, np.shape(words), 32).astype(np.uint32)
    if given.ndim != 1:
        raise ValueError(f"words must be one-dimensional, got shape {given.shape}")
    mask = np.uint32((1 << widths[name]) - 1)
    return np.stack([given >> np.uint32(s) & mask for s in shifts[name]], axis=-1), widths[name]


def _random_numbers(bits: ArrayLike, shape: tuple[int, ...], width: int) -> NDArray[np.int64]:
    given = np.asarray(bits)
    if given.dtype.kind not in "iu" or given.shape != shape:
        raise ValueError(f"bits must be integers of x's shape {shape}, got {given.dtype} of shape {given.shape}")
    numbers = given.astype(np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >> width):
        raise ValueError(f"random numbers of {width} bits lie in 0..{(1 << width) - 1}")
    return numbers
