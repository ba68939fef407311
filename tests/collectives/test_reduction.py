"""The engine agrees with the reference for random associations, types and operations, on every tier."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.collectives import trees
from chipmeter.collectives.algorithms import ALGORITHMS
from chipmeter.collectives.explain import explain
from chipmeter.collectives.plans import Segment, Shape
from chipmeter.collectives.program import compile_tree
from chipmeter.collectives.run import Arithmetic, all_reduce, reduce, reduce_scatter, reduce_shards
from chipmeter.collectives.schedule import Schedule, Transfer, Tree, leaves
from chipmeter.reference.collectives import reduce_element
from chipmeter.reference.layouts import BF16
from chipmeter.reference.numbers import encode

LAYOUTS = {
    "float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16", "float8_e4m3fn": "e4m3",
    "float8_e5m2": "e5m2", "float8_e4m3": "e4m3ieee", "float8_e3m4": "e3m4", "float8_e4m3fnuz": "e4m3fnuz",
    "float8_e5m2fnuz": "e5m2fnuz",
}  # fmt: skip


def dtype(name: str) -> np.dtype[Any]:
    """Find a dtype."""
    return np.dtype(getattr(ml_dtypes, name, name))


@st.composite
def associations(draw: st.DrawFn, most: int = 9) -> tuple[int, Tree]:
    """Draw a number of ranks and a random tree over them, now and then with nodes of three."""
    n = draw(st.integers(2, most))
    parts: list[Tree] = list(draw(st.permutations(range(n))))
    while len(parts) > 1:
        at = draw(st.integers(0, len(parts) - 2))
        width = draw(st.integers(2, min(3, len(parts) - at)))
        parts[at : at + width] = [tuple(parts[at : at + width])]
    return n, parts[0]


@settings(max_examples=40)
@given(
    associations(),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(["sum", "prod", "min", "max", "min_select", "max_select"]),
    st.sampled_from(["storage", "float32"]),
    st.integers(0, 2**32),
)
def test_random_associations_equal_the_reference(
    association: tuple[int, Tree], name: str, op: Any, accumulate: Any, seed: int
) -> None:
    n, tree = association
    kind = dtype(name)
    rng = np.random.default_rng(seed)
    count = 19
    x = rng.integers(0, 256, (n, count * kind.itemsize), dtype=np.uint8).view(kind)
    if kind.itemsize > 1:
        x[:, ::2] = (rng.standard_normal((n, len(x[0, ::2]))) * 4).astype(kind)
    codes = x.view(f"u{kind.itemsize}")
    want = [reduce_element(tree, [int(c) for c in codes[:, i]], LAYOUTS[name], op, accumulate) for i in range(count)]
    expected = np.array(want, codes.dtype).view(kind).astype(np.float64)
    for tier in cm.tiers():
        before = cm.tier()
        cm.use_tier(tier)
        out = np.empty_like(x)
        reduce_shards(x, ((Segment(0, count, tree),),), Arithmetic(op, accumulate), out, n, 1)
        cm.use_tier(before)
        for row in out:
            got = row.astype(np.float64)
            same = (row.view(codes.dtype) == np.array(want, codes.dtype)) | (np.isnan(got) & np.isnan(expected))
            assert same.all(), (tier, int(np.argmin(same)))


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@settings(max_examples=60)
@given(
    st.one_of(
        associations(),
        st.integers(2, 20).map(lambda n: (n, trees.chain(list(range(n))))),
        st.integers(2, 20).map(lambda n: (n, trees.right_chain(list(range(n))))),
    ),
    st.sampled_from([*sorted(LAYOUTS), *INTEGERS]),
    st.sampled_from(["sum", "prod", "min", "max", "min_select", "max_select"]),
    st.sampled_from(["storage", "float32"]),
    st.sampled_from(["any code", "numbers", "numbers and zeros of both signs"]),
    st.integers(0, 2**32),
)
def test_long_vectors_have_the_bits_of_short_ones(
    association: tuple[int, Tree], name: str, op: Any, accumulate: Any, values: str, seed: int
) -> None:
    """Whole vectors take several ranks in one pass, plain operations first; few elements go one step at a time."""
    n, tree = association
    kind, count, few = dtype(name), 701, 7
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, count * kind.itemsize), dtype=np.uint8).view(kind)
    if values != "any code" and name not in INTEGERS:
        x = (rng.standard_normal((n, count)) * 4).astype(kind)
        if "zeros" in values:
            x[rng.random(x.shape) < 0.7] = 0.0
            x[rng.random(x.shape) < 0.3] *= kind.type(-1.0)
            x[:, 650][rng.random(n) < 0.5] = np.nan
    for tier in cm.tiers():
        before = cm.tier()
        cm.use_tier(tier)
        whole, parts = np.empty((1, count), kind), np.empty((1, count), kind)
        plan = ((Segment(0, count, tree),),)
        reduce_shards(x, plan, Arithmetic(op, accumulate), whole, 1, 1)
        short = tuple(Segment(a, min(a + few, count), tree) for a in range(0, count, few))
        reduce_shards(x, (short,), Arithmetic(op, accumulate), parts, 1, 1)
        both = np.empty_like(x)
        reduce_shards(x, plan, Arithmetic(op, accumulate), both, n, 1)
        cm.use_tier(before)
        assert whole.tobytes() == parts.tobytes() == both[0].tobytes() == both[-1].tobytes(), tier
    if name in INTEGERS and op in ("sum", "prod"):
        wanted = (np.add if op == "sum" else np.multiply).reduce(x, axis=0, dtype=kind)
        assert (whole[0] == wanted).all()


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("n", [2, 3, 4, 6, 8])
def test_every_algorithm_adds_every_rank_once(name: str, n: int) -> None:
    for segments in ALGORITHMS[name].plan(Shape(n, 50, 4)):
        assert segments[0].begin == 0
        assert segments[-1].end == 50
        for before, after in itertools.pairwise(segments):
            assert before.end == after.begin
        for s in segments:
            assert sorted(leaves(s.tree)) == list(range(n))
    whole = all_reduce(np.arange(n * 50, dtype=np.int64).reshape(n, 50), name)
    np.testing.assert_array_equal(whole, np.arange(n * 50).reshape(n, 50).sum(0)[None].repeat(n, 0))


def test_the_stack_grows_with_the_logarithm_of_the_ranks() -> None:
    chain: Tree = 0
    for i in range(1, 2000):
        chain = (i, chain)
    assert compile_tree(chain)[1] == 1
    assert compile_tree(ALGORITHMS["recursive_doubling"].plan(Shape(1024, 1, 4))[0][0].tree)[1] == 10


@pytest.mark.parametrize("kind", [np.float32, np.int8, ml_dtypes.bfloat16])
def test_threads_and_the_same_array_change_nothing(rng: np.random.Generator, tier: str, kind: Any) -> None:
    x = (rng.standard_normal((3, 300_001)) * 40).astype(kind)
    want = all_reduce(x, "ring")
    assert all_reduce(x, "ring", threads=3).tobytes() == want.tobytes()
    differs = all_reduce(x, "mscclpp/allpair")
    for name, expected in (("ring", want), ("mscclpp/allpair", differs)):
        own = x.copy()
        assert all_reduce(own, name, out=own) is own
        assert own.tobytes() == expected.tobytes()


def test_averages() -> None:
    x = np.full((3, 2), 7, np.int32)
    x[0] = -30
    assert all_reduce(x, op="avg")[0].tolist() == [-5, -5]
    y = np.float32([[1], [2], [4]])
    third = np.float32(1 / 3)
    pre = (np.float32(2) * third + np.float32(4) * third) + np.float32(1) * third
    assert all_reduce(y, op="avg", average="pre")[0, 0] == pre
    fused = np.float32(np.float64(4) * third + np.float64(np.float32(2) * third))
    assert all_reduce(y, op="avg")[0, 0] == np.float32(np.float64(1) * third + np.float64(fused))
    assert all_reduce(y, op="avg", average="post")[0, 0] == np.float32(7) / np.float32(3)


def test_a_fused_bfloat16_average_is_rounded_once() -> None:
    """(1 + 2^-7) * 1.5 lies between two bfloat16; a far smaller addend decides, which binary64 alone would lose."""
    scale = float(np.asarray(1 / 3, np.float32).astype(ml_dtypes.bfloat16))
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2**16, (3, 4000), dtype=np.uint16)
    x = (x & np.uint16(0xBFFF)).view(ml_dtypes.bfloat16)
    got = all_reduce(x, "rank_order", op="avg", accumulate="storage")[0]
    for column, value in zip(x.T[:400], got, strict=False):
        code = encode(Fraction(float(column[0])) * Fraction(scale), BF16)
        total = float(np.uint16(code).view(ml_dtypes.bfloat16))
        for later in column[1:]:
            exact = Fraction(float(later)) * Fraction(scale) + Fraction(total)
            code = encode(exact, BF16)
            total = float(np.uint16(code).view(ml_dtypes.bfloat16))
        assert total == float(value)


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "float16"])
def test_fused_averages_of_long_vectors_have_the_bits_of_short_ones(
    rng: np.random.Generator, tier: str, name: str
) -> None:
    """Three elements at a time never fill a vector: there the sum rounded to odd is taken in binary64."""
    kind, n, count = dtype(name), 5, 601
    tree = trees.chain(list(range(n)))
    for x in (
        rng.integers(0, 256, (n, count * kind.itemsize), dtype=np.uint8).view(kind),
        np.ldexp(rng.standard_normal((n, count)), rng.integers(-14, 8, (n, count))).astype(kind),
    ):
        whole, parts = np.empty((1, count), kind), np.empty((1, count), kind)
        reduce_shards(x, ((Segment(0, count, tree),),), Arithmetic("avg"), whole, 1, 1)
        short = tuple(Segment(a, min(a + 3, count), tree) for a in range(0, count, 3))
        reduce_shards(x, (short,), Arithmetic("avg"), parts, 1, 1)
        assert whole.tobytes() == parts.tobytes()


def test_stochastic_sums_depend_on_the_seed_alone(tier: str) -> None:
    x = np.full((4, 1000), 1.0, ml_dtypes.bfloat16)
    x[0] = 256
    a, b = (all_reduce(x, "rank_order", accumulate="storage", stochastic=True, seed=s, threads=2) for s in (1, 2))
    assert set(np.unique(a.astype(np.float32))) <= {256.0, 258.0, 260.0, 262.0}
    assert abs(float(a[0].astype(np.float32).mean()) - 259) < 0.3
    assert a.tobytes() == all_reduce(x, "rank_order", accumulate="storage", stochastic=True, seed=1).tobytes()
    assert a.tobytes() != b.tobytes()


def test_a_schedule_of_ones_own() -> None:
    star = (
        Transfer(0, 1, 0, 0, "own+received"),
        Transfer(0, 2, 0, 0, "received+own"),
        Transfer(1, 0, 1, 0),
        Transfer(1, 0, 2, 0),
    )
    x = np.float32([[1], [2**-24], [2**-24]])
    got = all_reduce(x, Schedule("star", "all_reduce", 3, 1, star))
    assert got[:, 0].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="rank 2, chunk 0 lacks the contribution of rank 0"):
        all_reduce(x, Schedule("star", "all_reduce", 3, 1, star[:3]))
    with pytest.raises(ValueError, match="is a all_reduce of 3 ranks, not a all_reduce of 2"):
        all_reduce(x[:2], Schedule("star", "all_reduce", 3, 1, star))


def test_rooted_and_scattered(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 8, 3)).astype(np.float32)
    root, scattered = np.empty((8, 3), np.float32), np.empty((4, 2, 3), np.float32)
    assert reduce(x, "binomial", root=1, out=root) is root
    np.testing.assert_array_equal(root, reduce(x, "binomial", root=1))
    whole = all_reduce(x, "recursive_doubling")
    assert reduce_scatter(x, "rabenseifner", out=scattered) is scattered
    np.testing.assert_array_equal(scattered, whole[0].reshape(4, 2, 3))
    with pytest.raises(ValueError, match="out overlaps an input"):
        reduce(x, out=x[0])


def test_collnet_adds_inside_nodes_first() -> None:
    """Two nodes of three GPUs; the network adds the nodes' sums, three or more of them with one rounding."""
    x = np.float32([[1], [2**-24], [2**-24], [2**-24], [2**-24], [2**-24]])
    first, second = x[0, 0] + (x[1, 0] + x[2, 0]), x[3, 0] + (x[4, 0] + x[5, 0])
    assert all_reduce(x, "collnet/chain", grid=(3, 2))[0, 0] == first + second
    direct = np.arange(6 * 3, dtype=np.float32).reshape(6, 3)
    assert explain("collnet/direct", 6, 3, 1, grid=(3, 2)).expressions == ("((x1 + x0) + x2) + ((x4 + x3) + x5)",)
    np.testing.assert_array_equal(all_reduce(direct, "collnet/direct", grid=(3, 2))[4], direct.sum(axis=0))
    with pytest.raises(ValueError, match="GPUs of a node and nodes"):
        all_reduce(x, "collnet/chain", grid=(3, 2, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: all_reduce(np.ones((1, 4), np.float32)), "at least 2 ranks, got 1"),
        (lambda: all_reduce(np.ones((0, 4), np.float32)), "at least 2 ranks, got 0"),
        (lambda: all_reduce(np.ones(4, np.float32)), r"shape \(ranks, ...\)"),
        (lambda: all_reduce([np.ones(4, np.float32), np.ones(4, np.float64)]), "one dtype and shape"),
        (lambda: all_reduce([np.ones(4, np.float32), np.ones(5, np.float32)]), "one dtype and shape"),
        (lambda: all_reduce(np.ones((2, 4), np.complex64)), "got complex64"),
        (lambda: all_reduce(np.ones((2, 4), bool)), "got bool"),
        (lambda: all_reduce(np.ones((2, 4), np.float32), "rnig"), "did you mean 'ring'"),
        (lambda: all_reduce(np.ones((2, 4), np.float32), op="xor"), "unknown operation"),  # type: ignore[arg-type]
        (lambda: all_reduce(np.ones((2, 4), np.float32), accumulate="f64"), "accumulate must be"),  # type: ignore[arg-type]
        (lambda: all_reduce(np.ones((2, 4), np.float32), average="no"), "average must be"),  # type: ignore[arg-type]
        (lambda: all_reduce(np.ones((2, 4), np.float32), chunks=((0, 3),)), "chunks cover 3 of 4"),
        (lambda: all_reduce(np.ones((2, 4), np.float32), chunks=((1, 4),)), "follow each other from 0"),
        (lambda: all_reduce(np.ones((9, 4), np.float32), "mpich/recexch4"), "established up to 8 ranks"),
        (lambda: reduce(np.ones((2, 4), np.float32), root=2), "root must be one of 2 ranks"),
        (lambda: reduce_scatter(np.ones((3, 4), np.float32)), "multiple of the 3 ranks"),
        (lambda: reduce_scatter(np.ones((2, 4), np.float32), "mscclpp/allpair"), "has no reduce_scatter"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
