"""Stochastic rounding follows its definition for given words, and Philox words depend on seed and index alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter import _kernels
from chipmeter.formats import FORMATS, FloatFormat
from chipmeter.reference.layouts import F32, F64
from chipmeter.reference.numbers import decode as meaning
from chipmeter.reference.tables import INTEGERS, encode_integer

Array = np.ndarray[Any, Any]
STOCHASTIC = [n for n, f in FORMATS.items() if isinstance(f, FloatFormat) and not f.powers_only]


def codes_of(x: Array, name: str | FloatFormat, **policy: Any) -> Array:
    codes = cm.cast(x, name, rounding="stochastic", **policy)
    return codes.view(f"u{codes.dtype.itemsize}").astype(np.uint64)


# Random123 1.14.0, kat_vectors: philox4x32 with 10 rounds, counter and key of zeros, ones, and digits of pi. The key
# is the seed; the two high words of the counter are zero here, which leaves the first of the three.
def test_known_answer_of_philox(tier: str) -> None:
    words = np.empty(4, np.uint32)
    _kernels.philox(words, 0, 0)
    assert words.tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def philox4x32(counter: int, key: int) -> list[int]:
    """Philox4x32-10 as its authors print it (Salmon et al., SC 2011), in Python integers."""
    c, k = [counter >> 32 * i & 0xFFFFFFFF for i in range(4)], [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        (high0, low0), (high1, low1) = divmod(0xD2511F53 * c[0], 2**32), divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def test_the_python_philox_has_the_published_answers() -> None:
    assert philox4x32(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox4x32(2**128 - 1, 2**64 - 1) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1])
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 5, 2**32 - 2, 2**34 - 1, 2**63, 2**64 - 9])
def test_words_are_those_of_their_index(seed: int, offset: int, tier: str) -> None:
    words = np.empty(7, np.uint32)
    _kernels.philox(words, seed, offset)
    assert words.tolist() == [philox4x32((offset + i) // 4, seed)[(offset + i) % 4] for i in range(7)]


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32), random_bits=st.integers(1, 32), overflow=st.sampled_from(["ofp8", "saturate", "torch"])
)
@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_given_words(
    name: str, dtype: type, seed: int, random_bits: int, overflow: str, expected_codes: Callable[..., Array]
) -> None:
    rng = np.random.default_rng(seed)
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    exponents = rng.integers(fmt.min_exponent - fmt.mantissa_bits - 34, fmt.max_exponent + 3, 40)
    with np.errstate(over="ignore", under="ignore"):
        x = (np.ldexp(1 + rng.random(40), exponents) * rng.choice([-1, 1], 40)).astype(dtype)
    x[:6] = [0, -0.0, np.inf, -np.inf, fmt.max, fmt.smallest / 4]
    words = rng.integers(0, 2**32, x.size, dtype=np.uint32)
    words[::5] = rng.choice([0, 0xFFFFFFFF, (1 << random_bits) - 1, 1 << random_bits - 1], words[::5].size)
    want = expected_codes(x, fmt, "stochastic", overflow, words, random_bits)
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        got = codes_of(x, name, bits=words, random_bits=random_bits, overflow=overflow)
        np.testing.assert_array_equal(got, want, err_msg=f"{tier} {fmt.name}")
    cm.use_tier(before)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_values_and_nans_do_not_move(
    name: str, tier: str, telling_numbers: Callable[..., Array], nans: Callable[..., Array]
) -> None:
    fmt = FORMATS[name]
    values = np.array([float(fmt.value(c)) for c in range(min(fmt.max_code + 1, 2000))], np.float32)
    for x in (values, nans(np.float32), nans(np.float64), np.float32([np.inf, -np.inf])):
        nearest = cm.cast(x, name)
        np.testing.assert_array_equal(
            codes_of(x, name, seed=3), nearest.view(f"u{nearest.dtype.itemsize}").astype(np.uint64)
        )


@pytest.mark.parametrize("name", ["e4m3fn", "bf16", "tf32", "int8", "int4"])
def test_neither_split_nor_threads_nor_offset_matter(name: str, tier: str) -> None:
    x = np.random.default_rng(9).standard_normal(300_007).astype(np.float32) * 3
    whole = cm.cast(x, name, rounding="stochastic", seed=77)
    for threads in (2, 3):
        np.testing.assert_array_equal(cm.cast(x, name, rounding="stochastic", seed=77, threads=threads), whole)
    for k in (1, 2, 3, 4, 63, 1024, 150_001):
        np.testing.assert_array_equal(cm.cast(x[k:], name, rounding="stochastic", seed=77, offset=k), whole[k:])
    folded = cm.cast(x[:300_000].reshape(100, 3000).T, name, rounding="stochastic", seed=77)
    np.testing.assert_array_equal(
        folded, cm.cast(x[:300_000].reshape(100, 3000).T.copy(), name, rounding="stochastic", seed=77)
    )
    assert (cm.cast(x, name, rounding="stochastic", seed=78) != whole).any()


def test_offset_wraps_at_two_to_the_64() -> None:
    x = np.full(8, 1.03, np.float32)
    words = np.empty(8, np.uint32)
    _kernels.philox(words, 5, 2**64 - 3)
    got = cm.cast(x, "e4m3fn", rounding="stochastic", seed=5, offset=2**64 - 3)
    np.testing.assert_array_equal(got, cm.cast(x, "e4m3fn", rounding="stochastic", bits=words))


@pytest.mark.parametrize("random_bits", [1, 4, 8])
@pytest.mark.parametrize("name", ["e4m3fn", "e2m1", "bf16", "int8"])
def test_all_words_together_are_unbiased_within_the_definition(name: str, random_bits: int) -> None:
    # Over all 2^n words, floor(d * 2^n) of them round up, whatever d: that is the definition, exactly.
    words = np.arange(1 << random_bits, dtype=np.uint32)
    for d in (0.0, 0.1, 0.25, 0.5, 0.7, 1 - 2.0**-20):
        low, step = 2.0, {"e4m3fn": 0.25, "e2m1": 1.0, "bf16": 2.0**-6, "int8": 1.0}[name]
        for sign in (1, -1):
            x = np.full(words.size, sign * (low + d * step))
            got = cm.cast(x, name, rounding="stochastic", bits=words, random_bits=random_bits).astype(np.float64)
            assert np.count_nonzero(np.abs(got) > low) == int(np.floor(d * 2**random_bits))
            assert set(np.abs(got)) <= {low, low + step}


def test_bits_above_random_bits_do_not_count() -> None:
    x = np.float32(np.random.default_rng(2).standard_normal(1000))
    words = np.random.default_rng(3).integers(0, 2**32, 1000, dtype=np.uint32)
    for name in ("e5m2", "int8"):
        one = cm.cast(x, name, rounding="stochastic", bits=words, random_bits=8)
        np.testing.assert_array_equal(one, cm.cast(x, name, rounding="stochastic", bits=words & 0xFF, random_bits=8))


@pytest.mark.parametrize("name", ["s8", "u8", "s4", "u4", "s2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_with_given_words(name: str, dtype: type, rng: np.random.Generator) -> None:
    layout = INTEGERS[name]
    x = (rng.standard_normal(500) * layout.largest).astype(dtype)
    x[:8] = [0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 0.5]
    words = rng.integers(0, 2**32, 500, dtype=np.uint32)
    for n in (1, 7, 32):
        got = cm.cast(
            x, name.replace("s", "int").replace("u", "uint"), rounding="stochastic", bits=words, random_bits=n
        )
        want = [
            encode_integer(
                meaning(b, F32 if dtype is np.float32 else F64),
                layout,
                "stochastic",
                random=w & (1 << n) - 1,
                random_bits=n,
            )
            for b, w in zip(x.view(f"u{x.itemsize}").tolist(), words.tolist(), strict=True)
        ]
        np.testing.assert_array_equal(got.view(np.uint8) & ((1 << layout.bits) - 1), np.uint8(want))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"seed": -1}, r"seed must be an integer in 0\.\.18446744073709551615, got -1"),
        ({"seed": 2**64}, "seed must be an integer"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"offset": -1}, "offset must be an integer"),
        ({"random_bits": 0}, "random_bits must be at least 1"),
        ({"random_bits": 33}, r"random_bits must be an integer in 0\.\.32, got 33"),
        (
            {"bits": np.zeros(2, np.uint32)},
            r"bits must be unsigned 32-bit words of x's shape \(3,\), got uint32 of shape \(2,\)",
        ),
        ({"bits": np.zeros(3, np.float32)}, "bits must be unsigned 32-bit words"),
        ({"bits": np.array([-1, 0, 0])}, "bits must be unsigned 32-bit words"),
        ({"bits": np.array([2**32, 0, 0])}, "bits must be unsigned 32-bit words"),
    ],
)
def test_bad_randomness_is_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cm.cast(np.zeros(3, np.float32), "e4m3fn", rounding="stochastic", **keywords)


def test_bits_without_stochastic_rounding_are_refused() -> None:
    with pytest.raises(ValueError, match="random bits go with rounding='stochastic', got 'up'"):
        cm.cast(np.zeros(3, np.float32), "e4m3fn", rounding="up", bits=np.zeros(3, np.uint32))
