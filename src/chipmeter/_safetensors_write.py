"""Writing safetensors: the header that `_safetensors` reads back, and files that are whole or not there.

Bytes go to a file beside the target, which takes the target's name when everything is on the disk: whoever looks sees
the old file or the new one, after a crash too.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import msgspec
import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._packing import pack_codes
from chipmeter._safetensors import DTYPES, MAX_HEADER_BYTES

ALIGNMENT: Final = 8
"""The header is padded so that data begin at a multiple of this."""

_PACKED = {
    np.dtype(ml_dtypes.float4_e2m1fn): ("F4", 4),
    np.dtype(ml_dtypes.float6_e2m3fn): ("F6_E2M3", 6),
    np.dtype(ml_dtypes.float6_e3m2fn): ("F6_E3M2", 6),
}
_WHOLE = {stored.numpy: name for name, stored in DTYPES.items() if not stored.packed}


class Entry(msgspec.Struct, frozen=True):
    """One tensor of a file to be: `begin` and `end` are bytes from the start of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def stored_as(array: AnyArray, name: str) -> tuple[str, AnyArray]:
    """Give the format's dtype for an array, and the bytes it is stored as.

    The 4- and 6-bit floats of ml_dtypes are packed (F4, F6_E2M3, F6_E3M2).

    Raises
    ------
    ValueError
        For a dtype that the format has no name for, and for 4- and 6-bit floats that do not fill whole bytes.

    Examples
    --------
    >>> stored_as(np.zeros(4, ml_dtypes.float6_e2m3fn), "x")
    ('F6_E2M3', array([0, 0, 0], dtype=uint8))
    """
    if (packed := _PACKED.get(array.dtype)) is not None:
        if array.size * packed[1] % 8:
            raise ValueError(
                f"tensor {name!r}: {array.size} elements of {array.dtype} do not fill whole bytes; the format accepts "
                f"a multiple of {8 // math.gcd(8, packed[1])}"
            )
        return packed[0], pack_codes(array, packed[1])
    dtype = _WHOLE.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise ValueError(
            f"tensor {name!r}: dtype {array.dtype} has no name in the format; accepted are {', '.join(DTYPES)}"
        )
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return dtype, np.ascontiguousarray(little).reshape(-1).view(np.uint8)


def header_bytes(entries: Iterable[Entry], metadata: Mapping[str, str], room: int | None = None) -> bytes:
    """Build the file's first bytes: length and JSON, padded with spaces to `ALIGNMENT` or to exactly `room` bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    size = -(-(8 + len(text)) // ALIGNMENT) * ALIGNMENT if room is None else room
    if 8 + len(text) > size or size - 8 > MAX_HEADER_BYTES:
        raise ValueError(f"the header takes {len(text)} bytes; accepted are at most {min(size - 8, MAX_HEADER_BYTES)}")
    return (size - 8).to_bytes(8, "little") + text.ljust(size - 8)


def check_names(names: Iterable[str]) -> None:
    """Refuse names that the format cannot hold."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tensors are named by strings, got {type(name).__name__}")
        if name == "__metadata__":
            raise ValueError("'__metadata__' names the metadata and cannot name a tensor")


def write_file(path: Path, arrays: Mapping[str, AnyArray], metadata: Mapping[str, str], overwrite: bool) -> None:
    """Write a file of arrays, whole or not at all; tensors of wider elements come first, so that all are aligned."""
    check_names(arrays)
    refuse_existing(path, overwrite)
    order = sorted(arrays, key=lambda name: -np.asarray(arrays[name]).dtype.itemsize)
    entries: list[Entry] = []
    pieces: list[AnyArray] = []
    at = 0
    for name in order:
        array = np.asarray(arrays[name])
        dtype, raw = stored_as(array, name)
        entries.append(Entry(name, dtype, array.shape, at, at + raw.nbytes))
        pieces.append(raw)
        at += raw.nbytes
    partial = path.with_name(path.name + f".{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            file.write(header_bytes(entries, metadata))
            for piece in pieces:
                file.write(piece.data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if something lies at `path` and may not be replaced; a device or a pipe never may."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(f"{path}: neither a file nor a folder, and not replaced")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path}: already exists; pass overwrite=True (--overwrite) to replace it")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
