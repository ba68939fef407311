"""Rules of libraries that treat each element alone: casts, roundings, random bits, decoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import FloatFormat, Overflow, Rounding, cast, decode
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, Mask, UnsupportedError

ROUNDINGS: dict[str, Rounding] = {
    "TiesToEven": "nearest-even", "TiesToAway": "nearest-away", "TowardZero": "toward-zero", "TowardPositive": "up",
    "TowardNegative": "down", "ToOdd": "odd",
}  # fmt: skip
LOG2_MANTISSA = 0x7FFFD4
"""float32 log2 rounds up to the next integer from this 23-bit fraction on, at the latest: libraries that take an
exponent from it (microxcaling, gfloat, torchao 0.18 RCEIL) are off by one there."""


def words(codes: AnyArray) -> AnyArray:
    """View codes as unsigned integers."""
    return codes.view(f"u{codes.dtype.itemsize}")


def near_next_power(x: NDArray[np.float32]) -> Mask:
    """Tell where float32 log2 may round up to the exponent above."""
    return np.asarray((x.view(np.uint32) & 0x7FFFFF) >= LOG2_MANTISSA)


def _rounding(table: dict[str, Rounding], name: str) -> Rounding:
    if name not in table:
        raise UnsupportedError(f"no rounding {name!r}")
    return table[name]


def astype(case: Case) -> Emulated:
    """Emulate the casts of ml_dtypes, NumPy and torch."""
    source, fmt = case.text("src"), case.float_format(case.text("dst"))
    x = case.source(source)
    if source == "float64":
        with np.errstate(
            all="ignore"
        ):  # ml_dtypes casts float64 through float32, so it rounds twice; chipmeter never does
            x = x.astype(np.float32)
    overflow: Overflow = "torch" if case.entry.library == "torch" else "ofp8"
    return Emulated(words(cast(x, fmt, overflow=overflow)), f"cast to {fmt.name}, overflow={overflow!r}")


def widen(case: Case) -> Emulated:
    """Emulate float16 to float32; whether a NaN keeps its payload is the library's affair."""
    return Emulated(words(decode(case.source(case.text("src")))), "decode float16", nan="float32")


def decode_codes(case: Case) -> Emulated:
    """Emulate decoding every code of a format, in order."""
    name = case.entry.params.get("format", case.part)
    fmt = case.float_format(name if isinstance(name, str) else case.part)
    codes = np.arange(case.recorded().size)
    if codes.size > 1 << fmt.bits:
        raise ValueError(f"{case.name}: {codes.size} values, but {fmt.name} has {1 << fmt.bits} codes")
    return _decoded(codes, fmt)


def _decoded(codes: AnyArray, fmt: FloatFormat) -> Emulated:
    raw = codes.astype(np.uint8 if fmt.bits <= 8 else np.uint16)
    return Emulated(words(decode(raw, fmt)), f"decode {fmt.name}", nan="float32")


def gfloat(case: Case) -> Emulated:
    """Emulate gfloat: round, then encode; every NaN is written as the code of all ones."""
    fmt, mode = case.float_format(case.text("format")), case.text("round")
    overflow: Overflow = "saturate" if case.flag("sat") else "ofp8"
    nan = (1 << (fmt.bits - fmt.padding)) - 1 if fmt.nan in ("ieee", "all_ones") else None
    if mode.startswith("Stochastic"):
        x, n = case.source(), case.number("srnumbits", 1, 31)
        bits = case.read(case.text("srbits")).astype(np.uint32)
        if mode == "StochasticFast":  # up iff floor(d 2^(n+1)) + 2r + 1 >= 2^(n+1): our definition with one bit more
            bits, n = 2 * bits + 1, n + 1
        elif mode == "Stochastic" and fmt.mantissa_bits + n <= 10:  # first to n bits more, to nearest even; then exact
            finer = FloatFormat(f"finer {fmt.name}", fmt.exponent_bits, fmt.mantissa_bits + n, fmt.bias, nan=fmt.nan)
            x = decode(cast(x, finer, overflow="saturate"), finer)
        elif mode != "StochasticFastest":
            raise UnsupportedError(f"{mode} with {n} bits: the dropped fraction is first rounded to {n} bits, not cut")
        codes = cast(x, fmt, rounding="stochastic", overflow=overflow, nan=nan, bits=bits, random_bits=n)
        return Emulated(words(codes), f"cast to {fmt.name}, stochastic with {n} given bits")
    rounding = _rounding(ROUNDINGS, mode)
    mask = f"mask/{case.text('format')}"
    x = case.source()
    if mask in case.arrays:  # the recording replaced inputs outside the library's domain by 1
        x = np.where(case.read(mask) == 0, np.float32(1), x)
    if fmt.powers_only:
        if rounding == "nearest-away":
            raise UnsupportedError(f"{fmt.name} with ties away from zero")
        rounding = "nearest-even-code" if rounding == "nearest-even" else rounding
    codes = cast(x, fmt, rounding=rounding, overflow=overflow, nan=nan)
    as_values = fmt.padding > 0  # tf32 is recorded as float32 values, whose NaN keep their payload
    return Emulated(
        words(codes), f"cast to {fmt.name}, {rounding}, overflow={overflow!r}", "float32" if as_values else None
    )


def cpfloat(case: Case) -> Emulated:
    """Emulate CPFloat: values of a format given by precision and exponent range."""
    precision, emax = case.number("precision", 2, 11), case.number("emax", 1, 127)
    emin, rounding = case.number("emin", -126, 0), _rounding(ROUNDINGS, case.text("round"))
    if not (case.flag("subnormals") and case.flag("infinity")) or emin != 1 - emax or emax & (emax + 1):
        raise UnsupportedError("a format without subnormals or infinity, or of another exponent range than IEEE 754's")
    fmt = FloatFormat("of the recording", emax.bit_length() + 1, precision - 1, emax)
    overflow: Overflow = "saturate" if case.flag("saturation") else "ofp8"
    x = case.source()
    values = decode(cast(x, fmt, rounding=rounding, overflow=overflow), fmt)
    quirk = np.isnan(x)  # CPFloat rounds NaN as if it were a number
    if rounding == "up":
        quirk |= (x < 0) & (values == 0)  # and may return +0 for a negative underflow
    return Emulated(words(values), f"cast with {rounding}, overflow={overflow!r}; decode", unsupported=quirk)


def torchao_bf16(case: Case) -> Emulated:
    """Emulate torchao: up iff r < the 16 dropped bits d, that is d + (2^16 - 1 - r) >= 2^16."""
    bits = 0xFFFF - case.read(case.text("srbits")).astype(np.uint32)
    codes = cast(case.source(), "bfloat16", rounding="stochastic", bits=bits, random_bits=16)
    return Emulated(words(codes), "cast to bfloat16, stochastic with 16 given bits")


def e8m0_up(case: Case) -> Emulated:
    """Emulate Transformer Engine's scale byte: round up, infinity saturates."""
    codes = cast(case.source(), "float8_e8m0fnu", rounding="up", overflow="saturate")
    return Emulated(words(codes), "cast to float8_e8m0fnu, up, overflow='saturate'")


def e8m0_values(case: Case) -> Emulated:
    """Emulate Transformer Engine's scale of each byte."""
    return _decoded(np.arange(case.recorded().size), case.float_format("e8m0"))


def e8m0_reciprocals(case: Case) -> Emulated:
    """Emulate Transformer Engine's reciprocal of each scale byte c: the scale of 254 - c; NaN stays."""
    codes = np.arange(case.recorded().size)
    return _decoded(np.where(codes < 255, 254 - codes, 255), case.float_format("e8m0"))


def nf4_table(case: Case) -> Emulated:
    """Emulate the table of nf4 (bitsandbytes)."""
    if case.text("quant_type") != "nf4":
        raise UnsupportedError(f"no format {case.text('quant_type')!r} of bitsandbytes")
    return Emulated(words(decode(np.arange(case.recorded().size, dtype=np.uint8), "nf4")), "decode nf4")
