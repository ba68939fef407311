"""Rules of libraries that treat each element alone: casts, roundings, random bits, decoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import FloatFormat, Overflow, Rounding, cast, decode
from chipmeter.formats.stochastic import StochasticRule, cast_stochastic, jitter_e2m1
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated, Mask, UnsupportedError

ROUNDINGS: dict[str, Rounding] = {
    "TiesToEven": "nearest-even", "TiesToAway": "nearest-away", "TowardZero": "toward-zero", "TowardPositive": "up",
    "TowardNegative": "down", "ToOdd": "odd",
}  # fmt: skip
STOCHASTIC: dict[str, StochasticRule] = {
    "StochasticFastest": "truncated", "StochasticFast": "midpoint", "Stochastic": "nearest-even",
    "StochasticOdd": "nearest-odd",
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


def _to_finer(x: NDArray[np.float32], fmt: FloatFormat, n: int, odd: bool) -> NDArray[np.float64]:
    """Round to n bits below the format's last place, to nearest: ties to even, or to odd. The rest is then exact."""
    with np.errstate(invalid="ignore"):
        wide = x.astype(np.float64)
    finite = np.where(np.isfinite(wide), wide, 0)
    exponent = np.maximum(np.frexp(finite)[1] - 1, fmt.min_exponent)
    units = np.ldexp(finite, fmt.mantissa_bits + n - exponent)
    nearest = np.rint(units)
    if odd:
        tie = np.abs(units - np.trunc(units)) == 0.5
        nearest = np.where(tie, 2 * units - nearest, nearest)  # the other neighbour
    return np.where(np.isfinite(wide), np.ldexp(nearest, exponent - fmt.mantissa_bits - n), wide)


def gfloat(case: Case) -> Emulated:
    """Emulate gfloat: round, then encode; every NaN is written as the code of all ones."""
    fmt, mode = case.float_format(case.text("format")), case.text("round")
    overflow: Overflow = "saturate" if case.flag("sat") else "ofp8"
    nan = (1 << (fmt.bits - fmt.padding)) - 1 if fmt.nan in ("ieee", "all_ones") else None
    if mode.startswith("Stochastic"):
        x, n = case.source(), case.number("srnumbits", 1, 31)
        bits = case.read(case.text("srbits")).astype(np.uint32)
        if mode not in STOCHASTIC:
            raise UnsupportedError(f"no stochastic rule {mode!r}")
        codes = cast_stochastic(x, fmt, bits, n, rule=STOCHASTIC[mode], overflow=overflow, nan=nan)
        return Emulated(words(codes), f"cast_stochastic to {fmt.name}, {STOCHASTIC[mode]}, {n} given bits")
    rounding = _rounding(ROUNDINGS, mode)
    mask = f"mask/{case.text('format')}"
    x = case.source()
    if mask in case.arrays:  # the recording replaced inputs outside the library's domain by 1
        x = np.where(case.read(mask) == 0, np.float32(1), x)
    if fmt.powers_only:
        if rounding == "nearest-away":  # a tie goes up with the float32 above it
            raw = x.view(np.uint32)
            tie = np.where(raw < 0x800000, raw == 0x600000, (raw & 0x7FFFFF) == 0x400000) & (raw < 0x7F800000)
            x = (raw + tie).view(np.float32)
        rounding = "nearest-even-code" if rounding in ("nearest-even", "nearest-away") else rounding
    codes = cast(x, fmt, rounding=rounding, overflow=overflow, nan=nan)
    as_values = fmt.padding > 0  # tf32 is recorded as float32 values, whose NaN keep their payload
    return Emulated(
        words(codes), f"cast to {fmt.name}, {rounding}, overflow={overflow!r}", "float32" if as_values else None
    )


def cpfloat(case: Case) -> Emulated:
    """Emulate CPFloat: values of a format given by precision and exponent range."""
    precision, emax = case.number("precision", 2, 11), case.number("emax", 1, 127)
    emin, mode = case.number("emin", -126, 0), case.text("round")
    if not (case.flag("subnormals") and case.flag("infinity")) or emin != 1 - emax or emax & (emax + 1):
        raise UnsupportedError("a format without subnormals or infinity, or of another exponent range than IEEE 754's")
    fmt = FloatFormat("of the recording", emax.bit_length() + 1, precision - 1, emax)
    saturates = case.flag("saturation")
    overflow: Overflow = "saturate" if saturates else "ofp8"
    x = case.source()
    towards_zero = mode == "TiesToZero"
    rounding = "nearest-away" if towards_zero else _rounding(ROUNDINGS, mode)
    # ties toward zero are ties away from it of the float32 below
    below = (x.view(np.uint32) - ((x != 0) & np.isfinite(x))).view(np.float32) if towards_zero else x
    values = decode(cast(below, fmt, rounding=rounding, overflow=overflow), fmt)
    careful = saturates or emax < 127  # without overflow to check, it takes a shorter way
    if rounding == "up" and careful:
        values = np.where((x < 0) & (values == 0), np.float32(0), values)  # it returns +0 for a negative underflow
    raw = np.where(np.isnan(x), _nan_as_number(x, precision, mode, careful), values.view(np.uint32))
    return Emulated(raw, f"cast with {mode}, overflow={overflow!r}; decode")


def _nan_as_number(x: NDArray[np.float32], precision: int, mode: str, directed: bool) -> NDArray[np.uint32]:
    """Round the bits of NaN as CPFloat does, which takes it for a number of exponent 128; a carry is kept."""
    bits, drop = x.view(np.uint32), 24 - precision
    unit, half = np.uint32(1 << drop), np.uint32(1 << (drop - 1))
    down = bits & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    rest, negative = bits - down, bits >> 31 == 1
    up = {
        "TiesToAway": rest >= half,
        "TiesToZero": rest > half,
        "TiesToEven": (rest > half) | ((rest == half) & (down & unit != 0)),
        "TowardPositive": (rest > 0) & ~negative & directed,
        "TowardNegative": (rest > 0) & negative & directed,
        "TowardZero": np.zeros(x.shape, bool),
        "ToOdd": (rest > 0) & (down & unit == 0),
    }[mode]
    return np.where(up, down + unit, down)


def te_jitter(case: Case) -> Emulated:
    """Emulate Transformer Engine's stochastic e2m1 of the host."""
    bits = case.read("rbits8_te")
    return Emulated(words(jitter_e2m1(case.source(), bits)), "jitter_e2m1")


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
