"""Quantised tensors in safetensors files: codes and scales as tensors, recipes in the metadata.

The tensor `w` is stored as `w` (codes, in the format's own dtype where it has one: F8_E4M3, F4, F6_E2M3, I8, ...; else
packed as U8), `w.scales`, and `w.tensor_scale` where the recipe has one. The metadata key `chipmeter.quantized` holds,
as JSON, the recipes and, for each tensor, its recipe, axis, shape and format. A file is data: all of it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from chipmeter._arrays import AnyArray, as_array
from chipmeter._packing import pack_codes, packed_bytes, unpack_codes
from chipmeter._safetensors import shown
from chipmeter._safetensors_write import _PACKED, write_file
from chipmeter.checkpoint import Checkpoint
from chipmeter.formats.codec import code_dtype
from chipmeter.formats.records import format_of
from chipmeter.quantize.recipes import Recipe
from chipmeter.quantize.tensor import QuantizedTensor

METADATA_KEY: Final = "chipmeter.quantized"
VERSION: Final = 1
_DEFAULTS: Final = (("tensor_scale", 1.0), ("scale_mean", 0.0))


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one array of a quantised tensor is stored: its shape in elements and its dtype; bits > 0 if packed as U8."""

    tensor: str
    dtype: str
    shape: tuple[int, ...]
    bits: int = 0


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quantised tensor: `recipe` counts into the list of recipes; `parts` by the field's name."""

    recipe: int
    parts: dict[str, Part]
    values: dict[str, Any]


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands under `METADATA_KEY`."""

    version: int
    recipes: list[dict[str, Any]]
    tensors: dict[str, Description]


_decoder = msgspec.json.Decoder(Directory)


def dismantle(name: str, tensor: QuantizedTensor, recipe: int) -> tuple[dict[str, AnyArray], Description]:
    """Cut a quantised tensor into arrays to store and the description that puts them together again."""
    arrays: dict[str, AnyArray] = {}
    parts: dict[str, Part] = {}
    values: dict[str, Any] = {}
    for field in fields(tensor):
        value = getattr(tensor, field.name)
        if field.name == "recipe" or value is None:
            continue
        if field.name in dict(_DEFAULTS) and value == dict(_DEFAULTS)[field.name]:  # which no reader needs to be told
            continue
        if not isinstance(value, (np.ndarray, np.generic)):
            values[field.name] = value
            continue
        array = np.asarray(value)
        stored = name if field.name == "codes" else f"{name}.{field.name}"
        bits = tensor.recipe.element_format.bits if field.name == "codes" else 8
        whole = array.size * bits % 8 == 0
        if (field.name == "codes" and bits < 8 and not (array.dtype in _PACKED and whole)) or _nameless(array):
            parts[field.name] = Part(stored, array.dtype.name, array.shape, bits)
            array = pack_codes(array, bits)
        else:
            parts[field.name] = Part(stored, array.dtype.name, array.shape)
        arrays[stored] = array
    return arrays, Description(recipe, parts, values)


def _nameless(array: AnyArray) -> bool:
    """Whether the format has no dtype for these one-byte codes (e4m3 with infinities, e3m4, ...)."""
    return array.dtype.itemsize == 1 and array.dtype.name in (
        "float8_e4m3",
        "float8_e3m4",
        "float8_e4m3b11fnuz",
        "int4",
        "uint4",
        "int2",
        "uint2",
    )


def directory_json(recipes: list[Recipe], tensors: Mapping[str, Description]) -> str:
    """Write the metadata's value."""
    listed = [msgspec.to_builtins(recipe) for recipe in recipes]
    return msgspec.json.encode(Directory(VERSION, listed, dict(tensors))).decode()


def save(
    path: str | Path,
    tensors: Mapping[str, QuantizedTensor | AnyArray],
    *,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write quantised tensors, and plain arrays beside them, to one safetensors file.

    The file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    tensors : mapping of str to QuantizedTensor or ndarray
        Arrays of every dtype the format has, the ml_dtypes 8-, 6- and 4-bit floats among them.
    metadata : mapping of str to str, optional
        More lines for the file's `__metadata__`.
    overwrite : bool
        Whether a file at `path` may be replaced.

    Raises
    ------
    FileExistsError
        If something lies at `path`.
    ValueError
        For a dtype that the format cannot hold, or two tensors that would be stored under one name.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from chipmeter import quantize
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "w.safetensors"
    ...     save(file, {"w": quantize(x, "nvfp4"), "bias": np.zeros(2, np.float32)})
    ...     load(file)["w"] == quantize(x, "nvfp4")
    True
    """
    if not isinstance(tensors, Mapping) or not isinstance(metadata, Mapping | None):
        raise TypeError(
            f"tensors and metadata map names to arrays and to text, got {type(tensors).__name__} and {type(metadata).__name__}"
        )
    arrays: dict[str, AnyArray] = {}
    recipes: list[Recipe] = []
    described: dict[str, Description] = {}
    for name, tensor in tensors.items():
        found: dict[str, AnyArray] = (
            {name: as_array(tensor, repr(name))} if not isinstance(tensor, QuantizedTensor) else {}
        )
        if isinstance(tensor, QuantizedTensor):
            if tensor.recipe not in recipes:
                recipes.append(tensor.recipe)
            found, described[name] = dismantle(name, tensor, recipes.index(tensor.recipe))
        for stored, array in found.items():
            if stored in arrays:
                raise ValueError(f"two tensors would be stored as {stored!r}; rename one of them")
            arrays[stored] = array
    lines = dict(metadata or {})
    if described:
        lines[METADATA_KEY] = directory_json(recipes, described)
    write_file(Path(path), arrays, lines, overwrite)


class QuantizedCheckpoint(Mapping[str, QuantizedTensor | AnyArray]):
    """A checkpoint whose quantised tensors come back as `QuantizedTensor`, all others as arrays; see `load`."""

    def __init__(self, path: str | Path) -> None:
        self.checkpoint = Checkpoint(path)
        self.quantized: dict[str, Description] = {}
        self._recipes: dict[str, Recipe] = {}
        side: set[str] = set()
        for file, metadata in self.checkpoint.metadata_by_file.items():
            if METADATA_KEY in metadata:
                directory, recipes = _read_directory(metadata[METADATA_KEY], file)
                for name, described in directory.tensors.items():
                    if any(part.tensor not in self.checkpoint.tensors for part in described.parts.values()):
                        raise ValueError(f"{file}: {shown(name)} is described, but not all of its parts are stored")
                    if not 0 <= described.recipe < len(recipes):
                        raise ValueError(f"{file}: {shown(name)} names recipe {described.recipe} of {len(recipes)}")
                    self.quantized[name] = described
                    self._recipes[name] = recipes[described.recipe]
                    side.update(part.tensor for part in described.parts.values())
        self._names = [name for name in self.checkpoint if name not in side or name in self.quantized]
        self._names += [name for name in self.quantized if name not in self.checkpoint.tensors]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> QuantizedTensor | AnyArray:
        described = self.quantized.get(name)
        if described is None:
            return self.checkpoint.elements(name)
        values: dict[str, Any] = dict(described.values)
        recipe = self._recipes[name]
        for field, part in described.parts.items():
            values[field] = self._part(name, part)
        if values.get("codes") is not None and values["codes"].dtype != code_dtype(recipe.element_format):
            raise ValueError(
                f"{self.checkpoint.path}: {shown(name)}: codes of {recipe.element} have dtype "
                f"{code_dtype(recipe.element_format)}, found {values['codes'].dtype}"
            )
        return _assemble(f"{self.checkpoint.path}: {shown(name)}", recipe, values)

    def _part(self, name: str, part: Part) -> AnyArray:
        where = f"{self.checkpoint.path}: {shown(name)}"
        try:
            dtype = np.dtype(part.dtype) if hasattr(np, part.dtype) else code_dtype(format_of(part.dtype))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None
        if any(n < 0 for n in part.shape) or dtype.hasobject or dtype.itemsize > 8:
            raise ValueError(f"{where}: a part of dtype {dtype} and shape {list(part.shape)} cannot be")
        if not part.bits:
            array = self.checkpoint.elements(part.tensor)
            if array.shape != part.shape or array.dtype != dtype:
                raise ValueError(
                    f"{where}: described as {dtype} {list(part.shape)}, stored as {array.dtype} {list(array.shape)}"
                )
            return array
        raw = self.checkpoint[part.tensor]
        if raw.dtype != np.uint8 or dtype.itemsize != 1 or part.bits not in (1, 2, 4, 6, 8):
            raise ValueError(f"{where}: {part.bits}-bit codes of {dtype} are stored as U8, found {raw.dtype}")
        if raw.nbytes != packed_bytes(math.prod(part.shape), part.bits):
            raise ValueError(f"{where}: {raw.nbytes} bytes do not hold {list(part.shape)} codes of {part.bits} bits")
        return _signed(unpack_codes(raw, part.bits, math.prod(part.shape)), dtype).reshape(part.shape)


def _signed(codes: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """Codes as `dtype`; narrow signed integers are held sign-extended."""
    if dtype.name in ("int4", "int2"):
        spare = 8 - int(dtype.name[3:])
        return ((codes << spare).view(np.int8) >> spare).view(dtype)
    return codes.view(dtype)


def _read_directory(text: str, file: Path) -> tuple[Directory, list[Recipe]]:
    try:
        directory = _decoder.decode(text)
        if directory.version != VERSION:
            raise ValueError(f"written as version {directory.version}; this release reads version {VERSION}")
        return directory, [msgspec.convert(recipe, Recipe) for recipe in directory.recipes]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{file}: metadata {METADATA_KEY}: {shown(str(error))}") from error


def _assemble(where: str, recipe: Recipe, values: dict[str, Any]) -> QuantizedTensor:
    """Put a tensor together, or say what is wrong with it."""
    for field, default in _DEFAULTS:
        found = values.setdefault(field, np.float32(default))
        if isinstance(found, np.ndarray):
            if found.shape != ():
                raise ValueError(f"{where}: the {field.replace('_', ' ')} is one number, found shape {found.shape}")
            values[field] = found[()]
    known = {field.name for field in fields(QuantizedTensor)}
    if unknown := set(values) - known:
        raise ValueError(f"{where}: unknown field {shown(min(unknown))}")
    try:
        tensor = QuantizedTensor(recipe=recipe, **values)
        tensor.check()
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{where}: {error}") from None
    return tensor


def load(path: str | Path) -> QuantizedCheckpoint:
    """Open a checkpoint that `save` or `chipmeter quantize` wrote, or any other.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a folder with one or more.

    Returns
    -------
    QuantizedCheckpoint
        A mapping from names to `QuantizedTensor` (where the metadata describes one) and to read-only arrays. Nothing is
        read before it is indexed; what is not packed shares the file's pages.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file breaks a rule of the format, or its description of a tensor contradicts what is stored.
    """
    return QuantizedCheckpoint(path)
