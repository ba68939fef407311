"""Differences between two answers are exact, and are found between algorithms, numbers of ranks and of channels."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.collectives import Nccl, all_reduce, difference, reproducibility


def test_differences() -> None:
    same = difference(np.float32([1, -0.0]), np.float32([1, 0.0]))
    assert (same.max_ulp, same.share, same.sqnr) == (0, 0.5, float("inf"))
    one = difference(np.array([1, 1], ml_dtypes.bfloat16), np.array([1, 1.0078125], ml_dtypes.bfloat16))
    assert (one.max_ulp, one.share) == (1, 0.5)
    assert difference(np.int8([-128]), np.int8([127])).max_ulp == 255
    report = reproducibility(np.float32([[1e8], [1], [-1e8], [1]]), ["rank_order", "ring", "linear"])
    assert list(report) == [("rank_order", "ring"), ("rank_order", "linear"), ("ring", "linear")]


def test_numbers_of_ranks_and_channels(rng: np.random.Generator) -> None:
    x = rng.standard_normal((8, 100_000)).astype(np.float32)
    ways: dict[str, dict[str, Any]] = {
        "8": {}, "4": {"ranks": 4}, "one channel": {"algorithm": "nccl/ring", "nccl": Nccl(channels=1)},
        "two": {"algorithm": "nccl/ring", "nccl": Nccl(channels=2)}, "8 again": {"algorithm": "ring"},
    }  # fmt: skip
    report = reproducibility(x, ways)
    assert report["8", "8 again"] == difference(x, x)
    assert 0.1 < report["8", "4"].share < 1
    assert 0.1 < report["one channel", "two"].share < 1
    pairs = (x.reshape(4, 2, -1)[:, 0] + x.reshape(4, 2, -1)[:, 1]).astype(np.float32)
    assert report["8", "4"] == difference(all_reduce(x)[0], all_reduce(pairs)[0])


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        (["ring"], "at least two ways are compared, got ring"),
        ({"a": {"ranks": 3}, "b": {}}, "divide the 8 shards, got 3"),
        ({"a": {"ranks": 1}, "b": {}}, "at least 2 and divide"),
        (["ring", "rnig"], "did you mean 'ring'"),
    ],
)
def test_bad_ways(ways: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reproducibility(np.ones((8, 4), np.float32), ways)


def test_two_results_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one dtype and shape"):
        difference(np.ones(2), np.ones(3))
