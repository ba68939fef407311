"""cast treats every shape, size, stride, alignment, container and thread count alike, and names what it cannot take."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.formats import FORMATS, code_dtype

Array = np.ndarray[Any, Any]
SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 65, 97, 1023, 1024, 1025, 2047, 2049]
NAMES = ["e4m3fn", "e5m2fnuz", "e2m1", "bf16", "fp16", "tf32", "e8m0", "ue4m3", "int8", "nf4"]


def raw(x: Array) -> Array:
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


def one_by_one(x: Array, name: str, **policy: Any) -> Array:
    """Cast each element alone."""
    return np.array(
        [raw(cm.cast(x[i : i + 1], name, **policy))[0] for i in range(x.size)], raw(cm.cast(x[:0], name)).dtype
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_size_at_every_alignment(name: str, dtype: type, tier: str) -> None:
    numbers = np.float32(np.random.default_rng(4).standard_normal(2060) * 3).astype(dtype)
    numbers[::97] = 0
    alone = one_by_one(numbers, name)
    for n in SIZES:
        np.testing.assert_array_equal(raw(cm.cast(numbers[:n], name)), alone[:n])
    buffer = np.zeros(numbers.nbytes + 64, np.uint8)
    for shift in (1, 2, 3, 4, 12, 36):
        unaligned = buffer[shift : shift + 1025 * numbers.itemsize].view(dtype)
        unaligned[:] = numbers[:1025]
        np.testing.assert_array_equal(raw(cm.cast(unaligned, name)), alone[:1025])


@pytest.mark.parametrize("name", NAMES)
def test_layout_does_not_matter(name: str, tier: str) -> None:
    x = np.float32(np.random.default_rng(5).standard_normal((24, 10, 14)))
    whole = raw(cm.cast(x, name))
    for view in (
        np.s_[::2],
        np.s_[:, ::-1],
        np.s_[..., 3:11:2],
        np.s_[::-1, ::3, ::-2],
        np.s_[3, 4, 5],
        np.s_[:, :0],
        np.s_[7],
    ):
        np.testing.assert_array_equal(raw(cm.cast(x[view], name)), whole[view])
    np.testing.assert_array_equal(raw(cm.cast(x.T, name)), whole.T)
    np.testing.assert_array_equal(raw(cm.cast(np.asfortranarray(x), name)), whole)
    np.testing.assert_array_equal(
        raw(cm.cast(np.broadcast_to(x[0], (3, 10, 14)), name)), np.broadcast_to(whole[0], (3, 10, 14))
    )


@pytest.mark.parametrize("name", NAMES)
def test_shape_of_the_result(name: str) -> None:
    for shape in ((), (0,), (1,), (0, 5), (2, 0, 3), (2, 3, 4)):
        codes = cm.cast(np.zeros(shape, np.float32), name)
        assert codes.shape == shape
        assert codes.dtype == code_dtype(next(f for f in FORMATS.values() if name in (f.name, *f.aliases)))


def test_python_numbers_and_lists_are_float64() -> None:
    hair = 1 + 2.0**-4 + 2.0**-40
    for x in (hair, [hair], (hair,), [[hair]], np.float64(hair), np.array(hair)):
        codes = cm.cast(x, "e4m3fn")
        assert codes.shape == np.shape(x)
        assert (codes.astype(np.float32) == 1.125).all()
    assert cm.cast(3, "e4m3fn").astype(np.float32) == 3
    assert cm.cast([], "e4m3fn").shape == (0,)


def test_narrow_types_widen_exactly() -> None:
    for source in (
        np.float16,
        ml_dtypes.bfloat16,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float4_e2m1fn,
    ):
        x = np.arange(16, dtype=np.uint8).astype(np.float32).astype(source)
        np.testing.assert_array_equal(
            raw(cm.cast(x, "e3m2", rounding="up")), raw(cm.cast(x.astype(np.float64), "e3m2", rounding="up"))
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rounding", ["nearest-even", "toward-zero"])
def test_threads_do_not_matter(name: str, rounding: str, tier: str) -> None:
    if name == "nf4" and rounding != "nearest-even":
        rounding = "nearest-even"
    x = np.random.default_rng(6).integers(0, 2**32, 420_001, dtype=np.uint32).view(np.float32)
    one = raw(cm.cast(x, name, rounding=rounding, threads=1))
    for threads in (2, 3):
        np.testing.assert_array_equal(raw(cm.cast(x, name, rounding=rounding, threads=threads)), one)


def test_out_is_filled_and_returned() -> None:
    x = np.float32([1, 2, 3])
    for name in ("e4m3fn", "bf16", "tf32", "int8", "nf4", "e8m0"):
        want = cm.cast(x, name)
        out = np.zeros(3, want.dtype)
        assert cm.cast(x, name, out=out) is out
        np.testing.assert_array_equal(raw(out), raw(want))


def test_unusable_outputs_are_refused() -> None:
    x = np.ones((4, 6), np.float32)
    good = np.zeros((4, 6), ml_dtypes.float8_e4m3fn)
    read_only = good.copy()
    read_only.flags.writeable = False
    cases = [
        (np.zeros((4, 6), np.uint8), ValueError, "out must have dtype float8_e4m3fn"),
        (good[:3], ValueError, r"shape \(4, 6\), got dtype float8_e4m3fn and shape \(3, 6\)"),
        (np.zeros((4, 12), good.dtype)[:, ::2], ValueError, "out must be C-contiguous"),
        (np.zeros((6, 4), good.dtype).T, ValueError, "out must be C-contiguous"),
        (read_only, ValueError, "out is read-only"),
        ([0], TypeError, "out must be a NumPy array, got list"),
    ]
    for out, error, message in cases:
        with pytest.raises(error, match=message):
            cm.cast(x, "e4m3fn", out=out)
    shared = np.ones(24, np.float32)
    with pytest.raises(ValueError, match="out overlaps an input in memory"):
        cm.cast(shared, "tf32", out=shared)
    with pytest.raises(ValueError, match="out overlaps an input in memory"):
        cm.cast(shared, "e4m3fn", out=shared.view(ml_dtypes.float8_e4m3fn)[:24])
    words = np.ones(24, np.uint32)
    with pytest.raises(ValueError, match="out overlaps an input in memory"):
        cm.cast(shared, "tf32", rounding="stochastic", bits=words, out=words.view(np.float32))


@pytest.mark.parametrize(
    "x",
    [np.arange(3), np.array([True]), np.array(["1"]), np.array([1j]), np.array([None]), "1", None, np.longdouble([1])],
)
def test_other_types_are_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="x must be an array of float32 or float64"):
        cm.cast(x, "e4m3fn")


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"format": "e4m3f"}, ValueError, "unknown format 'e4m3f'; did you mean"),
        ({"format": None}, TypeError, "a format is named by a string or given as a record, got NoneType"),
        ({"rounding": "nearest"}, ValueError, "unknown rounding 'nearest'; did you mean 'nearest-even'"),
        ({"overflow": "sat"}, ValueError, "unknown overflow policy 'sat'; did you mean 'saturate'"),
        ({"threads": 0}, ValueError, "threads must be a positive integer or None, got 0"),
        ({"threads": 1.0}, ValueError, "threads must be a positive integer or None, got 1.0"),
        ({"threads": True}, ValueError, "threads must be a positive integer or None, got True"),
    ],
)
def test_bad_arguments_are_named(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cm.cast(np.zeros(3, np.float32), **{"format": "e4m3fn", **keywords})


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_results_beyond_the_machine_are_an_error(dtype: type) -> None:
    x = np.broadcast_to(dtype(1), (2**31, 2**29))
    with pytest.raises((ValueError, MemoryError)):
        cm.cast(x, "e4m3fn")


def test_large_results_are_fresh_memory() -> None:
    # Results of 8 MiB and more reuse memory: only that of arrays which are gone, views included.
    x = np.full(9 << 20, 1, np.float32)
    first = cm.cast(x, "e4m3fn")
    view = first[5:7]
    second = cm.cast(x * 2, "e4m3fn")
    assert not np.shares_memory(first, second)
    del first
    third = cm.cast(x * 3, "e4m3fn")
    assert not np.shares_memory(view, third)
    assert view.astype(np.float32).tolist() == [1, 1]
    where = view.__array_interface__["data"][0] - 5
    del view
    fourth = cm.cast(x * 4, "e4m3fn")
    assert fourth.__array_interface__["data"][0] == where
    for array, value in ((second, 2), (third, 3), (fourth, 4)):
        assert (array.view(np.uint8) == cm.cast(np.float32([value]), "e4m3fn").view(np.uint8)).all()
