"""Checkpoint gives exactly the stored bits of every dtype without copying, and refuses every malformed file in words."""

import json
import os
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipmeter.checkpoint import DTYPES, INDEX_NAME, MAX_HEADER_BYTES, Checkpoint


def file_bytes(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(path: Path, header: object, data: bytes = b"") -> Path:
    path.write_bytes(file_bytes(header, data))
    return path


NUMPY_OF = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "C64": np.complex64,
}


@pytest.mark.parametrize("dtype", NUMPY_OF)
def test_every_whole_dtype_keeps_its_bits(tmp_path: Path, dtype: str) -> None:
    numpy = np.dtype(NUMPY_OF[dtype])
    data = np.random.default_rng(1).integers(0, 256, 6 * numpy.itemsize, np.uint8).tobytes()
    array = Checkpoint(write(tmp_path / "a.safetensors", {"t": entry(dtype, [2, 3], 0, len(data))}, data))["t"]
    assert array.dtype == numpy
    assert array.shape == (2, 3)
    assert array.tobytes() == data
    assert array.flags.aligned
    assert array.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 0


def test_the_table_of_dtypes_is_covered() -> None:
    assert set(DTYPES) == {*NUMPY_OF, "BOOL", "F4", "F6_E2M3", "F6_E3M2"}


@pytest.mark.parametrize(
    ("dtype", "shape", "stored"),
    [
        ("F4", [3, 8], (3, 4)),
        ("F4", [2, 3], (3,)),
        ("F4", [2, 0], (2, 0)),
        ("F6_E2M3", [2, 4], (2, 3)),
        ("F6_E3M2", [4, 3], (9,)),
    ],
)
def test_packed_dtypes_come_as_raw_bytes_and_keep_the_shape_in_elements(
    tmp_path: Path, dtype: str, shape: list[int], stored: tuple[int, ...]
) -> None:
    data = bytes(range(7, 7 + int(np.prod(stored))))
    checkpoint = Checkpoint(write(tmp_path / "a.safetensors", {"t": entry(dtype, shape, 0, len(data))}, data))
    assert checkpoint["t"].dtype == np.uint8
    assert checkpoint["t"].shape == stored
    assert checkpoint["t"].tobytes() == data
    assert checkpoint.tensors["t"].shape == tuple(shape)


def test_bool_is_zero_or_one(tmp_path: Path) -> None:
    header = {"good": entry("BOOL", [3], 0, 3), "bad": entry("BOOL", [2], 3, 5)}
    checkpoint = Checkpoint(write(tmp_path / "a.safetensors", header, bytes([0, 1, 1, 1, 2])))
    assert checkpoint["good"].tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"'bad': found byte 2 in a BOOL; accepted: 0 and 1"):
        checkpoint["bad"]


def test_scalars_empty_tensors_and_empty_files(tmp_path: Path) -> None:
    header = {"none": entry("F32", [0, 5], 0, 0), "one": entry("F32", [], 0, 4), "end": entry("I64", [2, 0], 4, 4)}
    checkpoint = Checkpoint(write(tmp_path / "a.safetensors", header, np.float32(2.5).tobytes()))
    assert checkpoint["none"].shape == (0, 5)
    assert checkpoint["end"].shape == (2, 0)
    assert checkpoint["one"].shape == ()
    assert checkpoint["one"][()] == np.float32(2.5)
    assert len(Checkpoint(write(tmp_path / "b.safetensors", {}))) == 0


def test_arrays_share_the_pages_of_the_file(tmp_path: Path) -> None:
    header = json.dumps({"t": entry("U8", [4], 0, 4)}).encode()
    path = write(tmp_path / "a.safetensors", header, b"abcd")
    array = Checkpoint(path)["t"]
    with path.open("r+b") as file:
        file.seek(8 + len(header))
        file.write(b"z")
    assert array.tobytes() == b"zbcd"


def test_a_misaligned_tensor_is_copied_to_where_its_dtype_may_lie(tmp_path: Path) -> None:
    header = json.dumps({"byte": entry("U8", [1], 0, 1), "word": entry("F32", [2], 1, 9)}).encode()
    header += b" " * (-len(header) % 8)
    values = np.array([1.5, -2.0], np.float32)
    array = Checkpoint(write(tmp_path / "a.safetensors", header, b"x" + values.tobytes()))["word"]
    assert array.flags.aligned
    assert not array.flags.writeable
    assert array.tobytes() == values.tobytes()


def test_opening_reads_headers_only(tmp_path: Path) -> None:
    # 64 GiB of hole: reading it would take minutes.
    header = json.dumps({"big": entry("U8", [2**36], 0, 2**36)}).encode()
    path = write(tmp_path / "a.safetensors", header)
    os.truncate(path, 8 + len(header) + 2**36)
    array = Checkpoint(path)["big"]
    assert array.shape == (2**36,)
    assert array[-1] == 0


def test_metadata_is_kept_apart_from_tensors(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "a.safetensors", {"__metadata__": {"format": "pt"}}))
    assert list(checkpoint) == []
    assert dict(checkpoint.metadata) == {"format": "pt"}


def test_listing_and_unknown_names(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "a.safetensors", {"layer.weight": entry("F16", [1, 2], 0, 4)}, b"abcd"))
    info = checkpoint.tensors["layer.weight"]
    assert (info.name, info.dtype, info.shape, info.nbytes) == ("layer.weight", "F16", (1, 2), 4)
    assert "layer.weight" in checkpoint
    assert "layer.bias" not in checkpoint
    assert "1 tensors, 4 bytes, 1 files" in repr(checkpoint)
    with pytest.raises(ValueError, match=r"unknown tensor 'layer.wieght'; did you mean 'layer.weight'"):
        checkpoint["layer.wieght"]


ONE = entry("F32", [1], 0, 4)
BAD_FILES = {
    "empty": (b"", r"found 0 bytes"),
    "short length": (b"\x02\0\0", r"found 3 bytes"),
    "header past the end": ((100).to_bytes(8, "little") + b"{}", r"header of 100 bytes in a file of 10"),
    "header length 2**64-1": (b"\xff" * 8 + b"{}", r"header of 18446744073709551615 bytes"),
    "empty header": (file_bytes(b""), r"starts with b''"),
    "array": (file_bytes(b"[]"), r"starts with b'\['"),
    "space first": (file_bytes(b" {}"), r"starts with b' '"),
    "cut JSON": (file_bytes(b'{"a":'), r"truncated"),
    "text after JSON": (file_bytes(b"{} x"), r"trailing characters"),
    "not a number": (file_bytes(b'{"a":NaN}'), r"malformed"),
    "not UTF-8 in a name": (file_bytes(b'{"\xff":1}'), r"utf-8"),
    "not UTF-8 in metadata": (file_bytes(b'{"__metadata__":{"a":"\xff"}}'), r"utf-8"),
    "deep": (file_bytes(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), r"recursion"),
    "tensor is a number": (file_bytes({"a": 1}), r"tensor 'a' .*Expected `object`, got `int`"),
    "metadata is not strings": (file_bytes({"__metadata__": {"a": 1}}), r"__metadata__ .*Expected `str`"),
    "no dtype": (file_bytes({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"abcd"), r"missing required field `dtype`"),
    "other field": (file_bytes({"a": {**ONE, "order": "F"}}, b"abcd"), r"unknown field `order`"),
    "unknown dtype": (
        file_bytes({"a": entry("F7", [1], 0, 4)}, b"abcd"),
        r"'a': found dtype 'F7'; accepted: one of F64",
    ),
    "negative size": (file_bytes({"a": entry("F32", [-1], 0, 4)}, b"abcd"), r"'a' .*`int` >= 0 - at `\$.shape\[0\]`"),
    "fractional size": (file_bytes({"a": entry("F32", [1.0], 0, 4)}, b"abcd"), r"got `float`"),
    "true as size": (file_bytes({"a": entry("F32", [True], 0, 4)}, b"abcd"), r"got `bool`"),
    "size of 2**200": (file_bytes({"a": entry("F32", [2**200], 0, 4)}, b"abcd"), r"'a'.*(out of range|2\*\*63)"),
    "product of 2**64": (
        file_bytes({"a": entry("U8", [2**32, 2**32], 0, 0)}),
        r"'a': found shape .*below 2\*\*63 bits",
    ),
    "overflow beside 0": (file_bytes({"a": entry("U8", [0, 2**62, 2**62], 0, 0)}), r"'a': found shape"),
    "many dimensions": (file_bytes({"a": entry("U8", [1] * 33, 0, 1)}, b"a"), r"33 dimensions; accepted: at most 32"),
    "half a byte": (
        file_bytes({"a": entry("F4", [3], 0, 2)}, b"ab"),
        r"12 bits \(F4 \[3\]\); accepted: a whole number",
    ),
    "negative offset": (file_bytes({"a": entry("F32", [1], -4, 0)}, b"abcd"), r"'a' .*data_offsets\[0\]"),
    "offset as text": (file_bytes({"a": {**ONE, "data_offsets": ["0", 4]}}, b"abcd"), r"got `str`"),
    "three offsets": (file_bytes({"a": {**ONE, "data_offsets": [0, 4, 4]}}, b"abcd"), r"length 2"),
    "offsets backwards": (file_bytes({"a": entry("U8", [0], 2, 1)}, b"ab"), r"\[2, 1\]; accepted: 0 <= begin <= end"),
    "offset past the end": (file_bytes({"a": entry("F32", [1], 4, 8)}, b"abcd"), r"\[4, 8\]; .* <= 4"),
    "truncated data": (file_bytes({"a": ONE}, b"abc"), r"'a': found data_offsets \[0, 4\]; .* <= 3"),
    "data too long": (file_bytes({"a": ONE}, b"abcde"), r"found 5 bytes of data, of which the tensors take 4"),
    "shape and bytes differ": (file_bytes({"a": entry("F32", [2], 0, 4)}, b"abcd"), r"'a': found 4 bytes; accepted: 8"),
    "hole in front": (
        file_bytes({"a": entry("F32", [1], 4, 8)}, b"abcdefgh"),
        r"'a': .* byte 4, after .* 0: no overlap",
    ),
    "hole": (
        file_bytes({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"abc"),
        r"'b': .* byte 2, after .*; accepted: 1",
    ),
    "overlap": (
        file_bytes({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"abc"),
        r"'b': .* byte 1, before .*; accepted: 2",
    ),
    "same bytes twice": (
        file_bytes({"a": entry("U8", [2], 0, 2), "b": entry("I8", [2], 0, 2)}, b"ab"),
        r"'b': .* byte 0, before",
    ),
    "name twice": (
        file_bytes(b'{"a":%b,"\\u0061":%b}' % ((json.dumps(ONE).encode(),) * 2), b"abcd"),
        r"found the name 'a' twice",
    ),
    "field twice": (
        file_bytes(b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"abcd"),
        r"found the name 'dtype' twice",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_malformed_files_are_refused_by_name(tmp_path: Path, case: str) -> None:
    raw, message = BAD_FILES[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=re.escape(str(path)) + r": .*" + message):
        Checkpoint(path)


def test_a_long_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{")
    os.truncate(path, 2 * MAX_HEADER_BYTES)
    with pytest.raises(ValueError, match=f"header of {MAX_HEADER_BYTES + 1} bytes .* at most {MAX_HEADER_BYTES} bytes"):
        Checkpoint(path)


def test_a_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;x\x07\n" + "n" * 10_000
    path = write(tmp_path / "a.safetensors", {name: {**ONE, name: 1}}, b"abcd")
    with pytest.raises(ValueError, match="unknown field") as caught:
        Checkpoint(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


GOOD = file_bytes(
    {
        "__metadata__": {"k": "v"},
        "a": entry("F32", [2], 0, 8),
        "b": entry("BOOL", [2], 8, 10),
        "c": entry("F4", [4], 10, 12),
    },
    bytes(range(8)) + b"\0\1xy",
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(GOOD)))
def test_any_damage_is_refused_or_harmless(tmp_path: Path, changes: list[tuple[int, int]], kept: int) -> None:
    raw = bytearray(GOOD)
    for place, value in changes:
        raw[place] = value
    path = tmp_path / "a.safetensors"
    path.unlink(missing_ok=True)  # a new inode: an older map must not see its file shrink
    path.write_bytes(raw[: kept or None])
    refusal, taken = "", 0
    try:
        checkpoint = Checkpoint(path)
        taken = sum(checkpoint[name].nbytes for name in checkpoint)
    except ValueError as error:
        refusal = str(error)
    assert str(path) in refusal or taken == len(path.read_bytes()) - 8 - int.from_bytes(raw[:8], "little")


def shard(folder: Path, file: str, name: str, value: int) -> None:
    write(folder / file, {name: entry("U8", [1], 0, 1), f"{name}.extra": entry("U8", [1], 1, 2)}, bytes([value, 99]))


def test_a_folder_of_shards_without_an_index(tmp_path: Path) -> None:
    shard(tmp_path, "model-1.safetensors", "a", 1)
    shard(tmp_path, "model-2.safetensors", "b", 2)
    checkpoint = Checkpoint(tmp_path)
    assert list(checkpoint) == ["a", "a.extra", "b", "b.extra"]
    assert (checkpoint["a"].item(), checkpoint["b"].item()) == (1, 2)
    shard(tmp_path, "model-3.safetensors", "a", 3)
    with pytest.raises(ValueError, match=r"model-3.safetensors: tensor 'a': found in model-1.safetensors too"):
        Checkpoint(tmp_path)


def test_an_index_says_which_tensors_there_are_and_where(tmp_path: Path) -> None:
    shard(tmp_path, "1.safetensors", "a", 1)
    shard(tmp_path, "2.safetensors", "a", 2)
    weight_map = {"a": "2.safetensors", "a.extra": "1.safetensors"}
    (tmp_path / INDEX_NAME).write_text(json.dumps({"metadata": {"total_size": 2}, "weight_map": weight_map}))
    checkpoint = Checkpoint(tmp_path)
    assert list(checkpoint) == ["a", "a.extra"]
    assert checkpoint["a"].item() == 2


def test_a_shard_may_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    shard(tmp_path / "blobs", "0123", "a", 7)
    (tmp_path / "snapshot" / "m.safetensors").symlink_to(tmp_path / "blobs" / "0123")
    (tmp_path / "snapshot" / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": "m.safetensors"}}))
    assert Checkpoint(tmp_path / "snapshot")["a"].item() == 7


@pytest.mark.parametrize(
    "name",
    ["../out.safetensors", "/etc/out.safetensors", "a/../../out.safetensors", "a\\out.safetensors", "..", "", "m.bin"],
)
def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    shard(tmp_path, "out.safetensors", "a", 1)
    (tmp_path / "in" / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match=r"tensor 'a': found shard .*; accepted: the bare name"):
        Checkpoint(tmp_path / "in")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("[]", r"Expected `object`"),
        ("{", r"truncated"),
        ("{}", r"weight_map"),
        ('{"weight_map": {"a": 1}}', r"Expected `str`"),
        ('{"weight_map": {"a": "1.safetensors", "a": "1.safetensors"}}', r"found the name 'a' twice"),
        ('{"weight_map": {"a": "gone.safetensors"}}', r"'a': found shard 'gone.safetensors', which is not there"),
        ('{"weight_map": {"a": "%s.safetensors"}}' % ("x" * 5000), r"'a': found shard 'xxx.*which is not there"),
        ('{"weight_map": {"a": "x\\u0000.safetensors"}}', r"'a': found shard 'x\\x00.safetensors', which is not there"),
        ('{"weight_map": {"b": "1.safetensors"}}', r"'b': not found in its shard '1.safetensors'"),
    ],
)
def test_malformed_indexes_are_refused_by_name(tmp_path: Path, index: str, message: str) -> None:
    shard(tmp_path, "1.safetensors", "a", 1)
    (tmp_path / INDEX_NAME).write_text(index)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / INDEX_NAME)) + r": .*" + message):
        Checkpoint(tmp_path)


def test_what_is_no_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file or folder; give a \*.safetensors"):
        Checkpoint(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"found no \*.safetensors file in this folder"):
        Checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(ValueError, match="not a regular file"):
        Checkpoint(tmp_path)
