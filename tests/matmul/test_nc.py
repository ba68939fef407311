"""The TensorE's instructions write PSUM as the units' tiles do, and refuse what hardware leaves undefined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Gemm, Promote, unit
from chipmeter.matmul.mx import mx_layout, mx_scale_layout
from chipmeter.matmul.nc import Psum, nc_transpose

Array = np.ndarray[Any, Any]
Draw = Callable[..., tuple[Array, Array, Array, dict[str, Array]]]


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@pytest.mark.parametrize("name", ["trn1/bf16", "trn2/fp16", "trn3/tf32", "trn1/fp32", "trn1/fp8"])
def test_a_loop_of_instructions_is_the_unit(name: str, draw: Draw, tier: str) -> None:
    u = unit(name)
    a, b, _, _ = draw(u, 8, 9, 300)
    for order in u.orders:
        psum = Psum(12, name.partition("/")[0])
        for k in range(0, 300, 128):
            left, right = np.ascontiguousarray(a.T)[k : k + 128], b[k : k + 128]
            psum.matmul(left, right, at=2, accumulate=k > 0, order=order, tf32=u.a == "tf32")
        got = psum.read(8, allow_undefined=True)[:, 2:11]
        np.testing.assert_array_equal(bits(got), bits(cm.matmul(a, b, unit=u, order=order)))


def test_double_row(draw: Draw) -> None:
    u = unit("trn2/fp8")
    a, b, _, _ = draw(u, 6, 5, 512)
    psum = Psum(5, "trn2")
    for k in (0, 256):
        left, right = np.ascontiguousarray(a.T)[k : k + 256], b[k : k + 256]
        psum.matmul(
            left.reshape(128, 2, 6),
            right.reshape(128, 2, 5),
            accumulate=k > 0,
            perf_mode="double_row",
            order="element-sums",
        )
    np.testing.assert_array_equal(bits(psum.read(6)), bits(cm.matmul(a, b, unit=u, order="element-sums")))


@pytest.mark.parametrize("rounding", ["nearest-even", "stochastic"])
def test_bf16_psum(rounding: Any, draw: Draw) -> None:
    u = unit("trn3/bf16")
    a, b, _, _ = draw(u, 128, 9, 400)
    psum = Psum(9, "trn3", "bfloat16", rounding, 5)
    for k in range(0, 400, 128):
        psum.matmul(np.ascontiguousarray(a.T)[k : k + 128], b[k : k + 128], accumulate=k > 0)
    gemm = Gemm(Promote(0, "overwrite", "bf16", rounding, 5 if rounding == "stochastic" else 0))
    np.testing.assert_array_equal(bits(psum.read()), bits(cm.matmul(a, b, unit=u, gemm=gemm)))


def test_stochastic_writes_hit_both_neighbours() -> None:
    # 1 + 2^-9 lies a quarter of the way from 1 to the next bfloat16
    x = np.ones((2, 128), np.float16)
    x[1] = 2.0**-9
    psum = Psum(4096, "trn3", "bfloat16", "stochastic")
    psum.matmul(x, np.ones((2, 4096), np.float16))
    values, counts = np.unique(psum.read().astype(np.float32), return_counts=True)
    assert values.tolist() == [1.0, 1.0078125]
    assert 0.24 < counts[1] / counts.sum() < 0.26


@pytest.mark.parametrize("order", unit("trn3/mxfp8").orders)
def test_mx_reads_interleaved_rows_and_quadrant_scales(order: Any, draw: Draw) -> None:
    u = unit("neuroncore-v4/matmul-mx.e4m3.e2m1.f32.f32")
    a, b, _, scales = draw(u, 8, 6, 256)
    psum = Psum(6, "trn3")
    psum.matmul_mx(
        mx_layout(np.ascontiguousarray(a.T)), mx_layout(b), mx_scale_layout(scales["scale_a"].T), mx_scale_layout(scales["scale_b"]),
        order=order,
    )  # fmt: skip
    # element 4 p + i of the column is row 64 i + p: a group of 32 is 8 partitions of four
    rows = (np.arange(256) % 4) * 64 + np.arange(256) // 4
    want = cm.matmul(a[:, rows], b[rows], unit=u, order=order, **scales)
    np.testing.assert_array_equal(bits(psum.read(8)), bits(want))


def test_tiles_land_in_their_columns() -> None:
    x = np.ones((32, 32), np.float16)
    psum = Psum(32, "trn2")
    for column in range(0, 128, 32):
        psum.matmul(x, np.full((32, 32), column + 1, np.float16), tile_position=(64, column), tile_size=(32, 32))
    assert (psum.read() == 32 * (1 + np.arange(128) // 32 * 32)[:, None]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float8_e4m3", "float8_e5m2"])
def test_transpose_is_bit_exact_from_v3(dtype: str, rng: np.random.Generator) -> None:
    size = (
        np.dtype(dtype).itemsize if dtype.startswith("float") and "_" not in dtype else 2 if dtype == "bfloat16" else 1
    )
    codes = rng.integers(0, 256, (20, 30, size), np.uint8).view(f"u{size}")[..., 0]
    x = codes.view(cm.cast(np.float32(0), dtype).dtype if dtype != "float32" else np.float32)
    for core in ("trn2", "trn3"):
        got = nc_transpose(x, core)
        assert got.dtype == (np.uint16 if size == 1 else x.dtype)
        np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), codes.T)


def test_undefined_accumulation_is_refused() -> None:
    x = np.ones((4, 4), np.float16)
    psum = Psum(8, "trn2")
    with pytest.raises(
        ValueError, match="undefined PSUM accumulation: accumulate=True on locations that nothing has written"
    ):
        psum.matmul(x, x, accumulate=True)
    psum.matmul(x, x, accumulate=True, allow_undefined=True)
    assert np.isnan(psum.read(4, allow_undefined=True)).all()
    psum.write(np.ones((4, 4)), at=(0, 4))
    with pytest.raises(ValueError, match="initialised by another engine, on neuroncore-v3"):
        psum.matmul(x, x, at=4, accumulate=True)
    psum.matmul(x, x, at=4, accumulate=True, allow_undefined=True)
    assert (psum.read(4)[:, 4:] == 5).all()
    newer = Psum(4, "trn3")
    newer.write(np.ones((4, 4)))
    newer.matmul(x, x, accumulate=True)
    assert (newer.read(4) == 5).all()
    with pytest.raises(ValueError, match="never written"):
        newer.read()


H, S = np.ones((4, 4), np.float16), np.full((32, 4), 127, np.uint8)
E = np.zeros((32, 4, 4), np.uint8).view(cm.cast(np.float32(0), "float8_e4m3fn").dtype)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Psum(4, "h100"), "core must be one of neuroncore-v2"),
    (lambda: Psum(4, "trn2", "bfloat16"), "PSUM of neuroncore-v3 holds float32, got 'bfloat16'"),
    (lambda: Psum(4, "trn3", "float16"), "holds float32 or bfloat16"),
    (lambda: Psum(4097), "columns must be an integer in 1..4096"),
    (lambda: Psum(4, rounding="stochastic"), "stochastic with dtype bfloat16"),
    (lambda: Psum(4).matmul(H, H.astype(np.float32)), "matmul on neuroncore-v3 takes .*; got f16 x f32"),
    (lambda: Psum(4).matmul([1], H), "stationary must be a NumPy array"),  # type: ignore[arg-type]
    (lambda: Psum(4, "trn1").matmul(E[:, 0], E[:, 0]), "matmul on neuroncore-v2 takes .*; got e4m3 x e4m3"),
    (lambda: Psum(4, "trn1").matmul(H, H, perf_mode="double_row"), "matmul-double-row on neuroncore-v2 does not exist"),
    (lambda: Psum(4).matmul(H, H, perf_mode="triple_row"), "perf_mode must be double_row"),  # type: ignore[arg-type]
    (lambda: Psum(4).matmul(H, H[:3]), "must share the contraction rows"),
    (lambda: Psum(4).matmul(H, H, at=1), "outside PSUM"),
    (lambda: Psum(4).matmul(np.ones((129, 4), np.float16), H), "exceeds the tile"),
    (lambda: Psum(4).matmul(H, H, tile_size=(16, 128)), "a row tile of neuroncore-v3 has size 128, 64, 32"),
    (lambda: Psum(4, "trn1").matmul(H, H, tile_size=(128, 32)), "a column tile of neuroncore-v2 has size 128, 64"),
    (lambda: Psum(4).matmul(H, H, tile_size=(64, 128), tile_position=(32, 0)), "at a multiple of it"),
    (lambda: Psum(4).matmul(H[0], H), r"stationary must have shape \(K, F\)"),
    (lambda: Psum(600).matmul(H, np.ones((4, 600), np.float16)), "at most 512 columns"),
    (lambda: Psum(4).matmul_mx(E, E, S, S), "does not exist"),
    (lambda: Psum(4, "trn3").matmul_mx(E[:31], E, S, S), "P a multiple of 32"),
    (lambda: Psum(4, "trn3").matmul_mx(E, E, S[:4], S), "stationary_scale must be uint8"),
    (lambda: Psum(4, "trn3").matmul_mx(E[:, :3], E, S[:, :3], S), "even number of columns"),
    (lambda: Psum(4, "trn3").matmul(E[:, :2], E[:, :2], perf_mode="double_row", tile_size=(128, 64)), "no column tiles"),
    (lambda: Psum(4).read(0), "partitions must be an integer"),
    (lambda: Psum(4).write(np.ones(3)), "values must be a matrix"),
    (lambda: nc_transpose(H.astype(np.int8)), "x must be an array of"),
    (lambda: nc_transpose(np.ones((200, 2), np.float16)), "at most 128 x 128"),
    (lambda: mx_layout(H), "K = 128, 256, 384 or 512"), (lambda: mx_scale_layout(S[:3]), "4, 8, 12 or 16 groups"),
])  # fmt: skip
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
