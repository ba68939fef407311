"""Every layout is an exact index map: the inverse gives the codes back, and positions are those of the stated formula."""

from __future__ import annotations

import numpy as np
import pytest

from chipmeter.quantize import layouts

RNG = np.random.default_rng(4)


def codes(bits: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 1 << bits, shape).astype(np.uint8)


@pytest.mark.parametrize("high_first", [False, True])
def test_nibbles_round_trip(high_first: bool) -> None:
    given = codes(4, 3, 34)
    packed = layouts.pack_nibbles(given, high_first=high_first)
    assert (layouts.unpack_nibbles(packed, high_first=high_first) == given).all()
    assert packed[1, 2] == sum(int(given[1, 4 + i]) << 4 * (i ^ high_first) for i in (0, 1))


@pytest.mark.parametrize("block", [2, 16, 32])
def test_halves_round_trip(block: int) -> None:
    given = codes(4, 2, 64)
    packed = layouts.pack_halves(given, block)
    assert (layouts.unpack_halves(packed, block) == given).all()
    assert packed[0, 0] == given[0, 0] | given[0, block // 2] << 4


def test_6bit_is_little_endian() -> None:
    given = codes(6, 5, 64)
    packed = layouts.pack_6bit(given)
    assert (layouts.unpack_6bit(packed) == given).all()
    whole = int.from_bytes(packed[2].tobytes(), "little")
    assert [whole >> 6 * i & 63 for i in range(64)] == given[2].tolist()


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
def test_int32_is_one_stream_of_bits(bits: int, count: int) -> None:
    given = codes(bits, 2, count)
    packed = layouts.pack_int32(given, bits)
    assert (layouts.unpack_int32(packed, bits, count) == given).all()
    whole = int.from_bytes(packed[1].astype("<u4").tobytes(), "little")
    assert [whole >> bits * i & ((1 << bits) - 1) for i in range(count)] == given[1].tolist()


@pytest.mark.parametrize("shape", [(1, 1), (128, 4), (129, 5), (256, 8), (100, 3)])
def test_swizzle_follows_its_formula(shape: tuple[int, int]) -> None:
    scales = np.arange(1, shape[0] * shape[1] + 1).reshape(shape)
    packed = layouts.swizzle_128x4(scales)
    across = -(-shape[1] // 4)
    for r, c in np.ndindex(shape):
        at = (r // 128 * across + c // 4) * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4
        assert packed[at] == scales[r, c]
    assert np.count_nonzero(packed) == scales.size
    assert (layouts.unswizzle_128x4(packed, *shape) == scales).all()


def test_ue8m0_and_x4_are_little_endian() -> None:
    given = codes(8, 3, 6)
    assert (layouts.unpack_ue8m0(layouts.pack_ue8m0(given), 6) == given).all()
    given = codes(8, 3, 8)
    packed = layouts.pack_x4(given)
    assert packed[0, 1] == int.from_bytes(given[0, 4:].tobytes(), "little")
    assert (layouts.unpack_x4(packed) == given).all()


@pytest.mark.parametrize("offset", [0, 4, 8, 12])
def test_trainium_groups_and_quadrants(offset: int) -> None:
    tile = np.arange(64 * 12).reshape(64, 12)
    groups = layouts.trainium_groups(tile)
    assert (groups[3, 2].reshape(8, 4) == tile[24:32, 8:12]).all()
    assert (layouts.trainium_tile(groups) == tile).all()
    placed = layouts.quadrant_rows(groups[:, :, 0] + 1, offset=offset)
    assert np.flatnonzero(placed.any(axis=1)).tolist() == [offset + q + i for q in (0, 32) for i in range(4)]
    assert (layouts.dense_rows(placed, 8, offset=offset) == groups[:, :, 0] + 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layouts.pack_nibbles(codes(4, 3)), "multiple of 2"),
        (lambda: layouts.pack_6bit(codes(6, 5)), "multiple of 4"),
        (lambda: layouts.unpack_6bit(codes(6, 4)), "multiple of 3"),
        (lambda: layouts.pack_halves(codes(4, 4), 3), "positive even"),
        (lambda: layouts.unpack_halves(codes(4, 4), 0), "positive even"),
        (lambda: layouts.pack_int32(codes(4, 4), 9), "bits must lie"),
        (lambda: layouts.unpack_int32(np.zeros(1, np.uint32), 4, 9), "do not fit"),
        (lambda: layouts.swizzle_128x4(codes(4, 4)), "matrix"),
        (lambda: layouts.unswizzle_128x4(codes(8, 511), 1, 1), "512 positions"),
        (lambda: layouts.unpack_ue8m0(np.zeros((1, 1), np.int32), 5), "do not fit"),
        (lambda: layouts.trainium_groups(codes(8, 8, 6)), "multiple of 8"),
        (lambda: layouts.trainium_tile(codes(8, 8, 6)), r"\[P/8"),
        (lambda: layouts.quadrant_rows(codes(8, 4, 4), offset=5), "offset must be"),
        (lambda: layouts.dense_rows(codes(8, 32, 4), 5), "hold 4 scale rows"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
