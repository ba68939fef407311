"""measure() equals the definitions, spelled out element by element in exact arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import RECIPES, measure, quantize_measured
from chipmeter.quantize.choose import fits


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if fits(r, (33, 37))])
@pytest.mark.parametrize("axis", [0, 1])
def test_every_figure_by_its_definition(name: str, axis: int) -> None:
    x = np.random.default_rng(1).standard_normal((33, 37)).astype(np.float32) ** 5
    x[3, :] = 0
    q = cm.quantize(x, name, axis=axis)
    found, y = measure(x, q), q.dequantize()
    a, b = [Fraction(float(v)) for v in x.ravel()], [Fraction(float(v)) for v in y.ravel()]
    signal, noise = sum(v * v for v in a), sum((v - w) ** 2 for v, w in zip(a, b, strict=True))
    assert abs(found.sqnr - 10 * math.log10(signal / noise)) < 9e-6
    assert abs(found.relative_l2 / math.sqrt(noise / signal) - 1) < 1e-6
    assert found.max_error == np.float32(max(abs(v - w) for v, w in zip(a, b, strict=True)))
    assert found.flushed == int(((x != 0) & (y == 0)).sum())
    block = q.recipe.block or x.shape[axis]
    octaves, exact = Counter[int](), 0
    for i in range(x.shape[1 - axis]):
        for j in range(0, x.shape[axis], block):
            rows = (i, slice(j, j + block)) if axis else (slice(j, j + block), i)
            s = sum(Fraction(float(v)) ** 2 for v in x[rows])
            e = sum((Fraction(float(v)) - Fraction(float(w))) ** 2 for v, w in zip(x[rows], y[rows], strict=True))
            exact += e == 0
            if e and s:
                octaves[math.floor(math.log2(s / e))] += 1
    assert dict(found.histogram) == octaves
    assert found.exact_blocks == exact
    assert found.elements == x.size


@pytest.mark.parametrize("recipe", ["mxfp8", "mxfp4", "nvfp4", "int8-group128", "nf4"])
@pytest.mark.parametrize("holes", [0, 1, 3000, 40000])
def test_zeros_of_the_original_are_not_flushed(recipe: str, holes: int) -> None:
    """Wherever they lie, few or many, beside numbers that are."""
    rng = np.random.default_rng(holes)
    x = rng.standard_normal((64, 1024), dtype=np.float32)
    x[-1, -2:] = 2e-5, -1e-20
    x.reshape(-1)[rng.choice(x.size, holes, replace=False)] = 0
    q, found = quantize_measured(x, recipe)
    assert found == measure(x, q)
    assert found.flushed == int(((x != 0) & (q.dequantize() == 0)).sum())


def test_clipping_is_counted_where_saturation_cut() -> None:
    x = np.zeros((2, 32), np.float32)
    x[0, :4] = 7, 6.9, 6.4, 6
    x[1, :2] = 7, -7
    assert measure(x, cm.quantize(x, "mxfp4")).clipped == 0  # an error of 1 is half the step from 4 to 6: no more
    x[0, :2] = 7.5, -7.9
    assert measure(x, cm.quantize(x, "mxfp4")).clipped == 2
    assert measure(x, cm.quantize(x, "mxfp4-roundup")).clipped == 0
    rng = np.random.default_rng(2).standard_normal((64, 64)).astype(np.float32)
    for name in ("fp8", "fp8-row", "int8", "int8-row"):
        assert measure(rng, cm.quantize(rng, name)).clipped == 0


def test_special_values_and_shapes() -> None:
    x = np.ones((2, 32), np.float32)
    same = measure(x, cm.quantize(x, "mxfp8"))
    assert (same.sqnr, same.max_error, same.relative_l2, same.histogram, same.exact_blocks) == (math.inf, 0, 0, (), 2)
    zero = measure(0 * x, cm.quantize(0 * x, "nvfp4"))
    assert (zero.sqnr, zero.relative_l2) == (math.inf, 0)
    x[0, 0] = np.nan
    bad = measure(x, cm.quantize(x, "mxfp8"))
    assert math.isnan(bad.sqnr)
    assert math.isnan(bad.max_error)
    assert math.isnan(bad.relative_l2)
    assert bad.exact_blocks == 1
    with pytest.raises(ValueError, match=r"the original has shape \(32, 2\), this tensor \(2, 32\)"):
        measure(x.T, cm.quantize(x, "mxfp8"))
