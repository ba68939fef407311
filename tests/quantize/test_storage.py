"""Quantised tensors survive safetensors bit for bit in every format; files that lie are refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter._packing import pack_codes, unpack_codes
from chipmeter._safetensors_write import header_bytes
from chipmeter.checkpoint import Checkpoint
from chipmeter.quantize import RECIPES, load, save
from chipmeter.quantize.choose import fits
from chipmeter.quantize.storage import METADATA_KEY


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 4, 6, 8]), st.lists(st.integers(0, 255), max_size=40))
def test_packing_is_the_obvious_stream_of_bits(bits: int, codes: list[int]) -> None:
    codes = [c & ((1 << bits) - 1) for c in codes]
    stream = sum(c << (i * bits) for i, c in enumerate(codes))
    packed = pack_codes(np.uint8(codes), bits)
    assert packed.tobytes() == stream.to_bytes(-(-len(codes) * bits // 8), "little")
    assert unpack_codes(packed, bits, len(codes)).tolist() == codes


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("shape", [(6, 64), (3, 35), (1,), (2, 3, 33)])
def test_every_recipe_comes_back_bit_for_bit(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for axis in (-1, 0):
        if not fits(RECIPES[name], shape, axis):
            continue
        q = cm.quantize(x, name, axis=axis)
        file = tmp_path / f"{axis}.safetensors"
        save(file, {"layer.w": q, "b": x}, metadata={"made": "here"})
        back = load(file)
        assert back["layer.w"] == q
        assert list(back) == ["b", "layer.w"] or set(back) == {"b", "layer.w"}
        assert back["b"].tobytes() == x.tobytes()
        assert back.checkpoint.metadata["made"] == "here"


def test_custom_recipes_travel_whole(tmp_path: Path) -> None:
    x = np.random.default_rng(2).standard_normal((4, 40)).astype(np.float32)
    q = cm.quantize(x, replace(RECIPES["mxfp4"], name="mine", block=5, rule="even"))
    save(tmp_path / "a.safetensors", {"w": q})
    assert load(tmp_path / "a.safetensors")["w"].recipe == q.recipe


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (ml_dtypes.float4_e2m1fn, "F4"),
        (ml_dtypes.float6_e2m3fn, "F6_E2M3"),
        (ml_dtypes.float6_e3m2fn, "F6_E3M2"),
        (ml_dtypes.float8_e4m3fn, "F8_E4M3"),
        (ml_dtypes.float8_e5m2, "F8_E5M2"),
        (ml_dtypes.float8_e4m3fnuz, "F8_E4M3FNUZ"),
        (ml_dtypes.float8_e8m0fnu, "F8_E8M0"),
        (ml_dtypes.bfloat16, "BF16"),
        (">f4", "F32"),
        (np.bool_, "BOOL"),
    ],
)
def test_every_narrow_dtype_is_written_and_read(tmp_path: Path, dtype: Any, stored: str) -> None:
    array = (np.arange(16).reshape(2, 8) % 2).astype(np.float32).astype(dtype)
    save(tmp_path / "a.safetensors", {"t": array})
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.tensors["t"].dtype == stored
    assert checkpoint.tensors["t"].shape == (2, 8)
    np.testing.assert_array_equal(checkpoint.elements("t").astype(np.float32), array.astype(np.float32))


def test_an_output_that_exists_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"a.safetensors: already exists; pass overwrite=True"):
        save(file, {"t": np.zeros(2, np.float32)})
    assert file.read_bytes() == b"mine"
    save(file, {"t": np.zeros(2, np.float32)}, overwrite=True)
    assert load(file)["t"].tolist() == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"t": np.zeros(2, np.complex128)}, "tensor 't': dtype complex128 has no name"),
        ({"t": np.zeros(3, ml_dtypes.float4_e2m1fn)}, "3 elements of float4_e2m1fn do not fill whole bytes"),
        ({"__metadata__": np.zeros(3)}, "cannot name a tensor"),
        (
            {"w.scales": np.zeros(3), "w": cm.quantize(np.ones(32, np.float32), "mxfp8")},
            "two tensors would be stored as 'w.scales'",
        ),
    ],
)
def test_what_cannot_be_stored_is_named_and_nothing_written(
    tmp_path: Path, tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "a.safetensors", tensors)
    assert not list(tmp_path.iterdir())


def forge(path: Path, change: dict[str, Any] | str) -> Path:
    """Write a good file and then other metadata over the same bytes."""
    save(path, {"w": cm.quantize(np.ones((2, 32), np.float32), "nvfp4")})
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    text = change
    if isinstance(change, dict):
        directory = json.loads(header["__metadata__"][METADATA_KEY])
        for place, value in change.items():
            at: Any = directory
            *keys, last = place.split("/")
            for key in keys:
                at = at[int(key) if isinstance(at, list) else key]
            at[last] = value
        text = json.dumps(directory)
    header["__metadata__"][METADATA_KEY] = text
    text_bytes = json.dumps(header).encode()
    path.write_bytes(len(text_bytes).to_bytes(8, "little") + text_bytes + raw[8 + size :])
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[]", "metadata chipmeter.quantized"),
        ("[" * 100000, "metadata chipmeter.quantized"),
        ({"version": 2}, "written as version 2"),
        ({"tensors/w/recipe": 7}, "names recipe 7 of 1"),
        ({"tensors/w/parts/codes/tensor": "gone"}, "not all of its parts are stored"),
        ({"tensors/w/parts/codes/shape": [2, 31]}, "described as"),
        ({"tensors/w/parts/codes/shape": [2, -32]}, "cannot be"),
        ({"tensors/w/parts/codes/bits": 2}, "bytes do not hold"),
        ({"tensors/w/parts/codes/bits": 5}, "5-bit codes"),
        ({"tensors/w/parts/codes/dtype": "object_"}, "cannot be"),
        ({"tensors/w/parts/codes/dtype": "nothing"}, "unknown format 'nothing'"),
        ({"tensors/w/parts/scales/shape": [4]}, "described as"),
        ({"tensors/w/values/axis": 9}, "axis must lie in 0..1"),
        ({"tensors/w/values/axis": "x"}, "axis must lie in 0..1"),
        ({"tensors/w/values/axis": 0}, "scales of the wrong shape"),
        ({"tensors/w/values/other": 0}, "unknown field 'other'"),
        ({"recipes/0/element": "float8_e4m3fn"}, "stands over float4_e2m1fn elements"),
        ({"recipes/0/block": -1}, "block must be positive"),
        ({"recipes/0/block": 8}, "scales of the wrong shape"),
    ],
)
def test_descriptions_that_lie_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = forge(tmp_path / "a.safetensors", change)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)["w"]
    assert str(path) in str(caught.value)


def test_a_header_is_padded_to_the_room_it_was_promised() -> None:
    assert len(header_bytes([], {"a": "b"}, 64)) == 64
    with pytest.raises(ValueError, match="accepted are at most"):
        header_bytes([], {"a": "b" * 64}, 64)
