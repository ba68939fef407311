"""GGUF files: metadata, and tensors dequantised to float32.

The layout is that of ggml's docs/gguf.md, versions 2 and 3, little endian. A file comes from somebody else: every count,
length and offset is checked against the file's size before it is used, and what is refused is named.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter._gguf_blocks import TYPES
from chipmeter._names import unknown_name
from chipmeter._safetensors import refuse, shown

__all__ = ["GgufFile", "GgufTensor"]

_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_MAX_DEPTH = 4
_MAX_AXES = 4  # GGML_MAX_DIMS
_MAX_NAME = 65535  # the longest key the format allows


class GgufTensor(msgspec.Struct, frozen=True):
    """Where one tensor lies.

    Attributes
    ----------
    name, type : str
    shape : tuple of int
        Slowest axis first, as in NumPy; the file has it the other way round.
    offset, nbytes : int
        First byte, counted from the start of the file, and length.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class _Reader:
    """A cursor that never leaves the bytes it was given."""

    def __init__(self, path: Path, raw: memoryview) -> None:
        self.path, self.raw, self.at = path, raw, 0

    def need(self, size: int, what: str) -> int:
        """Take `size` bytes; gives where they begin."""
        begin = self.at
        if size > len(self.raw) - begin:
            raise ValueError(f"{self.path}: {what} takes {size} bytes at byte {begin} of a file of {len(self.raw)}")
        self.at += size
        return begin

    def number(self, code: str, what: str) -> Any:
        size = struct.calcsize(code)
        return struct.unpack_from(code, self.raw, self.need(size, what))[0]

    def string(self, what: str, limit: int | None = None) -> str:
        size = self.number("<Q", f"the length of {what}")
        if limit is not None and size > limit:
            raise ValueError(f"{self.path}: {what} has {size} bytes; accepted are at most {limit}")
        begin = self.need(size, what)
        try:
            return bytes(self.raw[begin : begin + size]).decode()
        except UnicodeDecodeError:
            raise ValueError(f"{self.path}: {what} is not UTF-8") from None

    def value(self, kind: int, what: str, depth: int = 0) -> Any:
        if kind in _SCALARS:
            number = self.number(_SCALARS[kind], what)
            if kind == _BOOL and number > 1:
                raise ValueError(f"{self.path}: {what} is a boolean of value {number}; accepted are 0 and 1")
            return bool(number) if kind == _BOOL else number
        if kind == _STRING:
            return self.string(what)
        if kind != _ARRAY or depth == _MAX_DEPTH:
            deep = f"; arrays nest at most {_MAX_DEPTH} deep" if kind == _ARRAY else ""
            raise ValueError(f"{self.path}: {what} has the unknown type {kind}{deep}")
        inner, count = self.number("<I", what), self.number("<Q", what)
        smallest = struct.calcsize(_SCALARS[inner]) if inner in _SCALARS else 8
        if count > (len(self.raw) - self.at) // smallest:  # before a list of that many is made
            raise ValueError(f"{self.path}: {what} has {count} items, more than the file has room for")
        if inner in _SCALARS and inner != _BOOL:
            begin = self.need(count * smallest, what)
            return np.frombuffer(self.raw[begin : self.at], _SCALARS[inner]).tolist()
        return [self.value(inner, what, depth + 1) for _ in range(count)]


class GgufFile(Mapping[str, NDArray[Any]]):
    """The metadata and tensors of a GGUF file.

    Opening reads metadata and tensor descriptions; indexing reads one tensor. F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1
    and MXFP4 come as float32, bit for bit what ggml's `dequantize_row_*` give; F32, F64 and integers as they are stored,
    as read-only views of the file.

    Rounding: the stored integer times the scale, one product in float32; Q4_1 and Q5_1 add their minimum after it. MXFP4
    is exact except where it leaves float32's range.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    path : Path
    version : int
    metadata : mapping of str to bool, int, float, str or list
    tensors : mapping of str to GgufTensor

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it breaks a rule of the format: what was found where, and what is accepted. A
        tensor of a type not listed is described, and refused only when it is indexed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 24:
                raise ValueError(f"{self.path}: found {size} bytes; a GGUF file has at least 24")
            self._raw = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        read = _Reader(self.path, self._raw)
        magic = bytes(self._raw[: read.at + 4])
        read.need(4, "the magic")
        self.version: int = read.number("<I", "the version")
        if magic != b"GGUF" or self.version not in (2, 3):
            raise ValueError(
                f"{self.path}: found magic {magic!r} and version {self.version}; accepted are b'GGUF' and versions 2 "
                f"and 3, little endian"
            )
        tensors, keys = read.number("<Q", "the tensor count"), read.number("<Q", "the metadata count")
        for what, count, least in (("tensors", tensors, 24), ("metadata keys", keys, 13)):
            if count > size // least:
                raise ValueError(f"{self.path}: found {count} {what}, more than the file has room for")
        metadata: dict[str, Any] = {}
        for _ in range(keys):
            key = read.string("a metadata key", _MAX_NAME)
            if key in metadata:
                raise ValueError(f"{self.path}: found the key {shown(key)} twice; each is accepted once")
            metadata[key] = read.value(read.number("<I", f"the type of {shown(key)}"), shown(key))
        self.metadata: Mapping[str, Any] = MappingProxyType(metadata)
        lines = [self._line(read) for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment <= 0 or alignment % 8:
            raise ValueError(f"{self.path}: general.alignment is {alignment!r}; accepted is a positive multiple of 8")
        start = -(-read.at // alignment) * alignment
        self.tensors: Mapping[str, GgufTensor] = MappingProxyType(self._place(lines, start, alignment, size))

    def _line(self, read: _Reader) -> tuple[str, tuple[int, ...], int, int]:
        """Read name, shape, type and offset of one tensor."""
        name = read.string("a tensor's name", _MAX_NAME)
        axes = read.number("<I", f"the axes of {shown(name)}")
        if axes > _MAX_AXES:
            refuse(self.path, name, f"found {axes} axes", f"at most {_MAX_AXES}")
        shape = tuple(read.number("<Q", f"the shape of {shown(name)}") for _ in range(axes))[::-1]
        return name, shape, read.number("<I", "a type"), read.number("<Q", "an offset")

    def _place(
        self, lines: list[tuple[str, tuple[int, ...], int, int]], start: int, alignment: int, size: int
    ) -> dict[str, GgufTensor]:
        """Check where tensors lie: inside the file, aligned, none over another."""
        found: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in lines:
            if name in found:
                refuse(self.path, name, "found twice", "each name once")
            if offset % alignment:
                refuse(self.path, name, f"found offset {offset}", f"a multiple of {alignment}")
            if math.prod(n for n in shape if n) >= 2**60:
                refuse(self.path, name, f"found shape {list(shape)}", "fewer than 2**60 elements")
            known = TYPES.get(kind)
            nbytes = 0
            if known is not None:
                row = shape[-1] if shape else 1
                if row % known.elements:
                    accepted = f"rows of a multiple of {known.elements} elements"
                    refuse(self.path, name, f"found {known.name} of shape {list(shape)}", accepted)
                nbytes = math.prod(shape) // known.elements * known.nbytes
            if start + offset + nbytes > size:
                refuse(self.path, name, f"found bytes {start + offset}..{start + offset + nbytes}", f"up to {size}")
            found[name] = GgufTensor(name, known.name if known else f"type {kind}", shape, start + offset, nbytes)
        end, last = 0, ""
        for info in sorted(found.values(), key=lambda info: (info.offset, info.nbytes)):
            if info.nbytes and info.offset < end:
                refuse(self.path, info.name, f"found over the bytes of {shown(last)}", "no overlap")
            end, last = max(end, info.offset + info.nbytes), info.name
        return found

    def __getitem__(self, name: str) -> AnyArray:
        info = self.tensors.get(name)
        if info is None:
            raise unknown_name("tensor", name, self.tensors)
        known = next((t for t in TYPES.values() if t.name == info.type), None)
        if known is None:
            refuse(self.path, name, f"found {info.type}", ", ".join(t.name for t in TYPES.values()))
        raw = np.frombuffer(self._raw, np.uint8, info.nbytes, info.offset)
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = raw if known.elements == 1 else raw.reshape(-1, known.nbytes)
            return np.asarray(known.decode(blocks)).reshape(info.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        return f"GgufFile({str(self.path)!r}: version {self.version}, {len(self)} tensors)"
