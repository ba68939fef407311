"""The formats of the field as `Layout` records, by the names that matrix-unit instructions give them."""

from __future__ import annotations

from chipmeter._names import unknown_name
from chipmeter.reference.numbers import Layout


def _ieee(bits: int, exponent_bits: int, padding: int = 0) -> Layout:
    """Build an IEEE 754 layout: bias 2^(exponent_bits - 1) - 1, exponent all ones reserved for infinity and NaN."""
    mantissa_bits = bits - 1 - exponent_bits - padding
    return Layout(bits, exponent_bits, mantissa_bits, 2 ** (exponent_bits - 1) - 1, True, "ieee", True, True, padding)


def _fnuz(mantissa_bits: int, bias: int) -> Layout:
    """Build an 8-bit layout without -0, whose code is the only NaN."""
    return Layout(8, 7 - mantissa_bits, mantissa_bits, bias, False, "negative_zero", True, False)


def _finite(exponent_bits: int, mantissa_bits: int, bias: int) -> Layout:
    """Build a signed layout every code of which is a number."""
    return Layout(1 + exponent_bits + mantissa_bits, exponent_bits, mantissa_bits, bias, False, "none", True, True)


F64 = _ieee(64, 11)
F32 = _ieee(32, 8)
TF32 = _ieee(32, 8, padding=13)
F16 = _ieee(16, 5)
BF16 = _ieee(16, 8)
E5M2 = _ieee(8, 5)
E4M3 = Layout(8, 4, 3, 7, infinity=False, nan="all_ones", signed=True, negative_zero=True)
UE8M0 = Layout(8, 8, 0, 127, infinity=False, nan="all_ones", signed=False, negative_zero=False)
UE4M3 = Layout(8, 4, 3, 7, infinity=False, nan="all_ones", signed=False, negative_zero=False)

LAYOUTS: dict[str, Layout] = {
    "f64": F64,
    "f32": F32,
    "tf32": TF32,
    "f16": F16,
    "bf16": BF16,
    "e5m2": E5M2,
    "e4m3": E4M3,
    "e4m3ieee": _ieee(8, 4),
    "e3m4": _ieee(8, 3),
    "e4m3fnuz": _fnuz(3, 8),
    "e5m2fnuz": _fnuz(2, 16),
    "e4m3b11fnuz": _fnuz(3, 11),
    "e3m2": _finite(3, 2, 3),
    "e2m3": _finite(2, 3, 1),
    "e2m1": _finite(2, 1, 1),
    "ue8m0": UE8M0,
    "ue4m3": UE4M3,
}
"""`e4m3` is the OCP format without infinity (`float8_e4m3fn` of ml_dtypes), as in PTX; `e4m3ieee` has one (maximum
240, Trainium's older FP8). In `ue4m3`, e4m3 without sign, the top bit of the byte is ignored. tf32 lives in the high
19 bits of 32; the low 13 are ignored before anything else is looked at, so a NaN with a payload only there is an
infinity. Sources: IEEE 754-2019, OCP OFP8 v1.0 and MX v1.0, the format list of ml_dtypes, PTX ISA."""


def layout_of(name: str | Layout) -> Layout:
    """Look a layout up by name; a `Layout`, for instance one of your own, is returned as it is.

    >>> layout_of("e2m1").bits
    4
    >>> layout_of("e4m4")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown number format 'e4m4'; did you mean 'e4m3' or 'e3m4' or 'ue4m3'?
    """
    if isinstance(name, Layout):
        return name
    if name not in LAYOUTS:
        raise unknown_name("number format", name, LAYOUTS)
    return LAYOUTS[name]
