"""Quantised all-reduces give, element by element, what their codecs and sums say in plain arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.collectives import QUANTISED, quantised_all_reduce


def test_fp8_by_hand() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 512)).astype(np.float32)
    f = np.float32

    def codec(block: Any) -> list[Any]:
        amax = max(max(abs(v) for v in block), f(1e-12))
        return [f(ml_dtypes.float8_e4m3fn(v * (f(448) / amax))) * (amax / f(448)) for v in block]

    decoded = [codec(list(row[:256])) + codec(list(row[256:])) for row in x]
    total = [a + b for a, b in zip(*decoded, strict=True)]
    sent = codec(total[:256]) + codec(total[256:])
    got = quantised_all_reduce(x)
    assert got[0].tolist() == total[:256] + sent[256:]
    assert got[1].tolist() == sent[:256] + total[256:]


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_quickreduce_by_hand(bits: int) -> None:
    h, low = np.float16, -(1 << (bits - 1))
    x = np.random.default_rng(bits).standard_normal((3, 64 * 3)).astype(h)

    def codec(block: Any) -> Any:
        out = np.empty(64, h)
        for lane in (0, 1):
            part = block[lane::2]
            m = max(part, key=abs)
            scale = h(m * h(1 / low))
            factor = h(np.float32(1) / np.float32(h(scale + h(1e-7))))
            for i, v in enumerate(part):
                q = np.rint(min(max(h(v * factor), h(low)), h(-low - 1)))
                out[2 * i + lane] = h(q) * scale
        return out

    total = np.zeros(192, h)
    for row in x:
        total = total + np.concatenate([codec(row[i : i + 64]) for i in (0, 64, 128)])
    want = np.concatenate([codec(total[i : i + 64]) for i in (0, 64, 128)])
    got = quantised_all_reduce(x, f"quickreduce/int{bits}")
    assert all(row.tobytes() == want.tobytes() for row in got)


def test_int4_sums_are_of_half_precision() -> None:
    x = np.zeros((2, 4), np.float32)
    x[:, 0], x[:, 1] = 8.0, 2.6  # 2 amax / 16 is 1: codes 7 (clamped) and 3
    got = quantised_all_reduce(x, "zero++/qgz")[0]
    # sums 14 and 6; 2 amax / 16 is 1.75: codes 7 (clamped) and 3
    assert got.tolist() == [12.25, 5.25, 0.0, 0.0]


@pytest.mark.parametrize("name", QUANTISED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("count", [0, 1, 700])
def test_ranks_agree_as_recorded(name: str, dtype: str, count: int) -> None:
    x = np.random.default_rng(1).standard_normal((4, count)).astype(np.float32)
    got = quantised_all_reduce(x, name, dtype=dtype)
    assert got.shape == x.shape
    assert got.dtype.name == dtype
    same = all(row.tobytes() == got[0].tobytes() for row in got)
    assert same == (QUANTISED[name].ranks_identical or count < 700)
    if count == 700:
        exact = [float(sum(Fraction(float(v)) for v in column)) for column in x.T]
        steps = 5 * max(abs(x).max(), np.abs(exact).max()) * (1 / 7 if "4" in name or "qgz" in name else 1 / 16)
        assert np.abs(got.astype(np.float64) - exact).max() <= steps


def test_zeros_and_specials() -> None:
    for name in QUANTISED:
        assert not quantised_all_reduce(np.zeros((2, 300), np.float32), name).any()
    x = np.ones((2, 512), np.float32)
    x[0, 0] = np.inf
    assert np.isnan(quantised_all_reduce(x, "equarx")[0, 0])


@pytest.mark.parametrize(
    ("shards", "name", "message"),
    [
        (np.ones((1, 4), np.float32), "equarx", "at least 2 ranks"),
        (np.ones((2, 4), np.int32), "equarx", "got int32"),
        (np.ones((2, 4), np.float32), "equark", "did you mean 'equarx'"),
    ],
)
def test_bad_input(shards: Any, name: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        quantised_all_reduce(shards, name)
