"""Every built schedule is complete, its rounds say what its messages do, and running it gives its association's bits."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from chipmeter._arrays import AnyArray
from chipmeter.collectives import ALGORITHMS, Schedule, all_reduce, check, reduce, reduce_scatter, schedule
from chipmeter.collectives.build import schedule_names

OPERATIONS = ("all_reduce", "reduce_scatter", "all_gather", "reduce", "broadcast", "all_to_all", "barrier")
CASES = [(of, name) for of in OPERATIONS for name in schedule_names(of)]


def build(operation: str, name: str, n: int) -> Schedule:
    return schedule(operation, name, n, grid=(3, 4) if name == "neuron/rdh" and n == 12 else ())


def pairs(built: Schedule, r: object, n: int) -> Counter[tuple[int, int]]:
    size, stride, targets = r.size, r.stride, r.targets  # type: ignore[attr-defined]
    found: Counter[tuple[int, int]] = Counter()
    for rank in range(n):
        place = rank // stride % size
        for to in targets(place):
            found[rank, rank + (to - place) * stride] += 1
    return found


@pytest.mark.parametrize("n", [2, 3, 4, 6, 7, 8, 12])
@pytest.mark.parametrize(("operation", "name"), CASES)
def test_rounds_say_what_the_messages_do(operation: str, name: str, n: int) -> None:
    built = build(operation, name, n)
    check(built)
    if name == "pipeline":
        (r,) = built.rounds
        sent = Counter((t.source, t.target) for t in built.transfers)
        assert sent == dict.fromkeys(pairs(built, r, n), built.chunks)
        assert {t.action != "copy" for t in built.transfers} == {r.reduces}
        assert len(list(built.by_step())) == r.repeat + built.chunks - 1
        return
    steps = [r for r in built.rounds for _ in range(r.repeat)]
    by_step = list(built.by_step())
    assert len(steps) == len(by_step)
    for r, messages in zip(steps, by_step, strict=True):
        sent = Counter((t.source, t.target) for t in messages)
        assert set(sent) == set(pairs(built, r, n))
        assert all((t.action != "copy") == r.reduces for t in messages)
        if operation != "barrier":
            whole = built.chunks // n if operation == "all_to_all" else built.chunks  # of one rank
            assert r.fraction * max(pairs(built, r, n).values()) == Fraction(max(sent.values()), whole)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 8, 12])
@pytest.mark.parametrize(("operation", "name"), [case for case in CASES if case[0] in ("all_reduce", "reduce")])
def test_running_the_messages_gives_the_association_of_that_name(
    operation: str, name: str, n: int, dtype: type
) -> None:
    built = build(operation, name, n)
    count = 4 * built.chunks * n
    x: AnyArray = (np.random.default_rng(n).standard_normal((n, count)) * 10.0 ** np.arange(n)[::-1, None]).astype(
        dtype
    )
    how = ALGORITHMS[name].accumulate
    if operation == "reduce":
        assert reduce(x, built).tobytes() == reduce(x, name).tobytes()
        return
    grid = (3, 4) if name == "neuron/rdh" and n == 12 else ()
    assert all_reduce(x, built, accumulate=how).tobytes() == all_reduce(x, name, accumulate=how, grid=grid).tobytes()


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("name", ["ring", "recursive_halving", "pat", "two_shot", "nvls"])
def test_reduce_scatters_run(name: str, n: int) -> None:
    x = np.random.default_rng(n).standard_normal((n, 4 * n)).astype(np.float32)
    assert reduce_scatter(x, schedule("reduce_scatter", name, n)).tobytes() == reduce_scatter(x, name).tobytes()


@pytest.mark.parametrize("grid", [(2, 3), (3, 2), (6,), (2, 3, 2), (1, 12), (2, 2, 3)])
@pytest.mark.parametrize("name", ["two_level", "tpu/torus"])
def test_grids_of_any_lengths(name: str, grid: tuple[int, ...]) -> None:
    n = int(np.prod(grid))
    built = schedule("all_reduce", name, n, grid=grid)
    x = np.random.default_rng(n).standard_normal((n, 48)).astype(np.float32)
    assert all_reduce(x, built).tobytes() == all_reduce(x, name, grid=grid).tobytes()


@pytest.mark.parametrize(
    ("name", "ranks", "grid", "message"),
    [
        ("two_level", 8, (3, 2), "whose product is 8"),
        ("two_level", 8, (8, True), "positive lengths"),
        ("ring", 8, (2, 4), "has no grid"),
        ("neuron/rdh", 12, (), "powers of two of chips"),
    ],
)
def test_bad_grids(name: str, ranks: int, grid: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule("all_reduce", name, ranks, grid=grid)
