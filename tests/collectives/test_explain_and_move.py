"""Explanations print the association that runs; differences are exact; moved data is not touched."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.collectives import (
    Schedule,
    Transfer,
    all_gather,
    all_reduce,
    all_to_all,
    all_to_all_v,
    broadcast,
    difference,
    explain,
    permute,
    reproducibility,
    send,
)


@pytest.mark.parametrize("name", ["ring", "recursive_doubling", "gloo/ring", "mpich/pairwise", "torus", "binomial"])
def test_the_printed_association_makes_the_element(rng: np.random.Generator, name: str) -> None:
    x = rng.standard_normal((6, 29)).astype(np.float32)
    got = all_reduce(x, name)[0]
    for element in (0, 7, 28):
        text = explain(name, 6, 29, element).expressions[0]
        assert eval(text, {f"x{r}": x[r, element] for r in range(6)}) == got[element]


def test_a_deep_chain_and_an_unsure_order() -> None:
    assert explain("ring", 3000, 3000, 0).expressions[0].endswith(" + x0")
    assert "assumed" in str(explain("nvls", 4, 4, 0, dtype="bfloat16"))
    assert "one rounding to bfloat16 at the end" in explain("nvls", 4, 4, 0, dtype="bfloat16").rounding
    swap = Schedule("swap", "all_reduce", 2, 1, tuple(Transfer(0, r, 1 - r, 0, "own+received") for r in range(2)))
    assert explain(swap, 2, 1, 0).expressions == ("x0 + x1", "x1 + x0")
    assert "no evidence" in str(explain(swap, 2, 1, 0))


def test_differences() -> None:
    same = difference(np.float32([1, -0.0]), np.float32([1, 0.0]))
    assert (same.max_ulp, same.share, same.sqnr) == (0, 0.5, float("inf"))
    one = difference(np.array([1, 1], ml_dtypes.bfloat16), np.array([1, 1.0078125], ml_dtypes.bfloat16))
    assert (one.max_ulp, one.share) == (1, 0.5)
    assert difference(np.int8([-128]), np.int8([127])).max_ulp == 255
    report = reproducibility(np.float32([[1e8], [1], [-1e8], [1]]), ["rank_order", "ring", "linear"])
    assert list(report) == [("rank_order", "ring"), ("rank_order", "linear"), ("ring", "linear")]


def test_moves(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(all_gather(x)[2], x.reshape(18, 2))
    np.testing.assert_array_equal(broadcast(x, 1), np.stack([x[1]] * 3))
    moved = all_to_all(x)
    np.testing.assert_array_equal(moved[1, 4:], x[2, 2:4])
    np.testing.assert_array_equal(all_to_all(moved), x)
    np.testing.assert_array_equal(permute(x, [(0, 2)])[2], x[0])
    np.testing.assert_array_equal(send(x, 2, 0)[0], x[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain("ring", 4, 8, 8), r"element must lie in 0\.\.7"),
        (lambda: explain("ring", 1, 8, 0), "at least 2 ranks"),
        (lambda: difference(np.ones(2), np.ones(3)), "one dtype and shape"),
        (lambda: broadcast(np.ones((2, 1)), 2), "root must be one of 2 ranks"),
        (lambda: all_to_all(np.ones((2, 3))), "multiple of the 2 ranks"),
        (lambda: all_to_all_v([np.ones(2)], [[2]]), "at least 2 ranks, got 1"),
        (lambda: all_to_all_v([np.ones(2), np.ones(2)], [[1, 1], [1, 0]]), "rank 1 sends 1 elements but has 2"),
        (lambda: all_to_all_v([np.ones(2), np.ones(2)], [[1, 1]]), r"\(2, 2\) array"),
        (lambda: all_to_all_v([np.ones(2), np.float32([1])], [[1, 1], [1, 0]]), "one dtype"),
        (lambda: permute(np.ones((2, 1)), [(0, 1), (0, 0)]), "a source once"),
        (lambda: permute(np.ones((2, 1)), [(0, 1), (1, 1)]), "a target once"),
        (lambda: send(np.ones((2, 1)), 0, 5), "target must be one of 2 ranks"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
