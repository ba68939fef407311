"""Damaged, lying or hostile recordings give one ValueError that names the file and what is wrong with it."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chipmeter.verify import layout, verify

Index = dict[str, Any]


def cast_recording() -> tuple[Index, dict[str, np.ndarray]]:
    """Make the smallest quantisation recording: one cast."""
    x = np.float32([1, 2, 3])
    entry = {"dtype": "uint8", "shape": [3], "library": "ml_dtypes", "version": "0", "op": "ndarray.astype"}
    entry["params"] = {"src": "float32", "dst": "float8_e4m3fn"}
    arrays = {"x": {"dtype": "uint32", "shape": [3], "role": "input"}, "y": entry}
    index = {"format": "chipmeter-golden-quantisation/1", "files": {"a.npz": {"arrays": arrays}}}
    return index, {"x": x.view(np.uint32), "y": np.uint8([0x38, 0x40, 0x44])}


def store(folder: Path, index: Any, arrays: dict[str, np.ndarray], file: str = "a.npz") -> Path:
    """Write a recording."""
    (folder / "index.json").write_text(index if isinstance(index, str) else json.dumps(index))
    np.savez(folder / file, **arrays)
    return folder


def test_the_smallest_recording_is_read(tmp_path: Path) -> None:
    (row,) = verify(store(tmp_path, *cast_recording())).rows
    assert (row.name, row.compared, row.mismatches) == ("a.npz:y", 3, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "index.json: Input data was truncated"),
        ("[]", r"index.json: Expected `object`, got `array`"),
        ('{"format": 7}', r"index.json: Expected `str`, got `int` - at `\$.format`"),
        ('{"format": "something/9"}', "index.json: unknown format 'something/9'; known: mmasim-golden/1, hw-vectors/1"),
        ("{}", "index.json: unknown format ''"),
        ('{"format": "hw-vectors/1"}', "index.json: Object missing required field `sets`"),
        ('{"format": "hw-vectors/1", "sets": [{"gpu": "x"}]}', r"missing required field `arch` - at `\$.sets\[0\]`"),
        ('{"format": "mmasim-golden/1", "rows": [{"file": 3}]}', r"Expected `str`, got `int` - at `\$.rows\[0\].file`"),
        ('{"format": "x", "records": [{"count": -1, "file": "f"}]}', r"at `\$.records\[0\].count`"),
        ('{"format": "x", "y": ' + "[" * 100_000 + "]" * 100_000 + "}", "index.json: "),
        ("\x00\xff", "index.json: "),
    ],
)
def test_a_bad_index_names_the_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        verify(store(tmp_path, text, {}))


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no index\.json in"):
        verify(tmp_path)


def test_an_index_of_absurd_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_INDEX_BYTES", 10)
    with pytest.raises(ValueError, match="more than the 10 an index may have"):
        verify(store(tmp_path, *cast_recording()))


def set_entry(name: str, value: Any) -> Callable[[Index], None]:
    """Change a field of the output's entry."""

    def change(index: Index) -> None:
        index["files"]["a.npz"]["arrays"]["y"][name] = value

    return change


def rename(name: str) -> Callable[[Index], None]:
    """Let the index name another file."""

    def change(index: Index) -> None:
        index["files"] = {name: index["files"]["a.npz"]}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry("shape", [4]), r"a\.npz: array 'y' must have shape \(4\), got \(3,\)"),
        (set_entry("shape", [3, 1]), r"a\.npz: array 'y' must have shape \(3, 1\), got \(3,\)"),
        (set_entry("shape", [-3]), r"at `\$\.files\[\.\.\.\]\.arrays\[\.\.\.\]\.shape\[0\]`"),
        (set_entry("shape", [1 << 70]), "index.json: "),
        (set_entry("dtype", "uint16"), r"a\.npz: array 'y' must have dtype uint16, got uint8"),
        (set_entry("dtype", "object"), "dtype must be an integer of 8 to 64 bits, got 'object'"),
        (set_entry("params", {"dst": "float8_e4m3fn"}), r"a\.npz: array 'y': params\.src must be a string, got 'None'"),
        (
            set_entry("params", {"src": 1, "dst": "float16"}),
            r"a\.npz: array 'y': params\.src must be a string, got '1'",
        ),
        (
            set_entry("params", {"src": "float16", "dst": "float8_e5m2"}),
            "input 'x' must hold float16 as uint16, got uint32",
        ),
        (set_entry("params", []), r"Expected `object`, got `array`"),
        (rename("b.npz"), r"b\.npz: not a readable npz file"),
        (rename(""), "not a readable npz file"),
        (rename("../outside.npz"), r"'\.\./outside\.npz' named by .*index\.json lies outside"),
        (rename("/etc/hostname"), "'/etc/hostname' named by .*index.json lies outside"),
        (rename("link.npz"), "'link.npz' named by .*index.json lies outside"),
        (rename("a\x00.npz"), "not a readable npz file"),
        (rename("index.json"), "index.json: not a readable npz file"),
        (lambda index: index["files"]["a.npz"]["arrays"].pop("x"), r"a\.npz: array 'y': .* refers to array 'x'"),
    ],
)
def test_an_index_that_lies_about_its_files(tmp_path: Path, change: Callable[[Index], object], message: str) -> None:
    index, arrays = cast_recording()
    np.savez(tmp_path / "outside.npz", **arrays)
    folder = tmp_path / "recording"
    folder.mkdir()
    (folder / "link.npz").symlink_to(tmp_path / "outside.npz")
    change(index)
    with pytest.raises(ValueError, match=message):
        verify(store(folder, index, arrays))


def test_a_parameter_of_absurd_size_fails_before_it_is_used(tmp_path: Path) -> None:
    index, arrays = cast_recording()
    set_entry("library", "CPFloat")(index)
    set_entry("op", "cpfloatf (float32 bits of the rounded value)")(index)
    set_entry("params", {"precision": 10**12, "emax": 15, "emin": -14, "round": "ToOdd"})(index)
    with pytest.raises(
        ValueError, match=r"array 'y': params\.precision must be an integer in 2\.\.11, got '1000000000000'"
    ):
        verify(store(tmp_path, index, arrays))


def member(header: bytes, data: bytes = b"") -> bytes:
    """Spell out an npy file with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


class Bomb:
    """Executes code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was executed",))


OBJECTS = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n"
HUGE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }\n"
NEGATIVE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3,), }\n"
SHORT = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n"
CODE = b"__import__('os').system('exit')\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "array 'y' is damaged"),
        (b"not an array", "array 'y' is damaged"),
        (member(OBJECTS, pickle.dumps(Bomb())), "array 'y' is damaged: dtype object is not plain numbers"),
        (member(HUGE, b"123"), r"array 'y' is damaged: shape \(1099511627776,\) does not fit its"),
        (member(NEGATIVE, b"123"), "array 'y' is damaged: shape"),
        (member(SHORT, b"12"), "array 'y' is damaged: shape"),
        (member(CODE), "array 'y' is damaged"),
        (member(b"[" * 60_000), "array 'y' is damaged"),
        (b"\x93NUMPY\x03\x00" + member(SHORT, b"123")[8:], "array 'y' is damaged: npy version"),
        (None, "array 'y' is missing"),
    ],
)
def test_an_array_that_lies_about_itself(tmp_path: Path, content: bytes | None, message: str) -> None:
    index, arrays = cast_recording()
    (tmp_path / "index.json").write_text(json.dumps(index))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        buffer = io.BytesIO()
        np.save(buffer, arrays["x"])
        archive.writestr("x.npy", buffer.getvalue())
        if content is not None:
            archive.writestr("y.npy", content)
    with pytest.raises(ValueError, match=message):
        verify(tmp_path)


def test_an_array_larger_than_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_ARRAY_BYTES", 100)
    with pytest.raises(ValueError, match=r"a\.npz: array 'y' has .* bytes, more than 100"):
        verify(store(tmp_path, *cast_recording()))


def test_a_damaged_file_is_found_by_its_checksum(tmp_path: Path) -> None:
    store(tmp_path, *cast_recording())
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[raw.rindex(np.uint8([0x38, 0x40, 0x44]).tobytes())] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(ValueError, match=r"array 'y' is damaged: .*CRC"):
        verify(tmp_path)


def test_fortran_order_and_foreign_byte_order_are_read_as_numbers(tmp_path: Path) -> None:
    index, arrays = cast_recording()
    for name, entry in index["files"]["a.npz"]["arrays"].items():
        entry["shape"] = [3, 2]
        arrays[name] = np.asfortranarray(np.stack([arrays[name], arrays[name]], axis=1))
    arrays["x"] = arrays["x"].astype(">u4")
    (row,) = verify(store(tmp_path, index, arrays)).rows
    assert (row.compared, row.mismatches) == (6, 0)


def matrix_recording() -> tuple[Index, dict[str, np.ndarray]]:
    """Make the smallest matrix recording: one tile of one instruction."""
    row = {"file": "a.npz", "D": "D0", "arch": "Volta", "family": "mma.sync", "inst": "m8n8k4.f32.f16.f16.f32"}
    row |= {"a": "f16", "b": "f16", "c": "f32", "d": "f32", "K": 4, "tiles": 1, "tile_M": 2, "tile_N": 3}
    arrays = {"A": np.zeros((1, 2, 4), np.uint16), "B": np.zeros((1, 4, 3), np.uint16)}
    arrays |= {"C": np.zeros((1, 2, 3), np.uint32), "D0": np.zeros((1, 2, 3), np.uint32)}
    return {"format": "mmasim-golden/1", "rows": [row]}, arrays


def test_the_smallest_matrix_recording_is_read(tmp_path: Path) -> None:
    (row,) = verify(store(tmp_path, *matrix_recording())).rows
    assert (row.compared, row.mismatches, row.note) == (6, 0, "unit volta/mma.f16.f16.f32.f32, a.npz:D0")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("A", np.zeros((1, 2, 5), np.uint16), r"array 'A' must have shape \(1, 2, 4\), got \(1, 2, 5\)"),
        ("B", np.zeros((1, 4, 3), np.uint32), "array 'B' must have dtype uint16, got uint32"),
        ("C", np.zeros((1, 2, 3), np.float32), "array 'C' must have dtype uint32, got float32"),
        ("D0", np.zeros((1, 3, 2), np.uint32), r"array 'D0' must have shape \(1, 2, 3\), got \(1, 3, 2\)"),
        ("D0", None, "array 'D0' is missing"),
    ],
)
def test_a_matrix_recording_that_lies(tmp_path: Path, name: str, array: np.ndarray | None, message: str) -> None:
    index, arrays = matrix_recording()
    arrays |= {} if array is None else {name: array}
    if array is None:
        del arrays[name]
    with pytest.raises(ValueError, match=message):
        verify(store(tmp_path, index, arrays))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8])
def test_excluded_outputs_are_in_no_count(tmp_path: Path, dtype: type) -> None:
    index, arrays = matrix_recording()
    index["rows"][0]["exclude_mask"] = "X0"
    arrays["D0"][0, 1, 2] = 1
    arrays["X0"] = (arrays["D0"] != 0).astype(dtype)
    (row,) = verify(store(tmp_path, index, arrays)).rows
    assert (row.compared, row.mismatches, row.unsupported) == (5, 0, 0)


@pytest.mark.parametrize("size", ["tile_M", "tile_N"])
def test_empty_tiles_are_refused(tmp_path: Path, size: str) -> None:
    index, arrays = matrix_recording()
    del index["rows"][0][size]
    shapes = {"A": (1, 0, 4)} if size == "tile_M" else {"B": (1, 4, 0)}
    arrays |= {name: np.zeros(shape, np.uint16) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=r"a\.npz: tiles of \d x \d outputs"):
        verify(store(tmp_path, index, arrays))


def test_no_tiles_is_nothing_compared(tmp_path: Path) -> None:
    index, arrays = matrix_recording()
    index["rows"][0]["tiles"] = 0
    (row,) = verify(store(tmp_path, index, {name: array[:0] for name, array in arrays.items()})).rows
    assert (row.compared, row.mismatches, row.unsupported) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 3}, "x.npz: input shape .* does not fit 3 ranks"),
        ({"count": 5}, "does not fit|do not fit"),
        ({"root": 2}, "root 2 is not one of 2 ranks"),
        ({"input": "z.npz"}, "z.npz: not a readable npz file"),
        ({"key": "w"}, "array 'w' is missing"),
        ({"dtype": "float64"}, "must have numbers of 8 bytes"),
        ({"input_columns": [0, 9]}, "do not fit columns 0 to 9"),
        ({"n": -1}, r"at `\$.records\[0\].n`"),
    ],
)
def test_a_lying_collective_is_refused(tmp_path: Path, change: Index, message: str) -> None:
    record = {"file": "a.npz", "input": "x.npz", "library_key": "gloo", "collective": "allreduce", "name": "ring"}
    record |= {"n": 2, "count": 4, "dtype": "float32", "op": "sum"}
    np.savez(tmp_path / "x.npz", x=np.ones((2, 4), np.float32))
    np.savez(tmp_path / "a.npz", y=np.full(4, 2, np.float32))
    (tmp_path / "index.json").write_text(json.dumps({"records": [record]}))
    assert verify(tmp_path).agrees
    (tmp_path / "index.json").write_text(json.dumps({"records": [record | change]}))
    with pytest.raises(ValueError, match=message):
        verify(tmp_path)
