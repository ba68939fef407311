"""The sums behind measure(): every addition in its order, at any magnitude, and within their bound of exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import errors
from chipmeter.quantize.errors import Meter

Array = np.ndarray[Any, Any]
NAMES = (
    "mxfp8",
    "mxfp8-e5m2",
    "mxfp6",
    "mxfp4",
    "nvfp4",
    "fp8-1x128",
    "fp8-row",
    "int8-row",
    "int4-group32",
    "uint4-group32",
    "nf4",
)


def halve(lanes: Array) -> Any:
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def squares(numbers: Array, width: int) -> Any:
    lanes = np.zeros(width, numbers.dtype)
    for i, number in enumerate(numbers):
        lanes[i % width] += number * number
    return halve(lanes)


class Sums:
    """A chunk by the words of the docstring, one NumPy operation after the other."""

    def __init__(self) -> None:
        self.signal, self.error, self.blocks = np.zeros(9), np.zeros(9), 0
        self.largest, self.exact = 0.0, 0
        self.octaves = np.zeros(errors.OCTAVES, np.uint64)

    def add(self, x: Array, y: Array) -> None:
        signal = error = 0.0
        alone = len(x) > 128
        for i in range(0, len(x), 128):
            a, b = x[i : i + 128], y[i : i + 128]
            s, e = squares(a, 16), squares(a - b, 16)
            largest = float(np.abs(a - b).max())
            if not (2.0**-100 <= s <= 2.0**100 and 2.0**-100 <= e <= 2.0**100):
                alone = True
                a, b = a.astype(np.float64), b.astype(np.float64)
                s, e = squares(a, 8), squares(a - b, 8)
                if largest == np.inf:
                    largest = float(np.abs(a - b).max())
            self.largest = max(self.largest, largest)
            signal, error = signal + float(s), error + float(e)
        lane = 8 if alone else self.blocks % 8
        self.signal[lane] += signal
        self.error[lane] += error
        self.blocks += len(x) <= 128
        self.exact += error == 0
        if error and signal:
            quotient = Fraction(signal) / Fraction(error)
            near = int(np.log2(signal) - np.log2(error))
            octave = max(n for n in range(near - 2, near + 3) if Fraction(2) ** n <= quotient)
            self.octaves[1024 + octave] += np.uint64(1)

    def totals(self) -> tuple[float, float]:
        return float(self.signal[8] + halve(self.signal[:8])), float(self.error[8] + halve(self.error[:8]))


def operands(seed: int, length: int) -> Array:
    """Lines of every magnitude, zeros and numbers without error among them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((10, length)).astype(np.float32)
    for line, power in enumerate((0, 0, 0, -140, -80, -48, 47, 60, 100, 124)):
        x[line] = np.ldexp(x[line], power)
    x[1, ::3] = 0
    x[2, : length // 2] = 2
    return x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [180, 300])
def test_every_addition(name: str, length: int, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "CHUNK", 1024)
    x = operands(3, length)
    if name == "nvfp4":
        x = x[:3]  # one tensor scale serves all
    q = cm.quantize(x, name)
    y, block = q.dequantize(), q.recipe.block or length
    meter = Meter(q.recipe, x.shape, float(q.tensor_scale))
    zeros = None if q.zero_points is None else np.ascontiguousarray(q.zero_points.astype(np.float32))
    meter.add(x, q.codes, np.ascontiguousarray(q.scale_values()), zeros)
    octaves, exact, largest = np.zeros(errors.OCTAVES, np.uint64), 0, 0.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for chunk, top in enumerate(range(0, len(x), meter.lines)):
            sums = Sums()
            for line in range(top, min(top + meter.lines, len(x))):
                for start in range(0, length, block):
                    sums.add(x[line, start : start + block], y[line, start : start + block])
            assert (meter.signal[chunk], meter.error[chunk]) == sums.totals()
            octaves, exact, largest = octaves + sums.octaves, exact + sums.exact, max(largest, sums.largest)
    assert (meter.octaves == octaves).all()
    assert (meter.exact, meter.largest) == (exact, largest)
    assert meter.flushed == ((x != 0) & (y == 0)).sum()


@pytest.mark.parametrize("power", [-140, -70, -50, 0, 40, 62, 120])
@pytest.mark.parametrize("name", ["mxfp8", "mxfp4", "fp8-1x128", "int8-row"])
def test_sums_are_within_their_bound(name: str, power: int) -> None:
    x = np.ldexp(np.random.default_rng(power % 99).standard_normal((4, 4096)), power).astype(np.float32)
    q = cm.quantize(x, name)
    meter = Meter(q.recipe, x.shape, 1.0)
    meter.add(x, q.codes, np.ascontiguousarray(q.scale_values()), None)
    a = [Fraction(float(v)) for v in x.ravel()]
    d = [v - Fraction(float(w)) for v, w in zip(a, q.dequantize().ravel(), strict=True)]
    for found, numbers in ((meter.signal, a), (meter.error, d)):
        exact = sum((v * v for v in numbers), Fraction(0))
        assert abs(sum(map(Fraction, found)) - exact) <= exact * Fraction(1, 2**20)
    assert np.float32(meter.largest) == np.float32(float(max(map(abs, d))))


def test_what_was_cut_is_counted_at_any_magnitude(tier: str) -> None:
    """Just beyond half a step above the largest code, on both sides, and just within."""
    top = np.float32(464)
    edge = np.array([top, np.nextafter(top, np.float32(999)), -top, -np.nextafter(top, np.float32(999))], np.float32)
    for power in (-115, -90, -60, -50, 0, 40, 55, 100):
        x = np.zeros((1, 64), np.float32)
        x[0, 5:9] = np.ldexp(edge, power)
        x[0, 40] = np.ldexp(np.float32(300), power)
        q = cm.quantize(x, "mxfp8")
        assert errors.measure(x, q).clipped == 2


def test_special_numbers_leave_their_neighbours_alone(tier: str) -> None:
    x = np.random.default_rng(5).standard_normal((1, 256)).astype(np.float32)
    want = errors.measure(x, cm.quantize(x, "mxfp8"))
    for special in (np.inf, np.nan):
        y = np.concatenate([x, np.full((1, 32), special, np.float32)], axis=1)
        found = errors.measure(y, cm.quantize(y, "mxfp8"))
        assert (found.histogram, found.flushed, found.exact_blocks) == (want.histogram, want.flushed, want.exact_blocks)
    steps = sorted(n for n, _ in want.histogram)
    assert all(b > a for a, b in pairwise(steps))
