"""Every pair of codes of at most 8 bits multiplies right at K = 1 and 2 in every unit that takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.formats.records import FORMATS, FloatFormat
from chipmeter.matmul import Chain, FusedDot, IntegerDot, Unit, units
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import OPERANDS

Array = np.ndarray[Any, Any]
TOP = {"ue8m0": 0x7F, "ue4m3": 0x38}
"""Codes of the scale 1."""


def narrow() -> list[Unit]:
    """One unit of each arithmetic and pair of types of at most 8 bits."""
    found: dict[tuple[Any, ...], Unit] = {}
    for u in units().values():
        if "b1" not in (u.a, u.b) and operand_dtype(u.a).itemsize == operand_dtype(u.b).itemsize == 1:
            found.setdefault((u.a, u.b, u.d, min(u.k, 64), u.model, u.scale, u.scale_block), u)
    return list(found.values())


def codes(kind: str) -> Array:
    """Every code of a type."""
    bits = getattr(FORMATS[OPERANDS[kind]], "bits", 8)
    raw = np.arange(1 << bits, dtype=np.uint8)
    return ((raw ^ 8) - 8 if kind == "s4" else raw).view(operand_dtype(kind))


def numbers(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64) if x.dtype.kind not in "iu" else x.astype(np.float64)


def exponents(x: Array, kind: str) -> Array:
    """Exponents of un-normalised significands; far below everything for zeros."""
    fmt = FORMATS[OPERANDS[kind]]
    assert isinstance(fmt, FloatFormat)
    e = np.maximum(np.frexp(numbers(x))[1] - 1, fmt.min_exponent)
    return np.where(numbers(x) == 0, -10000, e)


def converted(exact: Array, output: str) -> Array:
    """Write exact values as a result: overflow is infinity, zero is +0, NaN the canonical one."""
    if output == "rne-f16":
        d = exact.astype(np.float16)
        return np.where(np.isnan(d), np.uint16(0x7FFF), np.where(d == 0, np.uint16(0), d.view(np.uint16)))
    d = exact.astype(np.float32)
    if output.startswith("rz"):
        d = np.where(np.abs(d) > np.abs(exact), np.nextafter(d, np.float32(0)), d)
    if output == "rz-e8m13":
        d = (d.view(np.uint32) & np.uint32(0xFFFFFC00)).view(np.float32)
    return np.where(np.isnan(exact), np.uint32(0x7FFFFFFF), np.where(exact == 0, np.uint32(0), d.view(np.uint32)))


def product(unit: Unit, a: Array, b: Array) -> Array:
    scales = {}
    if unit.scale is not None:
        one = np.full((len(a), 1), TOP[unit.scale], np.uint8)
        scales = {"scale_a": one, "scale_b": np.full((1, b.shape[1]), TOP[unit.scale], np.uint8)}
    d = cm.matmul(a, b, unit=unit, **scales)
    return d if d.dtype.kind == "i" else d.view(f"u{d.dtype.itemsize}")


def chosen() -> list[Any]:
    """All units on the best tier; on the others those of one operand type."""
    best, *others = cm.tiers()
    every = narrow()
    plan = [(u, best) for u in every] + [(u, t) for t in others for u in every if u.a == u.b]
    return [pytest.param(u, t, id=f"{u.name}-{t}") for u, t in plan]


@pytest.mark.parametrize(("unit", "tier"), chosen(), indirect=["tier"])
def test_every_pair(unit: Unit, tier: str) -> None:
    a, b = codes(unit.a), codes(unit.b)
    output = unit.model.output if isinstance(unit.model, FusedDot) else "rne-f16" if unit.d == "f16" else "rne-f32"
    with np.errstate(all="ignore"):
        one = np.multiply.outer(numbers(a), numbers(b))
        # a product has at most ten bits: every unit of floats writes it as its output rule has it, integers as it is
        want = one if unit.d == "s32" else converted(one, output)
        np.testing.assert_array_equal(product(unit, a[:, None], b[None]), want)
        # K = 2: every pair beside another one
        other_a, other_b = np.roll(a, 37), b[::-1]
        two = np.multiply.outer(numbers(other_a), numbers(other_b))
        got = product(unit, np.stack([a, other_a], 1), np.stack([b, other_b]))
        if isinstance(unit.model, IntegerDot):
            want = one + two
        elif isinstance(unit.model, FusedDot) and not unit.model.group:
            top = np.maximum(np.add.outer(exponents(a, unit.a), exponents(b, unit.b)),
                             np.add.outer(exponents(other_a, unit.a), exponents(other_b, unit.b)))  # fmt: skip
            last = np.maximum(top, unit.model.floor_exponent) - unit.model.fraction_bits
            kept = np.ldexp(np.trunc(np.ldexp(one, -last)) + np.trunc(np.ldexp(two, -last)), last)
            want = converted(np.where(np.isfinite(one + two), kept, one + two), output)
        elif isinstance(unit.model, Chain) or unit.scale is not None:
            want = converted(one + two, output)
        else:
            return  # AMD's floors and the two halves have tests of their own
        np.testing.assert_array_equal(got, want)
