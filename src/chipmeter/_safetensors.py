"""The safetensors format: what a header may say, checked before a byte of data is touched.

A file is eight bytes of header length (little endian), a JSON header that gives each tensor's dtype, shape and byte
range, and the bytes. The rules are those of the format's README (https://github.com/huggingface/safetensors), which
also asks that byte ranges neither overlap nor leave holes. A checkpoint comes from somebody else: it is data to be
judged, and every refusal names the file, the tensor, what was found and what is accepted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, BinaryIO, Final, NoReturn, TypeVar

import ml_dtypes
import msgspec
import numpy as np

MAX_HEADER_BYTES: Final = 100_000_000
"""The longest header (and shard index) that is read: the limit of the format's reference implementation."""

_MAX_DIMENSIONS = 32  # NumPy 1.x stops here
_MAX_TENSOR_BITS = 2**63 - 1

T = TypeVar("T")


class StoredType(msgspec.Struct, frozen=True):
    """How one safetensors dtype is stored: bits per element, and the NumPy dtype its bytes are given as.

    Where `bits` is less than the NumPy element's, elements are packed and the bytes are given as they lie, as uint8.
    """

    bits: int
    numpy: np.dtype[Any]

    @property
    def packed(self) -> bool:
        """Whether an element is less than a byte."""
        return self.bits < 8 * self.numpy.itemsize


def _whole(dtype: Any) -> StoredType:
    numpy = np.dtype(dtype)
    return StoredType(8 * numpy.itemsize, numpy)


DTYPES: Final[Mapping[str, StoredType]] = MappingProxyType(
    {
        "F64": _whole("<f8"),
        "F32": _whole("<f4"),
        "F16": _whole("<f2"),
        "BF16": _whole(ml_dtypes.bfloat16),
        "F8_E4M3": _whole(ml_dtypes.float8_e4m3fn),
        "F8_E5M2": _whole(ml_dtypes.float8_e5m2),
        "F8_E4M3FNUZ": _whole(ml_dtypes.float8_e4m3fnuz),
        "F8_E5M2FNUZ": _whole(ml_dtypes.float8_e5m2fnuz),
        "F8_E8M0": _whole(ml_dtypes.float8_e8m0fnu),
        "F6_E2M3": StoredType(6, np.dtype(np.uint8)),
        "F6_E3M2": StoredType(6, np.dtype(np.uint8)),
        "F4": StoredType(4, np.dtype(np.uint8)),
        "I64": _whole("<i8"),
        "I32": _whole("<i4"),
        "I16": _whole("<i2"),
        "I8": _whole("i1"),
        "U64": _whole("<u8"),
        "U32": _whole("<u4"),
        "U16": _whole("<u2"),
        "U8": _whole("u1"),
        "BOOL": _whole(np.bool_),
        "C64": _whole("<c8"),
    }
)
"""What the format's dtype names mean. F8_E4M3 is the finite OCP format (ml_dtypes float8_e4m3fn)."""


class TensorInfo(msgspec.Struct, frozen=True):
    """Where one tensor lies.

    Attributes
    ----------
    name : str
    dtype : str
        The format's name, a key of `DTYPES`.
    shape : tuple of int
        In elements, also where elements are packed.
    path : Path
        The file that holds it.
    offset, nbytes : int
        First byte, counted from the start of the file, and length; both in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor's line of the header, as JSON spells it."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


_header_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry_decoder = msgspec.json.Decoder(_Entry)
_metadata_decoder = msgspec.json.Decoder(dict[str, str])


def read_header(path: Path, file: BinaryIO, size: int) -> bytes:
    """Read the JSON bytes at the front of a file of `size` bytes."""
    if size < 8:
        raise ValueError(f"{path}: found {size} bytes; a safetensors file starts with 8 bytes of header length")
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise ValueError(
            f"{path}: found a header of {length} bytes in a file of {size}; accepted is one that ends within the file "
            f"and has at most {MAX_HEADER_BYTES} bytes (not a safetensors file, or truncated)"
        )
    header = file.read(length)
    if header[:1] != b"{":
        raise ValueError(f"{path}: found a header that starts with {header[:1]!r}; accepted is a JSON object, b'{{'")
    return header


def parse_header(path: Path, header: bytes, data_bytes: int) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Check a header that `data_bytes` bytes of data follow, and give its tensors and its metadata."""
    lines = decode(_header_decoder, header, path, "the header")
    refuse_repeated_keys(header, path, "the header")
    metadata: dict[str, str] = {}
    if (line := lines.pop("__metadata__", None)) is not None:
        metadata = decode(_metadata_decoder, line, path, "__metadata__")
    start = 8 + len(header)
    tensors = {name: _tensor(path, name, line, start, data_bytes) for name, line in lines.items()}
    end = start
    for info in sorted(tensors.values(), key=lambda info: (info.offset, info.nbytes)):
        if info.offset != end:
            found = f"{info.offset - start}, {'before' if info.offset < end else 'after'} the end of the one before it"
            refuse(path, info.name, f"found data that begin at byte {found}", f"{end - start}: no overlap and no hole")
        end += info.nbytes
    if end != start + data_bytes:
        raise ValueError(
            f"{path}: found {data_bytes} bytes of data, of which the tensors take {end - start}; both must be equal"
        )
    return tensors, metadata


def _tensor(path: Path, name: str, line: msgspec.Raw, start: int, data_bytes: int) -> TensorInfo:
    """Check one tensor's line against the `data_bytes` bytes that begin at byte `start` of the file."""
    entry = decode(_entry_decoder, line, path, f"tensor {shown(name)}")
    stored = DTYPES.get(entry.dtype)
    if stored is None:
        refuse(path, name, f"found dtype {shown(entry.dtype)}", f"one of {', '.join(DTYPES)}")
    if len(entry.shape) > _MAX_DIMENSIONS:
        refuse(path, name, f"found {len(entry.shape)} dimensions", f"at most {_MAX_DIMENSIONS}")
    # NumPy (and whoever multiplies in 64 bits) sees an overflow of the other dimensions even if one of them is zero.
    if math.prod(d for d in entry.shape if d) * stored.bits > _MAX_TENSOR_BITS:
        refuse(path, name, f"found shape {list(entry.shape)}", "a size below 2**63 bits")
    bits = math.prod(entry.shape) * stored.bits
    if bits % 8:
        refuse(path, name, f"found {bits} bits ({entry.dtype} {list(entry.shape)})", "a whole number of bytes")
    begin, end = entry.data_offsets
    if not begin <= end <= data_bytes:
        refuse(path, name, f"found data_offsets [{begin}, {end}]", f"0 <= begin <= end <= {data_bytes}")
    if end - begin != bits // 8:
        refuse(path, name, f"found {end - begin} bytes", f"{bits // 8}, from {entry.dtype} {list(entry.shape)}")
    return TensorInfo(name, entry.dtype, entry.shape, path, start + begin, end - begin)


def array_shape(shape: tuple[int, ...], stored: StoredType) -> tuple[int, ...]:
    """Give the shape of the NumPy array for a tensor of `shape` elements."""
    if not stored.packed:
        return shape
    if shape and shape[-1] * stored.bits % 8 == 0:
        return (*shape[:-1], shape[-1] * stored.bits // 8)
    return (math.prod(shape) * stored.bits // 8,)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, path: Path, what: str) -> T:
    """Decode JSON into the decoder's type, or refuse it in one sentence that names the file."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        raise ValueError(f"{path}: {what} is not what the format accepts: {printable(str(error), 200)}") from error


def refuse_repeated_keys(raw: bytes, path: Path, what: str) -> None:
    """Refuse JSON objects with a key twice: readers disagree on which of the two counts, and msgspec keeps the last."""

    def check(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            twice = next(key for key, count in Counter(keys).items() if count > 1)
            raise ValueError(f"found the name {shown(twice)} twice; each is accepted once")

    try:
        json.loads(raw.decode(), object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {what}: {printable(str(error), 200)}") from error


def printable(text: str, limit: int) -> str:
    """Escape what a terminal would obey in a stranger's text, and cut it at `limit` characters."""
    escaped = text[:limit].encode("unicode_escape").decode("ascii")
    return escaped if len(text) <= limit else escaped + "..."


def shown(name: str) -> str:
    """Quote a stranger's name so that it can stand in a message."""
    return f"'{printable(name, 80)}'"


def refuse(path: Path, name: str, found: str, accepted: str) -> NoReturn:
    """Raise the one error for a tensor: where, what was found, what is accepted."""
    raise ValueError(f"{path}: tensor {shown(name)}: {found}; accepted: {accepted}")
