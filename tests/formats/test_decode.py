"""decode gives every code of every format the number that the reference and ml_dtypes read in it, on every tier."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat, IntegerFormat, TableFormat, code_dtype
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.numbers import decode as meaning
from chipmeter.reference.numbers import fraction_of
from chipmeter.reference.tables import NF4_CODES, IntegerLayout, decode_integer

Array = np.ndarray[Any, Any]
LAYOUT_NAMES = {
    "bfloat16": "bf16", "float16": "f16", "float8_e4m3fn": "e4m3", "float8_e4m3": "e4m3ieee", "float8_e5m2": "e5m2",
    "float8_e3m4": "e3m4", "float8_e4m3fnuz": "e4m3fnuz", "float8_e5m2fnuz": "e5m2fnuz", "float8_e4m3b11fnuz": "e4m3b11fnuz",
    "float6_e2m3fn": "e2m3", "float6_e3m2fn": "e3m2", "float4_e2m1fn": "e2m1", "float8_e8m0fnu": "ue8m0", "float8_ue4m3": "ue4m3",
}  # fmt: skip
NARROW = [n for n in LAYOUT_NAMES if FORMATS[n].bits <= 8]
WIDE = ["bfloat16", "float16"]
LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97, 255, 257, 1023, 1025]


def bits(x: Array) -> Array:
    return np.asarray(x).view(np.uint32)


def raw_codes(name: str) -> Array:
    return np.arange(256, dtype=np.uint8) if FORMATS[name].bits <= 8 else np.arange(65536, dtype=np.uint16)


@cache
def by_reference(name: str) -> Array:
    """float32 bits of every raw code: bits above the width ignored, NaN quiet with the code's sign."""
    layout, width = LAYOUTS[LAYOUT_NAMES[name]], FORMATS[name].bits
    found = []
    for code in raw_codes(name).tolist():
        value = meaning(code & (1 << width) - 1, layout)
        sign = (value.negative or (value.kind == "nan" and layout.nan == "negative_zero")) << 31
        if value.kind == "finite":
            found.append(int(np.float32(float(fraction_of(value))).view(np.uint32)) & 0x7FFFFFFF | sign)
        else:
            found.append(sign | (0x7FC00000 if value.kind == "nan" else 0x7F800000))
    return np.array(found, np.uint32)


@pytest.mark.parametrize("name", NARROW + WIDE)
def test_every_code_against_the_reference(name: str, tier: str) -> None:
    np.testing.assert_array_equal(bits(cm.decode(raw_codes(name), name)), by_reference(name))


@pytest.mark.parametrize("name", [n for n in NARROW + WIDE if FORMATS[n].dtype not in ("", "uint8")])
def test_every_code_against_ml_dtypes(name: str, tier: str) -> None:
    dtype = code_dtype(FORMATS[name])
    codes = raw_codes(name)[: 1 << FORMATS[name].bits].view(dtype)
    np.testing.assert_array_equal(cm.decode(codes), codes.astype(np.float32))
    signs = np.signbit(codes.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(cm.decode(codes)), signs)


@pytest.mark.parametrize("name", NARROW + WIDE)
def test_encode_undoes_decode(name: str, tier: str) -> None:
    codes = raw_codes(name)[: 1 << FORMATS[name].bits]
    numbers = cm.decode(codes, name)
    finite = ~np.isnan(numbers)
    for source in (numbers, numbers.astype(np.float64)):
        np.testing.assert_array_equal(cm.cast(source, name).view(codes.dtype)[finite], codes[finite])


@pytest.mark.parametrize("name", [*NARROW, *WIDE, "int8", "int4", "uint4", "nf4"])
def test_every_length_and_offset(name: str, tier: str) -> None:
    fmt = FORMATS[name]
    word = np.dtype(f"u{code_dtype(fmt).itemsize}")
    table = bits(cm.decode(np.arange(1 << 8 * min(word.itemsize, 2)).astype(word), name))
    source = np.random.default_rng(3).integers(0, 256, 1100 * word.itemsize + 8, dtype=np.uint8)
    for n in LENGTHS:
        for shift in (0, 1, 3):  # bytes: codes need no alignment beyond that of their type, nor that
            codes = source[shift : shift + n * word.itemsize].view(word)
            np.testing.assert_array_equal(bits(cm.decode(codes, name)), table[codes])


@pytest.mark.parametrize("name", ["int8", "uint8", "int4", "uint4", "int2"])
def test_integers(name: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, IntegerFormat)
    low = raw_codes(name) & ((1 << fmt.bits) - 1)
    want = [decode_integer(code, IntegerLayout(fmt.bits, fmt.signed)) for code in low.tolist()]
    np.testing.assert_array_equal(cm.decode(raw_codes(name), name), np.float32(want))


def test_nf4_is_the_published_table() -> None:
    fmt = FORMATS["nf4"]
    assert isinstance(fmt, TableFormat)
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(bits(cm.decode(codes, "nf4")), np.uint32(NF4_CODES)[codes % 16])


def test_tf32_loses_its_low_thirteen_bits_before_anything_else() -> None:
    codes = np.uint32([0x3F801FFF, 0x7F800001, 0xFF801FFF, 0x7FC00000, 0x00001FFF])
    want = np.uint32([0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0])
    np.testing.assert_array_equal(bits(cm.decode(codes, "tf32")), want)
    np.testing.assert_array_equal(bits(cm.decode(codes.view(np.float32), "tf32")), want)


def test_layouts_and_strides_do_not_matter(tier: str) -> None:
    codes = np.arange(240, dtype=np.uint8).reshape(4, 5, 12)
    whole = cm.decode(codes, "e5m2")
    for view in (np.s_[:, ::2, ::-1], np.s_[::-1, :, 3:8], np.s_[2, 3, 4], np.s_[:0], np.s_[..., :0]):
        np.testing.assert_array_equal(bits(cm.decode(codes[view], "e5m2")), bits(whole[view]))
    np.testing.assert_array_equal(bits(cm.decode(codes.T, "e5m2")), bits(np.ascontiguousarray(whole.T)))
    assert cm.decode(codes[0, 0, 0], "e5m2").shape == ()
    read_only = codes.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(bits(cm.decode(read_only, "e5m2")), bits(whole))


def test_threads_do_not_matter() -> None:
    codes = np.random.default_rng(5).integers(0, 65536, 400_003, dtype=np.uint16)
    for name in ("bf16", "fp16"):
        one = bits(cm.decode(codes, name, threads=1))
        for threads in (2, 3, 7):
            np.testing.assert_array_equal(bits(cm.decode(codes, name, threads=threads)), one)


def test_out_is_filled_and_returned() -> None:
    codes = np.arange(20, dtype=np.uint8)
    out = np.full(20, -1, np.float32)
    assert cm.decode(codes, "e4m3fn", out=out) is out
    np.testing.assert_array_equal(out, codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32))


@pytest.mark.parametrize(
    ("codes", "fmt", "error", "message"),
    [
        (np.zeros(3, np.uint8), None, TypeError, "cannot tell the format of raw uint8 codes: pass format="),
        (np.zeros(3, np.float32), None, TypeError, "cannot tell the format of raw float32 codes"),
        (
            np.zeros(3, np.uint16),
            "e4m3fn",
            TypeError,
            "codes of float8_e4m3fn have dtype float8_e4m3fn or uint8, got uint16",
        ),
        (np.zeros(3, np.uint8), "bf16", TypeError, "codes of bfloat16 have dtype bfloat16 or uint16, got uint8"),
        (np.zeros(3, ml_dtypes.float8_e5m2), "e4m3fn", TypeError, "got float8_e5m2"),
        (np.zeros(3, np.uint8), "e4m3f", ValueError, "unknown format 'e4m3f'; did you mean 'e4m3fn'"),
        (np.zeros(3, np.uint8), 8, TypeError, "named by a string or given as a record, got int"),
    ],
)
def test_bad_codes_are_named(codes: Array, fmt: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cm.decode(codes, fmt)


@pytest.mark.parametrize("bits_", range(1, 17))
def test_narrow_layouts_of_every_width_know_their_range(bits_: int) -> None:
    # max, smallest and max_exponent of a record are those of its decoded codes
    for exponent_bits in range(1, min(bits_, 7) + 1):
        mantissa_bits = bits_ - exponent_bits
        if mantissa_bits > 10:
            continue
        fmt = FloatFormat("mine", exponent_bits, mantissa_bits, 1, nan="none", signed=mantissa_bits == 0)
        codes = np.arange(1 << fmt.magnitude_bits, dtype=np.uint8 if fmt.bits <= 8 else np.uint16)
        numbers = cm.decode(codes, fmt).astype(np.float64)
        assert (np.diff(numbers) > 0).all()
        assert numbers[-1] == fmt.max
        assert numbers[1] == fmt.smallest
        assert np.frexp(fmt.max)[1] - 1 == fmt.max_exponent
