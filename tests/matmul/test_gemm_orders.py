"""GEMM orders equal their one-element references: split-K, stream-K, promotion, emulation, epilogues."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter import _kernels
from chipmeter.matmul import GEMMS, Bf16Terms, Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK, unit
from chipmeter.matmul.epilogue import fma32
from chipmeter.matmul.gemms import gemm
from chipmeter.reference import orders as reference
from chipmeter.reference.ieee import fused_multiply_add, multiply
from chipmeter.reference.layouts import F32
from chipmeter.reference.numbers import decode

Array = np.ndarray[Any, Any]
Draw = Callable[..., tuple[Array, Array, Array, dict[str, Array]]]
Expected = Callable[..., dict[tuple[int, int], int]]
M, N, K = 8, 5, 75


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def nan_free(code: int) -> int:
    """All NaN of float32 are one."""
    return 0x7FFFFFFF if decode(code, F32).kind == "nan" else code


@pytest.fixture(
    params=["hopper/wgmma.bf16.bf16.f32.f32", "neuroncore-v3/matmul.f16.f16.f32.f32", "ada/mma.e4m3.e5m2.f32.f32"]
)
def case(
    request: pytest.FixtureRequest, draw: Draw, expected: Expected
) -> tuple[Any, Array, Array, Callable[..., Any]]:
    """A unit, operands, and its plain dot product over chosen k of one output."""
    u = unit(request.param)
    if u.orders:
        u = replace(u, k=16, model=replace(u.model, tile=16))
    a, b, _, _ = draw(u, M, N, K)

    def dot_of(i: int, j: int) -> Callable[[Sequence[int]], int]:
        def dot(ks: Sequence[int]) -> int:
            at = list(ks)
            return expected(u, a[i : i + 1, at], b[at, j : j + 1])[0, 0]

        return dot

    return u, a, b, dot_of


def check(got: Array, want: Callable[[int, int], int]) -> None:
    for i in range(M):
        j = i % N
        assert bits(got)[i, j] == want(i, j), (i, j)


@pytest.mark.parametrize("order", [
    SplitK(3, tile=16), SplitK(5, "pairwise", 16), SplitK(2, tile=32, assign="strided"), SplitK(3, "pairwise", 16, "strided"),
    SplitK(9, tile=32), SplitK(1),
])  # fmt: skip
def test_split_k(order: SplitK, case: Any, tier: str) -> None:
    u, a, b, dot = case
    strided = order.assign == "strided"
    for threads in (1, 3):
        got = cm.matmul(a, b, unit=u, gemm=Gemm(order), threads=threads)
        check(
            got,
            lambda i, j: nan_free(
                reference.split_k(dot(i, j), K, order.splits, order.combine, tile=order.tile, strided=strided)
            ),
        )


@pytest.mark.parametrize("workers", [1, 3, 4, 7, 1000])
def test_stream_k(workers: int, case: Any, tier: str) -> None:
    u, a, b, dot = case
    order = StreamK(workers, 4, 2, 16)
    each, across = -(-K // 16), -(-N // 2)
    share = -(-each * across * (M // 4) // workers)

    def want(i: int, j: int) -> int:
        tile = i // 4 * across + j // 2
        return nan_free(reference.stream_k(dot(i, j), K, first=tile * each, share=share, tile=16))

    check(cm.matmul(a, b, unit=u, gemm=Gemm(order)), want)


@pytest.mark.parametrize("order", [Promote(16), Promote(32, "overwrite"), Promote(16, accumulator="bf16"),
                                   Promote(0, "overwrite", "bf16"), Promote(16, "overwrite", "bf16", "stochastic", 7)])  # fmt: skip
def test_promotion(order: Promote, case: Any, tier: str) -> None:
    u, a, b, dot = case
    got = cm.matmul(a, b, unit=u, gemm=Gemm(order), threads=2)
    every = order.every or u.k
    words = np.empty((-(-K // every), M, N), np.uint32)
    _kernels.philox(words.reshape(-1), order.seed, 0)

    def want(i: int, j: int) -> int:
        random = [int(w) for w in words[:, i, j]] if order.rounding == "stochastic" else None
        code = reference.promote(
            dot(i, j), K, every, overwrite=order.start == "overwrite", accumulator=order.accumulator, random=random
        )
        return code if order.accumulator == "bf16" else nan_free(code)

    check(got, want)
    assert got.dtype == ("bfloat16" if order.accumulator == "bf16" else "float32")


def test_scaled_promotion(case: Any, tier: str, rng: np.random.Generator) -> None:
    u, a, b, dot = case
    sa, sb = (np.exp2(rng.uniform(-9, 9, s)).astype(np.float32) for s in ((M, 3), (3, N)))
    got = cm.matmul(a, b, unit=u, gemm=Gemm(Promote(32, scaled=True)), scale_a=sa, scale_b=sb)

    def want(i: int, j: int) -> int:
        scales = [multiply(int(bits(sa)[i, t]), int(bits(sb)[t, j]), F32) for t in range(3)]
        return nan_free(reference.promote(dot(i, j), K, 32, scales=scales))

    check(got, want)


@pytest.mark.parametrize("output", ["f32", "bf16", "f16", "e4m3", "e5m2"])
def test_epilogue(output: Any, case: Any, tier: str, rng: np.random.Generator) -> None:
    u, a, b, dot = case
    scale = 0.37 if output in ("e4m3", "e5m2") else None
    c, bias = rng.standard_normal((M, N)).astype(np.float32), rng.standard_normal(N).astype(np.float32)
    record = Epilogue(1.7, -0.3, output, scale)
    got = cm.matmul(
        a, b, c, unit=u, gemm=Gemm(None, record), bias=bias, scale_a=np.float32(0.7), scale_b=np.float32(1.3)
    )
    codes = {"alpha": np.float32(1.7) * (np.float32(0.7) * np.float32(1.3)), "beta": np.float32(-0.3)}
    alpha, beta = (int(np.float32(v).view(np.uint32)) for v in codes.values())
    factor = None if scale is None else int(np.float32(scale).view(np.uint32))

    def want(i: int, j: int) -> int:
        code = reference.epilogue(
            dot(i, j)(range(K)), alpha, int(bits(c)[i, j]), beta, int(bits(bias)[j]), output, factor
        )
        return nan_free(code) if output == "f32" else code

    check(got, want)
    plain = cm.matmul(a, b, unit=u, gemm=Gemm(None, Epilogue(output=output)))
    one = int(np.float32(1).view(np.uint32))
    check(plain, lambda i, j: nan_free(reference.epilogue(dot(i, j)(range(K)), one)) if output == "f32"
          else reference.epilogue(dot(i, j)(range(K)), one, output=output))  # fmt: skip


@pytest.mark.parametrize("rounding", ["toward-zero", "nearest-away", "stochastic", "odd"])
@pytest.mark.parametrize("output", ["bf16", "f16", "e4m3", "e5m2"])
def test_output_rounding(output: Any, rounding: Any, case: Any, tier: str) -> None:
    u, a, b, dot = case
    got = cm.matmul(a, b, unit=u, gemm=Gemm(None, Epilogue(output=output, rounding=rounding, seed=3)), threads=2)
    words = np.empty(M * N, np.uint32)
    _kernels.philox(words, 3, 0)
    one = int(np.float32(1).view(np.uint32))
    check(
        got,
        lambda i, j: reference.epilogue(
            dot(i, j)(range(K)), one, output=output, rounding=rounding, random=int(words[i * N + j])
        ),
    )


WORDS = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=20), st.integers(-3, 3))
def test_fma32_rounds_once(triples: list[tuple[int, int, int]], near: int) -> None:
    # raw codes, and an addend close to the negated product so that what remains is all below its last place
    x, y, z = (np.array(column, np.uint32).view(np.float32) for column in zip(*triples, strict=True))
    with np.errstate(all="ignore"):
        close = (-(x * y)).view(np.int32) + near
    for addend in (z, close.view(np.float32)):
        want = [
            nan_free(fused_multiply_add(*map(int, t), F32)) for t in zip(bits(x), bits(y), bits(addend), strict=True)
        ]
        before = cm.tier()
        try:
            for tier in cm.tiers():
                cm.use_tier(tier)
                assert bits(fma32(x, y, addend)).tolist() == want
        finally:
            cm.use_tier(before)


@pytest.mark.parametrize("name", ["bf16x3", "bf16x6", "bf16x9", "bf16x9-largest-first"])
@pytest.mark.parametrize("combine", ["chain", "add"])
@pytest.mark.parametrize("split", ["nearest-even", "toward-zero"])
def test_bf16_terms(name: str, combine: Any, split: Any, draw: Draw, expected: Expected) -> None:
    order = GEMMS[name].order
    assert isinstance(order, Bf16Terms)
    order = replace(order, combine=combine, split=split)
    u = unit("b200/bf16")
    a, b, _, _ = draw(unit("trn2/fp32"), M, 3, 20)
    got = bits(cm.matmul(a, b, unit=u, gemm=Gemm(order)))
    bf16 = cm.cast(np.float32(0), "bfloat16").dtype
    for i in range(M):
        j = i % 3
        x, y = ([reference.bf16_terms(int(v), order.parts, split) for v in bits(line)] for line in (a[i], b[:, j]))
        total: int | None = None
        for at, (p, q) in enumerate(order.products):
            left = np.array([[t[p] for t in x]], np.uint16).view(bf16)
            right = np.array([[t[q]] for t in y], np.uint16).view(bf16)
            if (
                order.clear_nan
                and at == len(order.products) - 1
                and total is not None
                and nan_free(total) == 0x7FFFFFFF
            ):
                total = 0
            if total is None or combine == "chain":
                c = None if total is None else np.array([[total]], np.uint32).view(np.float32)
                total = expected(u, left, right, c)[0, 0]
            else:
                total = reference.combine([total, expected(u, left, right)[0, 0]])
        assert total is not None
        assert got[i, j] == nan_free(total)


def test_more_terms_are_nearer(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((16, 256), np.float32), rng.standard_normal((256, 16), np.float32)
    exact = a.astype(np.float64) @ b
    quality = [cm.sqnr(exact, cm.matmul(a, b, unit="tpu-v5p/bf16", gemm=g)) for g in ("bf16x3", "bf16x6", "bf16x9")]
    assert 90 < quality[0] < 110
    assert min(quality[1:]) > 125


@pytest.mark.parametrize("order", [Ozaki(), Ozaki(3), Ozaki(5, 4), Ozaki(1, 1)])
def test_ozaki(order: Ozaki, rng: np.random.Generator) -> None:
    k = 21
    a, b = (rng.standard_normal(s) * np.exp2(rng.integers(-9, 9, s)) for s in ((4, k), (k, 3)))
    a[1], a[2, ::2] = 0, -0.0
    got = bits(cm.matmul(a, b, unit="b200/int8", gemm=Gemm(order)))
    slices = order.slices
    if slices is None:  # so many that the last bit of every number has its digit
        depths = [
            math.frexp(np.abs(line).max())[1] + Fraction(float(v)).denominator.bit_length() - 1
            for line in (*a, *b.T) for v in line
        ]  # fmt: skip
        slices = -(-max(depths) // 7)
    for i in range(4):
        for j in range(3):
            x, y = (bits(v).tolist() for v in (a[i], b[:, j]))
            assert got[i, j] == reference.ozaki_dot(x, y, slices, order.digit_bits(k)), (i, j)


def test_ozaki_is_float64(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((20, 300)), rng.standard_normal((300, 20))
    assert np.allclose(cm.matmul(a, b, unit="h100/int8", gemm="ozaki"), a @ b, rtol=0, atol=1e-12)


def test_batches_and_out(rng: np.random.Generator) -> None:
    a, b = (cm.cast(rng.standard_normal(s, np.float32), "bfloat16") for s in ((2, 5, 80), (80, 7)))
    for order in (SplitK(2, tile=16), StreamK(3, 4, 4, 16), Promote(32)):
        whole = cm.matmul(a, b, unit="h100/bf16", gemm=Gemm(order))
        out = np.empty((2, 5, 7), np.float32)
        assert cm.matmul(a, b, unit="h100/bf16", gemm=Gemm(order), out=out) is out
        np.testing.assert_array_equal(bits(out), bits(whole))
        for i in range(2):
            np.testing.assert_array_equal(bits(whole[i]), bits(cm.matmul(a[i], b, unit="h100/bf16", gemm=Gemm(order))))


def test_block_scales_are_cut_with_k(draw: Draw) -> None:
    a, b, _, scales = draw(unit("b200/mxfp8"), 4, 5, 150)
    got = cm.matmul(a, b, unit="b200/mxfp8", gemm=Gemm(SplitK(2, tile=96)), **scales)
    parts = [
        cm.matmul(a[:, k], b[k], unit="b200/mxfp8", scale_a=scales["scale_a"][:, s], scale_b=scales["scale_b"][s])
        for k, s in ((slice(0, 96), slice(0, 3)), (slice(96, 150), slice(3, 5)))
    ]
    with np.errstate(all="ignore"):
        want = parts[0] + parts[1]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(bits(got)[~np.isnan(got)], bits(want)[~np.isnan(got)])


X = np.ones((2, 64), np.float16)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"gemm": "splitk"}, "unknown GEMM order"),
    ({"gemm": 3}, "named by a string or given as a Gemm record"),
    ({"gemm": Gemm(SplitK(2)), "c": np.ones((2, 2), np.float32)}, "enters as beta"),
    ({"gemm": Gemm(SplitK(2)), "bias": np.ones(2, np.float32)}, "bias is added by an epilogue"),
    ({"bias": np.ones(2, np.float32)}, "bias is added by an epilogue"),
    ({"gemm": Gemm(None, Epilogue(beta=1.0))}, "needs c"),
    ({"gemm": Gemm(None, Epilogue()), "bias": np.ones(3, np.float32)}, "does not broadcast"),
    ({"gemm": Gemm(None, Epilogue()), "bias": np.ones(2)}, "bias must be an array of"),
    ({"gemm": Gemm(None, Epilogue(beta=1.0)), "c": np.ones((2, 2))}, "c must be an array of"),
    ({"gemm": Gemm(None, Epilogue(beta=1.0)), "c": np.ones((2, 3), np.float32)}, "c must have the result's shape"),
    ({"gemm": Gemm(None, Epilogue()), "scale_a": np.ones((3, 1), np.float32)}, "does not broadcast"),
    ({"gemm": Gemm(None, Epilogue()), "scale_a": np.ones((2, 1))}, "scale_a must be float32"),
    ({"gemm": Gemm(SplitK(2)), "scale_a": np.float32(1)}, "no epilogue to apply any"),
    ({"gemm": "deepgemm"}, "one scale per chain"),
    ({"gemm": "deepgemm", "scale_a": np.ones((2, 2), np.float32)}, r"must have shape \(2, 1\)"),
    ({"gemm": "bf16x9"}, "runs on a bf16 unit"),
    ({"gemm": "ozaki"}, "runs on an int8 unit"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        cm.matmul(X, X.T, unit="h100/fp16", **arguments)


@pytest.mark.parametrize(("build", "message"), [
    (lambda: SplitK(0), "splits must be an integer in 1"), (lambda: SplitK(2, "tree"), "combine must be one of serial, pairwise"),  # type: ignore[arg-type]
    (lambda: StreamK(True), "workers must be an integer"), (lambda: Promote(-1), "every must be"),
    (lambda: Promote(rounding="stochastic"), "goes with accumulator='bf16'"), (lambda: Promote(scaled=True, start="overwrite"), "scaled chains"),
    (lambda: Bf16Terms(2, ((2, 0),)), "pairs of terms below 2"), (lambda: Ozaki(bits=8), "bits must be an integer in 1..7"),
    (lambda: Ozaki(bits=7).digit_bits(1 << 18), "at most 6 fit"), (lambda: Ozaki().digit_bits(1 << 31), "too deep"),
    (lambda: Epilogue(output="f64"), "output must be one of"), (lambda: Epilogue(alpha=float("nan")), "alpha must be a number"),  # type: ignore[arg-type]
    (lambda: Epilogue(rounding="odd"), "a float32 output is not converted"), (lambda: Epilogue(output="f16", rounding="up!"), "rounding must be one of"),  # type: ignore[arg-type]
    (lambda: Epilogue(result_scale=2.0), "goes with an 8-bit output"),
])  # fmt: skip
def test_records_that_contradict_themselves(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_other_refusals() -> None:
    f64, f32, small = np.ones((2, 64)), np.ones((2, 64), np.float32), np.ones((2, 64), np.int8)
    with pytest.raises(ValueError, match="takes finite numbers, a holds NaN"):
        cm.matmul(f64 * np.nan, f64.T, unit="h100/int8", gemm="ozaki")
    with pytest.raises(TypeError, match="a must have dtype float32"):
        cm.matmul(X, X.T, unit="h100/bf16", gemm="bf16x3")
    with pytest.raises(ValueError, match="a and b must share K"):
        cm.matmul(f32, f32, unit="h100/bf16", gemm="bf16x3")
    with pytest.raises(ValueError, match=r"an epilogue takes f32 accumulators, or s32 .*; ampere/mma.f64.* gives f64"):
        cm.matmul(f64, f64.T, unit="a100/fp64", gemm=Gemm(None, Epilogue()))
    with pytest.raises(ValueError, match=r"an epilogue takes f32 .*; the Ozaki scheme gives float64"):
        cm.matmul(f64, f64.T, unit="h100/int8", gemm=Gemm(Ozaki(), Epilogue()))
    with pytest.raises(ValueError, match="Promote adds results in f32"):
        cm.matmul(small, small.T, unit="h100/int8", gemm=Gemm(Promote()))
    x, s = cm.cast(f32, "float8_e4m3fn"), np.full((2, 2), 127, np.uint8)
    with pytest.raises(ValueError, match="inside a scale block of 32"):
        cm.matmul(x, x.T, unit="b200/mxfp8", scale_a=s, scale_b=s.T, gemm=Gemm(SplitK(4, tile=16)))


def test_every_named_order_has_evidence() -> None:
    for name, record in GEMMS.items():
        assert gemm(name) is record
        assert record.evidence is not None
        assert record.evidence.source


@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 90), st.sampled_from(["contiguous", "strided"]))
def test_parts_cover_k_once(k: int, splits: int, tile: int, assign: Any) -> None:
    parts = SplitK(splits, tile=tile, assign=assign).parts(k)
    assert len(parts) <= splits
    assert all(part for part in parts)
    assert sorted(at for part in parts for begin, end in part for at in range(begin, end)) == list(range(k))


@given(*(st.integers(1, 60) for _ in range(3)), st.integers(1, 50), *(st.integers(1, 30) for _ in range(3)))
def test_workers_share_evenly(m: int, n: int, k: int, workers: int, tile_m: int, tile_n: int, tile_k: int) -> None:
    cuts = StreamK(workers, tile_m, tile_n, tile_k).cuts(m, n, k)
    each = -(-k // tile_k)
    assert len(cuts) == -(-m // tile_m) * -(-n // tile_n)
    assert all(c[0] == 0 and c[-1] == k and list(c) == sorted(set(c)) for c in cuts.values())
    share = -(-len(cuts) * each // workers)
    starts = {t * each + c // tile_k for t, borders in enumerate(cuts.values()) for c in borders[:-1]}
    assert starts == {t * each for t in range(len(cuts))} | set(range(0, len(cuts) * each, share))
