"""FP64 chains round every multiply-add in their direction: bits of the reference, brackets of the exact sum, zeros, limits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Chain, units

Array = np.ndarray[Any, Any]
RZ, RM, RP = (f"ampere/mma-{r}.f64.f64.f64.f64" for r in ("rz", "rm", "rp"))


def test_directions_bracket_the_exact_sum(tier: str, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((6, 40)), rng.standard_normal((40, 19))
    down, up, zero = (cm.matmul(a, b, unit=u) for u in (RM, RP, RZ))
    for i in range(6):
        for j in range(19):
            exact = sum(Fraction(x) * Fraction(y) for x, y in zip(a[i].tolist(), b[:, j].tolist(), strict=True))
            assert Fraction(float(down[i, j])) < exact < Fraction(float(up[i, j]))
    assert (np.abs(zero) <= np.maximum(np.abs(down), np.abs(up))).all()
    assert (zero != up).any()
    assert (zero != down).any()


@pytest.mark.parametrize("name", [RZ, RM, RP])
def test_directions_equal_the_reference(
    name: str, draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]],
    expected: Callable[..., dict[tuple[int, int], int]], tier: str,
) -> None:  # fmt: skip
    unit = units()[name]
    for m, n, k in ((8, 9, 11), (130, 3, 5)):
        a, b, c, _ = draw(unit, m, n, k)
        for addend in (c, None):
            at = [(i, i % n) for i in range(0, m, max(1, m // 16))]
            got = cm.matmul(a, b, addend, unit=unit).view(np.uint64)
            assert {p: int(got[p]) for p in at} == expected(unit, a, b, addend, at=at)


def test_sums_of_zero_and_beyond_the_largest(tier: str) -> None:
    one, big = np.array([[1.0, -1.0]]), np.full((1, 2), np.finfo(np.float64).max)
    found = {u: cm.matmul(one, np.ones((2, 1)), unit=u)[0, 0] for u in (RZ, RM, RP)}
    assert [bool(np.signbit(v)) for v in found.values()] == [False, True, False]
    assert cm.matmul(big, np.ones((2, 1)), unit=RZ)[0, 0] == big[0, 0]
    assert cm.matmul(big, np.ones((2, 1)), unit=RM)[0, 0] == big[0, 0]
    assert cm.matmul(big, np.ones((2, 1)), unit=RP)[0, 0] == np.inf
    assert cm.matmul(-big, np.ones((2, 1)), unit=RM)[0, 0] == -np.inf
    nan = cm.matmul(np.full((1, 1), -np.nan), np.ones((1, 1)), unit=RP)
    assert int(nan.view(np.uint64)[0, 0]) == 0x7FF8000000000000


def test_a_direction_goes_with_one_chain() -> None:
    with pytest.raises(ValueError, match="rounding 'down' goes with one sequential chain"):
        Chain("pairwise", 128, rounding="down")
    with pytest.raises(ValueError, match="rounding must be one of nearest-even, toward-zero, down, up, got 'odd'"):
        Chain(rounding="odd")  # type: ignore[arg-type]
