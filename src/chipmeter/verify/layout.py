"""How recordings lie on disk: an index.json of a known format beside npz files. Both are data from strangers."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import numpy as np

from chipmeter._arrays import AnyArray

MAX_INDEX_BYTES = 64 << 20
MAX_ARRAY_BYTES = 1 << 30

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class MatrixRow(msgspec.Struct, frozen=True):
    """One instruction: `tiles` products D = A @ B + C of tile_M x tile_N outputs, as raw bits."""

    file: str
    D: str
    arch: str
    family: str
    inst: str
    a: str
    b: str
    c: str
    d: str
    K: Size
    nan_policy: str = "bit-exact canonical"
    scale_type: str | None = None
    scale_block: Size | None = None
    tiles: Count | None = None
    tile_M: Size | None = None
    tile_N: Size | None = None
    exclude_mask: str | None = None


class GemmCase(msgspec.Struct, frozen=True):
    """One ragged GEMM: a chain of instructions over zero-padded K; arrays `id_A`, `id_B` and so on."""

    id: str
    family: str
    arch: str
    inst: str
    M: Size
    N: Size
    K: Size
    arrays: tuple[str, ...] = ()
    packing: str | None = None


class GemmIndex(msgspec.Struct, frozen=True):
    """The ragged GEMMs of a matrix recording."""

    file: str
    cases: tuple[GemmCase, ...]


class MatrixIndex(msgspec.Struct, frozen=True):
    """Index of matrix-unit recordings, format `mmasim-golden/1`."""

    rows: tuple[MatrixRow, ...]
    gemm: GemmIndex | None = None


class HardwareSet(msgspec.Struct, frozen=True):
    """Dot products recorded on one device: D[i] = A[i] . B[i] + C[i]; fields A to D name arrays."""

    gpu: str
    arch: str
    a: str
    b: str
    c: str
    d: str
    K: Size
    path: str
    A: str
    B: str
    C: str
    D: str
    n: Count | None = None
    unit: str | None = None


class HardwareIndex(msgspec.Struct, frozen=True):
    """Index of device recordings, format `hw-vectors/1`; the arrays lie in `file`."""

    sets: tuple[HardwareSet, ...]
    file: str = "hw.npz"


class ArrayEntry(msgspec.Struct, frozen=True):
    """One array of a quantisation recording: an input, or the output of `op` of `library` with `params`."""

    dtype: str
    shape: tuple[Count, ...]
    role: str = "output"
    library: str = ""
    version: str = ""
    op: str = ""
    params: dict[str, Any] = {}


class FileEntry(msgspec.Struct, frozen=True):
    """One npz file of a quantisation recording."""

    arrays: dict[str, ArrayEntry]


class QuantisationIndex(msgspec.Struct, frozen=True):
    """Index of quantisation recordings, format `chipmeter-golden-quantisation/1`."""

    files: dict[str, FileEntry]


class CollectiveRecord(msgspec.Struct, frozen=True):
    """One recorded collective: a library's algorithm over n ranks of `count` elements."""

    file: str
    count: Count = 1
    input: str = ""
    library_key: str = ""
    collective: str = ""
    name: str = ""
    n: Count = 0
    dtype: str = "float32"
    op: str = ""
    ops: tuple[str, ...] = ()
    root: Count | None = None
    input_columns: tuple[Count, Count] | None = None
    input_transform: str = "none"
    key: str = "y"
    input_key: str = "x"


class CollectivesIndex(msgspec.Struct, frozen=True):
    """Index of recorded collectives, which has a list `records`."""

    records: tuple[CollectiveRecord, ...]


Index = MatrixIndex | HardwareIndex | QuantisationIndex | CollectivesIndex

_FORMATS: dict[str, type[MatrixIndex | HardwareIndex | QuantisationIndex]] = {
    "mmasim-golden/1": MatrixIndex,
    "hw-vectors/1": HardwareIndex,
    "chipmeter-golden-quantisation/1": QuantisationIndex,
}


class _Head(msgspec.Struct):
    format: str = ""
    records: msgspec.Raw = msgspec.Raw(b"")


def read_index(path: Path) -> Index:
    """Read an index.json of any known format.

    Raises
    ------
    ValueError
        Naming the file, and the field that is missing or of the wrong type.
    """
    try:
        size = path.stat().st_size
        if size > MAX_INDEX_BYTES:
            raise ValueError(f"{path} has {size} bytes, more than the {MAX_INDEX_BYTES} an index may have")
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        head = msgspec.json.decode(text, type=_Head)
        kind: type[Index] | None = _FORMATS.get(head.format)
        if kind is None and bytes(head.records)[:1] == b"[":
            kind = CollectivesIndex
        if kind is None:
            raise ValueError(f"{path}: unknown format {head.format[:80]!r}; known: {', '.join(_FORMATS)}")
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None


class Archive:
    """One npz file, read array by array with every claim of its headers checked before memory is spent on it.

    Parameters
    ----------
    directory : Path
        The recording's folder. `name` may not lead out of it.
    name : str

    Raises
    ------
    ValueError
        Naming the file, and the array if one is at fault.
    """

    def __init__(self, directory: Path, name: str) -> None:
        root = directory.resolve()
        try:
            self.path = (root / name).resolve()
            inside = self.path.is_relative_to(root)
            self._zip = zipfile.ZipFile(self.path) if inside else None
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{directory / name}: not a readable npz file ({error})") from None
        if not inside:
            raise ValueError(f"{name!r} named by {directory / 'index.json'} lies outside {directory}")
        self.name = name
        self._read: dict[str, AnyArray] = {}

    def close(self) -> None:
        """Close the file."""
        if self._zip is not None:
            self._zip.close()

    def read(self, key: str, dtype: str, shape: tuple[int | None, ...]) -> AnyArray:
        """Read one array and check it.

        Parameters
        ----------
        key : str
        dtype : str
            What the index says, for example "uint8". Signed and unsigned integers of one width are both raw bits, and so are flags.
        shape : tuple
            None where any length is right.

        Raises
        ------
        ValueError
            If the array is missing, damaged, too large, or of another dtype or shape.
        """
        if key not in self._read:
            self._read[key] = self._load(key)
        array = self._read[key]
        given, wanted = (array.dtype.kind, array.dtype.itemsize), integer_dtype(dtype, f"{self.name}:{key}")
        if given[0] not in "bui" or given[1] != wanted.itemsize:
            raise ValueError(f"{self.path}: array {key!r} must have dtype {wanted}, got {array.dtype}")
        if len(shape) != array.ndim or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
            want = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{self.path}: array {key!r} must have shape ({want}), got {array.shape}")
        return array.view(wanted)

    def numbers(self, key: str, item: int) -> AnyArray:
        """Read an array of numbers of `item` bytes, of any shape, as raw bits."""
        array = self._load(key)
        if array.dtype.itemsize != item:
            raise ValueError(f"{self.path}: array {key!r} must have numbers of {item} bytes, got {array.dtype}")
        return array.view(f"u{item}")

    def _load(self, key: str) -> AnyArray:
        assert self._zip is not None
        try:
            info = self._zip.getinfo(f"{key}.npy")
        except KeyError:
            raise ValueError(f"{self.path}: array {key!r} is missing") from None
        if info.file_size > MAX_ARRAY_BYTES:
            raise ValueError(f"{self.path}: array {key!r} has {info.file_size} bytes, more than {MAX_ARRAY_BYTES}")
        try:
            with self._zip.open(info) as stream:
                return _npy(stream, info.file_size)
        except (
            ValueError,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f"{self.path}: array {key!r} is damaged: {error}") from None


def _npy(stream: IO[bytes], size: int) -> AnyArray:
    """Read one npy member: the header's shape must fit the bytes that are there, and objects are never unpickled."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"npy version {version}")
    if dtype.hasobject or dtype.kind not in "buif":
        raise ValueError(f"dtype {dtype} is not plain numbers")
    count = 1
    for n in shape:
        count *= n
    if min(shape, default=1) < 0 or count * dtype.itemsize > size:
        raise ValueError(f"shape {shape} does not fit its {size} bytes")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"shape {shape} does not fit its bytes")
    flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(flat.reshape(shape, order="F" if fortran else "C"))


def integer_dtype(name: str, what: str) -> np.dtype[Any]:
    """Take the name of an integer dtype from an index.

    >>> integer_dtype("uint16", "x.npz:y")
    dtype('uint16')
    """
    if name not in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"):
        raise ValueError(f"{what}: dtype must be an integer of 8 to 64 bits, got {name!r}")
    return np.dtype(name)


class Recording:
    """A folder with an index, and the npz file that is open: rows of one file follow one another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index = read_index(directory / "index.json")
        self._open: Archive | None = None

    def archive(self, name: str) -> Archive:
        """Open a file of the recording, closing the one before."""
        if self._open is None or self._open.name != name:
            self.close()
            self._open = Archive(self.directory, name)
        return self._open

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            self._open.close()
            self._open = None
