"""assert_bits_equal tells bits from values, and assert_matches_unit tells one unit's product from another's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.testing import assert_bits_equal, assert_matches_unit

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool"])
def test_equal_arrays_pass(dtype: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 2, (3, 5)).astype(dtype)
    assert_bits_equal(x, x.copy())
    assert_bits_equal(x.T, np.ascontiguousarray(x.T))
    assert_bits_equal(x[:0], x[:0])


def test_signed_zeros_differ_and_are_no_distance_apart() -> None:
    with pytest.raises(AssertionError, match=r"first at \(2,\): got 0\.0 \(0x00000000\).*\n  ulp distance: 0: 1"):
        assert_bits_equal(np.float32([1, 2, 0.0]), np.float32([1, 2, -0.0]))


def test_distances_are_counted_in_classes() -> None:
    want = np.float32([1, 1, 1, 1, -1e-45])
    got = np.nextafter(want, np.float32(9))
    got[1] += np.float32(2**-20)
    with pytest.raises(AssertionError, match=r"5 of 5 .*\n  ulp distance: 1: 4, 8-15: 1$"):
        assert_bits_equal(got, want)


def test_the_smallest_numbers_of_both_signs_are_two_apart() -> None:
    with pytest.raises(AssertionError, match="ulp distance: 2-3: 1"):
        assert_bits_equal(np.float64([5e-324]), np.float64([-5e-324]))


def test_nan_payloads_matter_unless_told() -> None:
    x, y = np.uint32([0x7FC00000, 0]).view(np.float32), np.uint32([0x7FFFFFFF, 0]).view(np.float32)
    with pytest.raises(AssertionError, match="NaN: 1"):
        assert_bits_equal(x, y)
    assert_bits_equal(x, y, nan_payloads=False)
    with pytest.raises(AssertionError, match="1 of 2"):
        assert_bits_equal(x, np.float32([1, 0]), nan_payloads=False)


def test_narrow_types_of_ml_dtypes() -> None:
    x = np.float32([1, 2]).astype(ml_dtypes.float8_e4m3fn)
    y = np.float32([1, 2.25]).astype(ml_dtypes.float8_e4m3fn)
    assert_bits_equal(x, x.copy())
    with pytest.raises(AssertionError, match=r"got 2\.0 \(0x40\), expected 2\.25 \(0x41\)\n  ulp distance: 1: 1"):
        assert_bits_equal(x, y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.float32([1]), np.float64([1]), "dtype float32, expected float64"),
        (np.float32([1]), np.float32([[1]]), r"shape \(1,\), expected \(1, 1\)"),
    ],
)
def test_dtype_and_shape_are_part_of_equality(x: Array, y: Array, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_bits_equal(x, y)


def test_scalars_and_integers() -> None:
    with pytest.raises(AssertionError, match=r"first at \(\): got 3 \(0x0000000000000003\)") as caught:
        assert_bits_equal(np.int64(3), np.int64(4))
    assert "ulp" not in str(caught.value)


def test_anything_with_dlpack_on_the_host() -> None:
    class Foreign:
        def __init__(self, x: Array) -> None:
            self.x = x

        def __dlpack__(self, **options: Any) -> Any:
            return self.x.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.x.__dlpack_device__()

    x = np.float32([1, 2])
    assert_bits_equal(Foreign(x), x)


def test_a_unit_matches_its_own_bits_and_not_those_of_another(rng: np.random.Generator) -> None:
    a = rng.standard_normal((8, 64)).astype(np.float16)
    b = rng.standard_normal((64, 8)).astype(np.float16)
    volta = cm.matmul(a, b, unit="v100/fp16")
    assert_matches_unit(volta, a, b, unit="v100/fp16")
    with pytest.raises(AssertionError, match="product by h100/fp16: "):
        assert_matches_unit(volta, a, b, unit="h100/fp16")
    with pytest.raises(ValueError, match="unknown unit"):
        assert_matches_unit(volta, a, b, unit="v100/fp17")
