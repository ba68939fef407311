"""Packed layouts are exact index maps: unpacking undoes packing, places are those of the formulas, misfits are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.quantize import layouts


@given(st.data(), st.integers(1, 5), st.booleans())
def test_nibbles_sixes_and_words_round_trip(data: st.DataObject, n: int, high_first: bool) -> None:
    four = np.uint8(data.draw(st.lists(st.integers(0, 15), min_size=4 * n, max_size=4 * n)))
    six = np.uint8(data.draw(st.lists(st.integers(0, 63), min_size=4 * n, max_size=4 * n)))
    packed = layouts.pack_nibbles(four, high_first=high_first)
    assert packed.tolist() == [
        (a << 4 | b) if high_first else (b << 4 | a)
        for a, b in zip(four[::2].tolist(), four[1::2].tolist(), strict=True)
    ]
    assert (layouts.unpack_nibbles(packed, high_first=high_first) == four).all()
    three = layouts.pack_sixes(six)
    stream = sum(int(code) << 6 * i for i, code in enumerate(six))
    assert int.from_bytes(three.tobytes(), "little") == stream
    assert (layouts.unpack_sixes(three) == six).all()
    assert (layouts.unpack_x4(layouts.pack_x4(six, 8)) == six).all()
    assert (layouts.unpack_x4(layouts.pack_x4(four, 4)) == four).all()
    assert (layouts.unpack_ue8m0(layouts.pack_ue8m0(six[: 4 * n - 1]), 4 * n - 1) == six[: 4 * n - 1]).all()


@given(st.data(), st.integers(1, 8), st.integers(0, 70), st.booleans())
def test_dense_integers_lie_bit_after_bit(data: st.DataObject, bits: int, count: int, signed: bool) -> None:
    low = -(1 << bits - 1) if signed else 0
    values = data.draw(st.lists(st.integers(low, low + (1 << bits) - 1), min_size=count, max_size=count))
    packed = layouts.pack_bits(np.array(values, np.int16), bits, signed=signed)
    stream = sum((value - low) << bits * i for i, value in enumerate(values))
    assert int.from_bytes(packed.tobytes(), "little") == stream
    assert layouts.unpack_bits(packed, bits, count, signed=signed).tolist() == values


@given(st.integers(1, 300), st.integers(1, 11))
def test_swizzle_places_each_scale_once(rows: int, columns: int) -> None:
    scales = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    flat = layouts.swizzle_128x4(scales)
    assert np.count_nonzero(flat) == scales.size
    assert (layouts.unswizzle_128x4(flat, rows, columns) == scales).all()
    r, c = rows - 1, columns - 1
    tile = r // 128 * -(-columns // 4) + c // 4
    assert flat[tile * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4] == scales[r, c]


@pytest.mark.parametrize("offset", [0, 4, 8, 12])
def test_quadrants_and_groups_round_trip(rng: np.random.Generator, offset: int) -> None:
    scales = rng.integers(1, 256, (16, 5)).astype(np.uint8)
    tile = layouts.to_quadrants(scales, offset=offset)
    assert np.count_nonzero(tile) == scales.size
    assert (tile[32 + offset + 1] == scales[5]).all()
    assert (layouts.from_quadrants(tile, offset=offset) == scales).all()
    x = rng.integers(0, 99, (16, 12))
    groups = layouts.to_groups(x)
    assert (groups[1, 2] == x[8:16, 8:12].ravel()).all()
    assert (layouts.from_groups(groups) == x).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layouts.pack_nibbles(np.uint8([1, 2, 3])), ValueError, "must be even, got 3"),
        (lambda: layouts.pack_nibbles(np.uint8([1, 16])), ValueError, "codes of 4 bits, got 0x10"),
        (lambda: layouts.pack_nibbles(np.uint16([1, 2])), TypeError, "one code per byte, got uint16"),
        (lambda: layouts.pack_nibbles(np.uint8(1)), ValueError, "at least one axis"),
        (lambda: layouts.pack_sixes(np.uint8([1, 2, 3])), ValueError, "a multiple of 4, got 3"),
        (lambda: layouts.unpack_sixes(np.uint8([1, 2])), ValueError, "a multiple of 3, got 2"),
        (lambda: layouts.pack_bits([8], 4), ValueError, r"lie in -8\.\.7"),
        (lambda: layouts.pack_bits([1.5], 4), TypeError, "array of integers"),
        (lambda: layouts.pack_bits([1], 9), ValueError, r"in 1\.\.8, got 9"),
        (lambda: layouts.unpack_bits(np.int32([0]), 4, 9), ValueError, "do not fit the 1 words"),
        (lambda: layouts.unpack_bits(np.int64([0]), 4, 1), TypeError, "32-bit words, got int64"),
        (lambda: layouts.swizzle_128x4(np.uint8([1])), ValueError, "a matrix of scales"),
        (lambda: layouts.swizzle_128x4_index(-1, 2), ValueError, "must not be negative"),
        (lambda: layouts.unswizzle_128x4(np.zeros(5), 1, 1), ValueError, "take 512 places"),
        (lambda: layouts.unpack_ue8m0(np.int32([0]), 5), ValueError, "at most 4 scales"),
        (lambda: layouts.unpack_ue8m0(np.int16([0]), 1), TypeError, "32-bit words, got int16"),
        (lambda: layouts.to_quadrants(np.zeros((3, 1), np.uint8)), ValueError, r"\(4n, F\)"),
        (lambda: layouts.to_quadrants(np.zeros((4, 1), np.uint8), offset=3), ValueError, "0, 4, 8 or 12, got 3"),
        (lambda: layouts.from_quadrants(np.zeros((4, 1), np.uint8)), ValueError, "whole quadrants"),
        (lambda: layouts.pack_x4(np.uint8([1] * 4), 6), ValueError, "8 or 4 bits, got 6"),
        (lambda: layouts.pack_x4(np.uint8([1] * 3), 8), ValueError, "a multiple of 4, got 3"),
        (lambda: layouts.unpack_x4(np.uint8([1])), TypeError, "32 or 16 bits, got uint8"),
        (lambda: layouts.to_groups(np.zeros((4, 4))), ValueError, "8n partitions"),
        (lambda: layouts.from_groups(np.zeros((4, 4))), ValueError, "32 elements"),
    ],
)
def test_misfits_are_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
