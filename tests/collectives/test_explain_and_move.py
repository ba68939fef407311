"""Explanations print the association that runs; moved data is not touched."""

from __future__ import annotations

from typing import Any

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
    explain,
    permute,
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


def test_the_rounding_of_averages_and_integers_is_told() -> None:
    def told(**how: Any) -> str:
        return explain("ring", 3, 8, 0, **how).rounding

    assert "fma(x, 1/3, received) with one rounding to bfloat16" in told(op="avg", dtype="bfloat16")
    assert told(op="avg", average="pre") == "each rank times 1/3, a float32, rounded; each sum rounded to float32"
    assert told(op="avg", average="post").endswith("the sum divided by 3 and rounded")
    assert "fma" not in told(op="avg", dtype="float8_e4m3fn")
    assert told(op="avg", dtype="int32") == "sums wrap; divided by 3, toward zero"
    assert told(op="max") == "nothing is rounded"


def test_moves(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(all_gather(x)[2], x.reshape(18, 2))
    own = all_gather(x, out=np.empty((3, 18, 2), np.float32))
    np.testing.assert_array_equal(own, all_gather(x))
    np.testing.assert_array_equal(broadcast(x, 1), np.stack([x[1]] * 3))
    moved = all_to_all(x)
    np.testing.assert_array_equal(moved[1, 4:], x[2, 2:4])
    np.testing.assert_array_equal(all_to_all(moved), x)
    for move in (lambda a, out: broadcast(a, 1, out=out), lambda a, out: all_to_all(a, out=out)):
        wanted, place, other = move(x, None), x.copy(), np.empty_like(x)
        assert move(place, place) is place
        assert move(x, other) is other
        np.testing.assert_array_equal(place, wanted)
        np.testing.assert_array_equal(other, wanted)
    np.testing.assert_array_equal(permute(x, [(0, 2)])[2], x[0])
    np.testing.assert_array_equal(send(x, 2, 0)[0], x[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain("ring", 4, 8, 8), r"element must lie in 0\.\.7"),
        (lambda: explain("ring", 1, 8, 0), "at least 2 ranks"),
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
