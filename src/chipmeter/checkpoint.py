"""Checkpoints: the tensors of safetensors files as read-only NumPy arrays, mapped and not copied.

Unlike the format's own NumPy loader this one reads BF16, the 8-bit floats and the packed 4- and 6-bit ones.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import ml_dtypes
import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter._names import unknown_name
from chipmeter._packing import unpack_codes
from chipmeter._safetensors import (
    DTYPES,
    MAX_HEADER_BYTES,
    StoredType,
    TensorInfo,
    array_shape,
    decode,
    parse_header,
    read_header,
    refuse,
    refuse_repeated_keys,
    shown,
)

__all__ = ["DTYPES", "INDEX_NAME", "MAX_HEADER_BYTES", "Checkpoint", "StoredType", "TensorInfo"]

INDEX_NAME: Final = "model.safetensors.index.json"


_UNPACKED: Final = {
    "F4": np.dtype(ml_dtypes.float4_e2m1fn),
    "F6_E2M3": np.dtype(ml_dtypes.float6_e2m3fn),
    "F6_E3M2": np.dtype(ml_dtypes.float6_e3m2fn),
}


class _Index(msgspec.Struct, frozen=True):
    """The shard index; its metadata (a total size) is not needed."""

    weight_map: dict[str, str]


_index_decoder = msgspec.json.Decoder(_Index)


class Checkpoint:
    """The tensors of a safetensors file, or of a folder of them, by name.

    Opening reads the headers only. Indexing gives an array that shares the file's pages: nothing is read before it is
    used, and the map lives as long as an array of it. Do not truncate a file that is open here: the operating system
    answers a read past its end with SIGBUS.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a folder with one or more. Where the folder holds `model.safetensors.index.json`, that
        index says which tensors there are and which file holds each.

    Attributes
    ----------
    path : Path
    tensors : mapping of str to TensorInfo
        In the order of the headers.
    metadata : mapping of str to str
        The files' own `__metadata__`; of the same key in two shards the last file's value.
    metadata_by_file : dict of Path to mapping
        The same, file by file.

    Raises
    ------
    FileNotFoundError
        If nothing lies at `path`.
    ValueError
        If a file breaks a rule of the format: it names the file, the tensor, what was found and what is accepted.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = pathlib.Path(folder.name) / "tiny.safetensors"
    >>> header = json.dumps({"scale": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    >>> _ = file.write_bytes(len(header).to_bytes(8, "little") + header + bytes([0x80, 0x3F, 0x00, 0x40]))
    >>> checkpoint = Checkpoint(file)
    >>> checkpoint["scale"]
    array([1, 2], dtype=bfloat16)
    >>> checkpoint.tensors["scale"].shape
    (2,)
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._maps: dict[Path, NDArray[np.uint8]] = {}
        self.metadata_by_file: dict[Path, Mapping[str, str]] = {}
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file or folder; give a *.safetensors file or its folder")
        if not self.path.is_dir():
            tensors = self._open(self.path)
        elif (self.path / INDEX_NAME).exists():
            tensors = self._open_indexed(self.path / INDEX_NAME)
        else:
            files = sorted(self.path.glob("*.safetensors"))
            if not files:
                raise ValueError(f"{self.path}: found no *.safetensors file in this folder; at least one is needed")
            tensors = {}
            for file in files:
                for name, info in self._open(file).items():
                    if name in tensors:
                        other = tensors[name].path.name
                        refuse(file, name, f"found in {other} too", f"one file for each name, or an {INDEX_NAME}")
                    tensors[name] = info
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        merged: dict[str, str] = {}
        for own in self.metadata_by_file.values():
            merged.update(own)
        self.metadata: Mapping[str, str] = MappingProxyType(merged)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        nbytes = sum(info.nbytes for info in self.tensors.values())
        return f"Checkpoint({str(self.path)!r}: {len(self)} tensors, {nbytes} bytes, {len(self._maps)} files)"

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Give the tensor `name`: read-only, C-contiguous and aligned, of its header's shape.

        A view of the file, unless the file puts the tensor at an address that its dtype cannot have: then a copy.
        Packed dtypes (F4, F6_E2M3, F6_E3M2) come as the raw uint8 bytes, the last axis counted in bytes where a row
        fills whole bytes, else flat; `tensors[name].shape` has the elements.

        Raises
        ------
        ValueError
            For an unknown name, with the nearest known ones, and for a BOOL with bytes other than 0 and 1.
        """
        info = self.tensors.get(name)
        if info is None:
            raise unknown_name("tensor", name, self.tensors)
        stored = DTYPES[info.dtype]
        raw = self._maps[info.path][info.offset : info.offset + info.nbytes]
        if info.dtype == "BOOL" and raw.size and int(raw.max()) > 1:
            refuse(info.path, name, f"found byte {int(raw.max())} in a BOOL", "0 and 1")
        array: NDArray[Any] = raw.view(stored.numpy).reshape(array_shape(info.shape, stored))
        if not array.flags.aligned:
            array = array.copy()
            array.flags.writeable = False
        return array

    def elements(self, name: str) -> NDArray[Any]:
        """Give the tensor `name` with one array element for each of its own, as `tensors[name].shape` says.

        Packed dtypes come unpacked, a copy, in the ml_dtypes dtype of one byte (float4_e2m1fn, float6_e2m3fn,
        float6_e3m2fn; the lowest bits of the first byte hold the first element); all others as indexing gives them.

        Raises
        ------
        ValueError
            As indexing does.
        """
        array, info = self[name], self.tensors[name]
        if (dtype := _UNPACKED.get(info.dtype)) is None:
            return array
        codes = unpack_codes(array, DTYPES[info.dtype].bits, math.prod(info.shape))
        unpacked: NDArray[Any] = codes.view(dtype).reshape(info.shape)
        return unpacked

    def _open(self, path: Path) -> dict[str, TensorInfo]:
        """Check one file's header, map the file, and keep its metadata."""
        if not path.is_file():
            raise ValueError(f"{path}: not a regular file; a safetensors file or a folder of them is accepted")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = read_header(path, file, size)
            tensors, own_metadata = parse_header(path, header, size - 8 - len(header))
            self._maps[path] = np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), np.uint8)
        self.metadata_by_file[path] = MappingProxyType(own_metadata)
        return tensors

    def _open_indexed(self, index: Path) -> dict[str, TensorInfo]:
        """Open the shards that `index` names and keep the tensors that it maps to them."""
        if not index.is_file():
            raise ValueError(f"{index}: not a regular file; a JSON shard index is accepted")
        with index.open("rb") as file:
            raw = file.read(MAX_HEADER_BYTES + 1)
        if len(raw) > MAX_HEADER_BYTES:
            raise ValueError(f"{index}: longer than {MAX_HEADER_BYTES} bytes; that much is accepted")
        weight_map = decode(_index_decoder, raw, index, "the shard index").weight_map
        refuse_repeated_keys(raw, index, "the shard index")
        shards: dict[str, dict[str, TensorInfo]] = {}
        for name, shard in weight_map.items():
            if shard not in shards:
                # A shard may be a link out of the folder (hub caches are made so); its *name* may not lead out of it.
                if not shard.endswith(".safetensors") or Path(shard).name != shard or "\\" in shard:
                    accepted = "the bare name of a *.safetensors file in the same folder"
                    refuse(index, name, f"found shard {shown(shard)}", accepted)
                if not os.path.exists(index.parent / shard):  # not Path.exists: that raises for a name too long
                    refuse(index, name, f"found shard {shown(shard)}, which is not there", "a file that exists")
                shards[shard] = self._open(index.parent / shard)
            if name not in shards[shard]:
                refuse(index, name, f"not found in its shard {shown(shard)}", "a shard that holds it")
        return {name: shards[shard][name] for name, shard in weight_map.items()}
