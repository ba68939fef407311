"""cast and decode: real numbers to codes and back, one rounding each, bit for bit by the format record."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, as_array, dtype_of, float64_array, output_array, real_array
from chipmeter._threads import split, thread_count
from chipmeter.formats.policies import Overflow, Rounding, check_policy, decode_spec, e8m0_spec, encode_spec
from chipmeter.formats.records import FORMATS, FloatFormat, Format, IntegerFormat, TableFormat, format_of

GRAIN = 1 << 17
"""Elements below which another thread costs more than it saves."""

_ENCODERS: dict[tuple[str, int], Callable[..., None]] = {
    ("f4", 1): _kernels.encode_f32_u8,
    ("f4", 2): _kernels.encode_f32_u16,
    ("f4", 4): _kernels.encode_f32_u32,
    ("f8", 1): _kernels.encode_f64_u8,
    ("f8", 2): _kernels.encode_f64_u16,
    ("f8", 4): _kernels.encode_f64_u32,
}
_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


@lru_cache(maxsize=256)
def code_dtype(fmt: Format) -> np.dtype[Any]:
    """Return the dtype that holds the codes of a format: the ml_dtypes type where one exists.

    >>> code_dtype(format_of("e2m1"))
    dtype(float4_e2m1fn)
    """
    if fmt.dtype:
        return dtype_of(fmt.dtype)
    return np.dtype(_WORDS[1 if fmt.bits <= 8 else 2 if fmt.bits <= 16 else 4])


def cast(
    x: ArrayLike,
    format: str | Format,
    *,
    rounding: Rounding = "nearest-even",
    overflow: Overflow = "ofp8",
    nan: int | None = None,
    seed: int = 0,
    offset: int = 0,
    bits: ArrayLike | None = None,
    random_bits: int = 32,
    out: AnyArray | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Round real numbers to a number format.

    Rounding: each element once, from its exact value, whatever its dtype (float64 never passes through float32);
    overflow is asked after rounding; subnormals are kept. Same bits on every tier and for any number of threads.

    Parameters
    ----------
    x : array_like
        float32 or float64 of any shape and strides; float16, bfloat16 and the float8/6/4 types are widened exactly.
    format : str or Format
        A name (`chipmeter.formats.FORMATS`, aliases accepted) or a record of your own.
    rounding : str
        See `chipmeter.formats.Rounding`. Integers accept all, nf4 only "nearest-even".
    overflow : {"ofp8", "saturate", "torch"}
        See `chipmeter.formats.Overflow`. Integers always saturate, and send NaN to 0.
    nan : int, optional
        The code to write for every NaN, instead of the policy's.
    seed, offset : int
        For "stochastic" without `bits`: element i (in C order) uses word offset + i of Philox4x32-10 keyed by `seed`.
    bits : array_like of uint32, optional
        For "stochastic": the random words, one per element, of which the low `random_bits` count.
    random_bits : int
        n of "stochastic", 1 to 32: with d the dropped fraction in units of the last place and r the random number,
        the magnitude is rounded up iff floor(d * 2^n) + r >= 2^n.
    out : ndarray, optional
        C-contiguous array of `code_dtype(format)` and of x's shape, not overlapping x.
    threads : int, optional
        Default CHIPMETER_NUM_THREADS, else 1.

    Returns
    -------
    ndarray
        Codes, in the ml_dtypes (or NumPy) dtype of the format where there is one; uint8 for ue4m3, nf4 and custom
        formats of at most 8 bits, uint16 for wider ones. tf32 comes back as float32 with its low 13 bits zero.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, an unknown name, or an unusable `out`, `bits` or `seed`.

    Examples
    --------
    >>> cast([1.0, 300.0, 500.0], "float8_e4m3fn").astype(np.float32)
    array([  1., 288.,  nan], dtype=float32)
    >>> cast(np.float32([464, 465]), "e4m3fn", overflow="saturate").astype(np.float32)
    array([448., 448.], dtype=float32)
    >>> cast(np.float32([0.3]), "bf16", rounding="stochastic", seed=7).astype(np.float32)
    array([0.30078125], dtype=float32)
    """
    fmt = format_of(format)
    check_policy(rounding, overflow)
    source = real_array(float64_array(x, "x") if isinstance(x, (int, float, list, tuple)) else x, "x")
    words = _random_words(rounding, bits, source.shape, seed, offset, random_bits)
    codes = output_array(out, source.shape, code_dtype(fmt), source, words)
    _check_nan_code(nan, fmt)
    if isinstance(fmt, IntegerFormat):
        from chipmeter.formats.integers import cast_integer

        codes[...] = cast_integer(source, fmt, rounding, words, seed, offset, random_bits)
    elif isinstance(fmt, TableFormat):
        if rounding != "nearest-even":
            raise ValueError(f"{fmt.name} is a table: it accepts the rounding 'nearest-even' only, got {rounding!r}")
        codes[...] = _nearest_in_table(source, fmt)
    else:
        encode_floats(source, codes, fmt, rounding, overflow, nan, words, seed, offset, random_bits, threads)
    return codes


def decode(
    codes: ArrayLike,
    format: str | Format | None = None,
    *,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Turn codes back into numbers, exactly.

    Parameters
    ----------
    codes : array_like
        An array of the format's dtype, or of raw codes (uint8, uint16 or uint32, whichever its width asks for). Bits
        above the format's width are ignored.
    format : str or Format, optional
        Needed for raw codes; otherwise found from the dtype.
    out : ndarray of float32, optional
    threads : int, optional

    Returns
    -------
    ndarray of float32
        Of the same shape. NaN codes give the quiet NaN with the code's sign.

    Examples
    --------
    >>> decode(np.uint8([0x7E, 0x01, 0xFF]), "e4m3fn")
    array([4.480000e+02, 1.953125e-03,          nan], dtype=float32)
    """
    given = as_array(codes, "codes")
    fmt = format_of(format) if format is not None else _format_of_dtype(given.dtype)
    dtype = code_dtype(fmt)
    if given.dtype != dtype and given.dtype != _WORDS[dtype.itemsize]:
        raise TypeError(
            f"codes of {fmt.name} have dtype {dtype} or {np.dtype(_WORDS[dtype.itemsize])}, got {given.dtype}"
        )
    flat = np.ascontiguousarray(given).reshape(given.shape)
    values = output_array(out, given.shape, np.dtype(np.float32), flat)
    if isinstance(fmt, IntegerFormat):
        values[...] = flat.view(dtype).astype(np.float32)
    elif isinstance(fmt, TableFormat):
        values[...] = np.asarray(fmt.values, np.float32)[flat.view(np.uint8) & ((1 << fmt.bits) - 1)]
    elif fmt.padding and (fmt.bits, fmt.exponent_bits, fmt.bias, fmt.nan) == (32, 8, 127, "ieee"):
        np.bitwise_and(
            flat.view(np.uint32), np.uint32(0xFFFFFFFF << fmt.padding & 0xFFFFFFFF), out=values.view(np.uint32)
        )
    elif fmt.bits - fmt.padding > 16:
        values[...] = _decode_wide(flat.view(np.uint32), fmt)
    else:
        word, kernel = (
            (np.uint8, _kernels.decode_u8_f32) if fmt.bits - fmt.padding <= 8 else (np.uint16, _kernels.decode_u16_f32)
        )
        raw, spec = flat.view(_WORDS[dtype.itemsize]).reshape(-1), decode_spec(fmt)
        if fmt.padding or raw.dtype != word:
            raw = (raw >> fmt.padding).astype(word)
        target = values.reshape(-1)
        split(lambda i, j: kernel(raw[i:j], target[i:j], spec), raw.size, thread_count(threads), GRAIN)
    return values


def encode_floats(
    source: AnyArray,
    codes: AnyArray,
    fmt: FloatFormat,
    rounding: Rounding,
    overflow: Overflow,
    nan: int | None,
    words: NDArray[np.uint32] | None,
    seed: int,
    offset: int,
    random_bits: int,
    threads: int | None,
    rule: int = 0,
) -> None:
    """Write the codes of checked arguments; `rule` is the number of a stochastic rule (csrc/chipmeter/formats.h)."""
    flat, raw = source.reshape(-1), codes.reshape(-1).view(_WORDS[codes.dtype.itemsize])
    if fmt.powers_only:
        power = e8m0_spec(rounding, overflow, nan)
        encode: Any = _kernels.encode_f32_e8m0 if flat.dtype == np.float32 else _kernels.encode_f64_e8m0
        split(lambda i, j: encode(flat[i:j], raw[i:j], power), flat.size, thread_count(threads), GRAIN)
        return
    spec = encode_spec(fmt, rounding, overflow, nan, random_bits)
    kernel = _ENCODERS[flat.dtype.str[1:], raw.dtype.itemsize]

    def work(i: int, j: int) -> None:
        some = None if words is None else words[i:j]
        kernel(flat[i:j], raw[i:j], spec, some, seed, offset + i & 0xFFFFFFFFFFFFFFFF, rule)

    split(work, flat.size, thread_count(threads), GRAIN)


def _decode_wide(raw: NDArray[np.uint32], fmt: FloatFormat) -> NDArray[np.float32]:
    """Decode codes of 17 to 19 bits: only formats of a user's own are that wide, so no kernel of theirs is kept."""
    code = (raw >> fmt.padding).astype(np.int64)
    magnitude = code & ((1 << fmt.magnitude_bits) - 1)
    field, fraction = magnitude >> fmt.mantissa_bits, magnitude & ((1 << fmt.mantissa_bits) - 1)
    significand = fraction + np.where(field > 0, 1 << fmt.mantissa_bits, 0)
    values = np.ldexp(significand.astype(np.float64), np.maximum(field, 1) - fmt.bias - fmt.mantissa_bits)
    values = np.where(magnitude > fmt.max_code, np.nan, values)
    if fmt.infinity:
        values = np.where(magnitude == fmt.max_code + 1, np.inf, values)
    negative = (code >> fmt.magnitude_bits & 1 == 1) & fmt.signed
    if fmt.nan == "negative_zero":
        return np.where(negative, np.where(magnitude == 0, np.nan, -values), values).astype(np.float32)
    return np.copysign(values, np.where(negative, -1.0, 1.0)).astype(np.float32)


def _nearest_in_table(source: AnyArray, fmt: TableFormat) -> NDArray[np.uint8]:
    values = np.asarray(fmt.values)
    order = np.argsort(values, kind="stable")
    values = values[order]
    midpoints = ((values[1:] + values[:-1]) / 2).astype(np.float32)  # float32, as bitsandbytes' literals are
    with np.errstate(invalid="ignore"):  # a signalling NaN is no reason to warn
        below = np.searchsorted(midpoints, source.astype(np.float64), side="left")
    return order[np.where(np.isnan(source), np.argmin(np.abs(values)), below)].astype(np.uint8)


def _random_words(
    rounding: str, bits: ArrayLike | None, shape: tuple[int, ...], seed: int, offset: int, random_bits: int
) -> NDArray[np.uint32] | None:
    for name, value, top in (("seed", seed, 2**64), ("offset", offset, 2**64), ("random_bits", random_bits, 33)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < top:
            raise ValueError(f"{name} must be an integer in 0..{top - 1}, got {value!r}")
    if random_bits == 0:
        raise ValueError("random_bits must be at least 1")
    if rounding != "stochastic" and bits is not None:
        raise ValueError(f"random bits go with rounding='stochastic', got {rounding!r}")
    if bits is None:
        return None
    words = as_array(bits, "bits")
    if (
        words.dtype.kind not in "ui"
        or words.shape != shape
        or (words.size and (words.min() < 0 or words.max() > 0xFFFFFFFF))
    ):
        raise ValueError(
            f"bits must be unsigned 32-bit words of x's shape {shape}, got {words.dtype} of shape {words.shape}"
        )
    return np.ascontiguousarray(words, np.uint32).reshape(-1)


def _check_nan_code(nan: int | None, fmt: Format) -> None:
    if nan is None:
        return
    if not isinstance(fmt, FloatFormat):
        raise ValueError(f"{fmt.name} has no NaN, so no code for it can be chosen")  # noqa: TRY004 (the format is of a right type)
    if isinstance(nan, bool) or not isinstance(nan, int) or not 0 <= nan < 1 << (fmt.bits - fmt.padding):
        raise ValueError(
            f"nan must be a code of {fmt.name}, an integer below {1 << (fmt.bits - fmt.padding)}, got {nan!r}"
        )


def _format_of_dtype(dtype: np.dtype[Any]) -> Format:
    fmt = FORMATS.get(dtype.name)
    if fmt is None or dtype.name in ("uint8",):
        raise TypeError(f"cannot tell the format of raw {dtype} codes: pass format=")
    return fmt
